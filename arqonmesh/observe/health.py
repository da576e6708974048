"""How each component of the node is: named probes, read when somebody asks.

probes.add("store", lambda: {"ok": store.fatal is None, "waiting_bytes": store.waiting_bytes})
probes.add("telemetry", telemetry.health, critical=False)      # the bus can do without it
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Probe: TypeAlias = Callable[[], Mapping[str, Any]]
"""{"ok": bool, ...}, at once and without waiting for anything."""

_log = logging.getLogger("arqonmesh.observe.health")


class Probes:
    """All probes of a node, in the order in which they were added."""

    def __init__(self) -> None:
        self._probes: dict[str, tuple[Probe, bool]] = {}

    def add(self, name: str, probe: Probe, *, critical: bool = True) -> None:
        """`critical=False`: the bus can do without it; unwell, it makes the node degraded and not unhealthy."""
        assert name not in self._probes, f"two components are called {name}"
        self._probes[name] = (probe, critical)

    def read(self) -> dict[str, dict[str, Any]]:
        """By name. A probe that fails tells that its component is not well."""
        told = {}
        for name, (probe, critical) in self._probes.items():
            try:
                found = dict(probe())
            except Exception as wrong:
                _log.exception("the health probe of %s failed", name)
                found = {"ok": False, "reason": f"its probe failed: {type(wrong).__name__}"}
            told[name] = {"ok": False, "critical": critical, **found}
        return told
