"""Where a side stands between whole and split, with hysteresis.

    healthy ──someone out of reach──▶ suspect ──for a while, or a quorum gone──▶ partitioned
       ▲ ◀──────all back──────────────┘                                             │ all in reach
       └──────────for a while── healing ◀───────────────────────────────────────────┘ ▲ someone gone again: back at once

`suspect` keeps a lost packet from being called a split; `healing` keeps a flapping link from being called whole.
Neither has a say in `writable`: that follows the quorum alone.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Instant

HEALTHY: Final = "healthy"
SUSPECT: Final = "suspect"
PARTITIONED: Final = "partitioned"
HEALING: Final = "healing"


class Phase:
    __slots__ = ("_since", "_stable_us", "name")

    def __init__(self, stable_us: int) -> None:
        self.name = PARTITIONED
        """A node that starts has yet to find the others."""
        self._stable_us = stable_us
        self._since: Instant = 0

    def observe(self, now: Instant, *, missing: bool, lost: bool) -> None:
        """What it is at this moment: is anyone `missing`, and is the quorum `lost`? Repeats are harmless."""
        if missing or lost:
            if self.name == HEALTHY and not lost:
                self.name, self._since = SUSPECT, now
            elif self.name != SUSPECT or lost or now - self._since >= self._stable_us:
                self.name = PARTITIONED
        elif self.name == SUSPECT:
            self.name = HEALTHY
        elif self.name == PARTITIONED:
            self.name, self._since = HEALING, now
        elif self.name == HEALING and now - self._since >= self._stable_us:
            self.name = HEALTHY

    def settle(self) -> None:
        """There is nobody else: whole, without waiting."""
        self.name = HEALTHY

    @property
    def due(self) -> Instant | None:
        """When a phase will have lasted; observe again then."""
        return self._since + self._stable_us if self.name in (SUSPECT, HEALING) else None
