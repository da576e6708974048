"""Neighbours that were spared a batch because it came through them, and may have died with it.

Who is on a batch's path has it, and passes it on: nothing is sent back to it. But that it was passed on is remembered
in memory only (core.py). A node that dies in between still knows, when it is back, that it heard the batch, and not
that it owes it to others; whoever did not get its acknowledgement sends again, once there is a link. When newer batches
of the same origin come to it sooner, by another way, they would overtake:

    origin ─1─▶ relay ─1─▶ here         relay dies before `last` has 1, and comes back with a link to here alone
    origin ─2─▶ here ─2─▶ relay ─2─▶ last          1 is known here, and so was not for the relay: `last` has 2 before 1

So what a neighbour was spared is kept, with the place in its outbox that it would have had. When the connection that
the neighbour had is gone, it goes before the first newer batch of its origin that is passed on from here; if there is
none until the neighbour has been back for `REMINDED_FOR_US`, it is not sent. By then whoever has no acknowledgement has
sent again, and a node that is new to the neighbour would have the old batch late instead: the neighbour has forgotten
to whom it passed it on. Its path and `ttl` are told without the detour by which it came here: the relay would take it
for a loop, or for itself alone.

Kept are `SPARED_FOR_US` of each neighbour: who lives has its next hops' word, or a row on disk, within CUSTODY_PATIENCE
(custody.py), and who is silent for as long as this has no connection any more, at the usual heartbeats. They are kept
in memory: when a relay and who could remind it die together, `last` may still have 2 before 1; so it may when the relay
has no link to whoever sends 1 again for longer than `REMINDED_FOR_US` after it is back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import merge
from typing import Final, NamedTuple

from arqonmesh.core.federation.batch import Section
from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.wire.messages import BusBatch

SPARED_FOR_US: Final = 10 * SECOND
"""How long a neighbour may take to pass on what is spared it, and still be alive."""
REMINDED_FOR_US: Final = 60 * SECOND
"""How long a neighbour that is back may take to have links again to all who send again what it died with."""
SPARED_MAX: Final = 256
"""Batches that are kept of one neighbour, the oldest forgotten first."""
SPARED_BYTES_MAX: Final = 256 << 10
"""Of their heads and sections; one is kept, however large."""


class Debt(NamedTuple):
    """A batch that a neighbour was spared."""

    batch: BusBatch
    """As if it had come here instead of to the neighbour."""
    sections: tuple[tuple[int, Section], ...]
    """Those that were passed on to others, with their places in the batch."""
    order: int
    """Its place in the neighbour's outbox."""
    at: Instant
    size: int

    @property
    def origin(self) -> str:
        return self.batch.via[0]


class Spared:
    """What one neighbour was spared, oldest first."""

    __slots__ = ("_bytes", "_kept", "_lost", "_origins")

    def __init__(self) -> None:
        self._kept: deque[Debt] = deque()
        """The connection by which they came stands: the neighbour will pass them on, or has."""
        self._lost: deque[Debt] = deque()
        """The neighbour may have died with them."""
        self._origins: dict[str, None] = {}
        """Of what may be lost, and perhaps of more: asked at every batch that is passed on."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._lost)

    @property
    def lost(self) -> bool:
        """Whether anything may be lost."""
        return bool(self._lost)

    def note(self, debt: Debt, *, lost: bool) -> None:
        """`lost`: the connection that the neighbour had when it passed this on is gone already."""
        if lost:
            self._lost.append(debt)
            self._origins[debt.origin] = None
        else:
            self._kept.append(debt)
        self._bytes += debt.size
        self._expire(debt.at)
        while len(self) > SPARED_MAX or (self._bytes > SPARED_BYTES_MAX and len(self) > 1):
            lost_is_older = self._lost and (not self._kept or self._lost[0].order < self._kept[0].order)
            self._bytes -= (self._lost if lost_is_older else self._kept).popleft().size

    def parted(self, now: Instant) -> None:
        """The neighbour's connection is gone: what it was spared lately may be lost with it."""
        self._expire(now)
        if self._kept:
            self._lost = deque(merge(self._lost, self._kept, key=lambda debt: debt.order))
            self._origins.update({debt.origin: None for debt in self._kept})
            self._kept.clear()

    def forget_lost(self) -> None:
        """The neighbour has been back for long."""
        self._bytes -= sum(debt.size for debt in self._lost)
        self._lost.clear()
        self._origins.clear()

    def due(self, newest: Mapping[str, int]) -> list[Debt]:
        """Take out what may be lost and comes before something newer: `newest` tells of each origin the place of its
        newest batch that waits for this neighbour."""
        found: list[Debt] = []
        if self._origins.keys().isdisjoint(newest):
            return found
        left: deque[Debt] = deque()
        for debt in self._lost:
            (found if debt.order < newest.get(debt.origin, 0) else left).append(debt)
        self._lost = left
        self._origins = {debt.origin: None for debt in left}
        self._bytes -= sum(debt.size for debt in found)
        return found

    def _expire(self, now: Instant) -> None:
        while self._kept and now - self._kept[0].at > SPARED_FOR_US:
            self._bytes -= self._kept.popleft().size
