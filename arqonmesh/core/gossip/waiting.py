"""Statements whose author is not a member as far as we know, kept for the moment in which we learn otherwise.

One delta may carry an admission and what the newly admitted node says. Admission hears of the first only after the
delta has been read, so the second waits here. Bounded: the oldest author goes first, and is fetched again by digest
once it is admitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import Position
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Statement

KeyOf: TypeAlias = Callable[[NodeId], "bytes | None"]
"""The public key of a member, None for anyone else. Answers at once; core/admission keeps the roster."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive statements of one author as one delta brought them, not yet verified."""

    link_peer: NodeId
    author: NodeId
    base: Position | None
    """From where on the sender vouches for completeness; None: it does not."""
    statements: tuple[tuple[Statement, bytes], ...]

    @property
    def size(self) -> int:
        return sum(len(encoded) for _, encoded in self.statements)


class WaitingRoom:
    """At most one run per author, and who to ask for what did not fit."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._runs: dict[NodeId, Run] = {}
        self._sources: dict[NodeId, NodeId] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def bytes_held(self) -> int:
        return self._bytes

    def __contains__(self, author: NodeId) -> bool:
        return author in self._runs or author in self._sources

    def put(self, run: Run) -> None:
        """Keep the run, or only remember who has it."""
        size = run.size
        if run.author in self._runs or size > self._limits.waiting_bytes:
            self._remember(run.author, run.link_peer)
            return
        while self._runs and (
            len(self._runs) >= self._limits.waiting_authors or self._bytes + size > self._limits.waiting_bytes
        ):
            oldest = next(iter(self._runs))
            evicted = self._runs.pop(oldest)
            self._bytes -= evicted.size
            self._remember(oldest, evicted.link_peer)
        self._runs[run.author] = run
        self._bytes += size

    def take(self, author: NodeId) -> tuple[Run | None, NodeId | None]:
        """What waits of this author, and a peer that has more of it; both None when nothing was seen of it."""
        run = self._runs.pop(author, None)
        if run is not None:
            self._bytes -= run.size
        return run, self._sources.pop(author, None)

    def _remember(self, author: NodeId, peer: NodeId) -> None:
        self._sources[author] = peer
        while len(self._sources) > self._limits.waiting_authors:
            del self._sources[next(iter(self._sources))]
