"""Statements that a push brought before their predecessor: they wait for it a moment.

Two statements that an author says shortly after each other travel different ways, since the tree changes and links
lose, and the second may be faster. It is passed on as it came (its signature holds), and held here; with its
predecessor it is merged. Only when that stays away is the sender asked what lies between.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.gossip.log import Position
from arqonmesh.core.gossip.waiting import Run
from arqonmesh.core.kernel import MILLISECOND, Instant
from arqonmesh.ids import NodeId

WAIT_US: Final = 200 * MILLISECOND
RUNS_MAX: Final = 256
BYTES_MAX: Final = 256 << 10
PER_AUTHOR_MAX: Final = 16
"""More than a few in a row are no overtaking: something is lost, and asked for."""


class EarlyRuns:
    """Runs by author, oldest first. What does not fit is refused and asked for at once."""

    def __init__(self) -> None:
        self._runs: dict[NodeId, list[tuple[Instant, Run]]] = {}
        self._count = 0
        self.bytes_held = 0
        self.refused = 0

    def __len__(self) -> int:
        return self._count

    def put(self, now: Instant, run: Run) -> bool:
        """Hold this one; False when there is no room."""
        held = self._runs.get(run.author, [])
        full = self._count >= RUNS_MAX or self.bytes_held + run.size > BYTES_MAX
        if full or len(held) >= PER_AUTHOR_MAX:
            self.refused += 1
            return False
        self._runs.setdefault(run.author, held).append((now + WAIT_US, run))
        self._count += 1
        self.bytes_held += run.size
        return True

    def ready(self, author: NodeId, head: Position) -> Run | None:
        """One that follows this head, or has come otherwise meanwhile; it is not held any more."""
        for index, (_, run) in enumerate(self._runs.get(author, ())):
            if run.base is not None and run.base <= head:
                self._forget(author, index)
                return run
        return None

    def overdue(self, now: Instant) -> list[Run]:
        """Whose predecessor has not come in time; they are not held any more."""
        late: list[Run] = []
        for author in list(self._runs):
            while author in self._runs and self._runs[author][0][0] <= now:
                late.append(self._forget(author, 0))
        return late

    def due(self) -> Instant | None:
        """When the first of them is overdue."""
        return min((held[0][0] for held in self._runs.values()), default=None)

    def forget(self, author: NodeId) -> None:
        """It is no member any more."""
        while author in self._runs:
            self._forget(author, 0)

    def _forget(self, author: NodeId, index: int) -> Run:
        held = self._runs[author]
        _, run = held.pop(index)
        if not held:
            del self._runs[author]
        self._count -= 1
        self.bytes_held -= run.size
        return run
