"""What the border has counted: messages by what became of them, and every verdict with its rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from arqonmesh.core.events import Dropped
from arqonmesh.core.federation.decisions import Decisions
from arqonmesh.core.federation.patterns import Ruling
from arqonmesh.core.kernel import Effect, Emit

CORE: Final = "federation"
"""The core's name: in what it drops, and before its rows among the scalars of all cores."""


@dataclass(slots=True)
class Counters:
    """Bus messages since the start, for status and metrics; `duplicates` counts batches with nothing new in them."""

    exported: int = 0
    """Left for at least one other cluster."""
    kept_local: int = 0
    """Denied by an export rule, or by the lack of one."""
    forwarded: int = 0
    imported: int = 0
    import_denied: int = 0
    duplicates: int = 0
    held: int = 0
    """Put on disk for a link that is down."""
    replayed: int = 0
    """Sent again, or at last, when a link came up."""
    dropped: int = 0


class Books:
    """Counters and verdicts of one node's borders."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.decisions = Decisions()

    def drop(self, out: list[Effect], reason: str, count: int, detail: str = "") -> list[Effect]:
        """Messages that are lost here, and why."""
        self.counters.dropped += count
        out.append(Emit(Dropped(CORE, reason, count, detail)))
        return out

    def decided(
        self, direction: str, channel: str, cluster: str, ruling: Ruling, messages: int, out: list[Effect]
    ) -> None:
        """Count a verdict; the first of its kind is told."""
        verdict = self.decisions.count(direction, channel, cluster, ruling, messages)
        if verdict is not None:
            out.append(Emit(verdict))
