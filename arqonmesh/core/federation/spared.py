"""Neighbours that were spared a batch because it came through them, and may have died with it.

Who is on a batch's path has it, and passes it on: nothing is sent back to it. But that it was passed on is remembered
in memory only (core.py). A node that dies in between still knows, when it is back, that it heard the batch, and not
that it owes it to others; whoever did not get its acknowledgement sends again. When the way by which that comes is
longer than the one by which newer batches of the same origin come, those would overtake it:

    origin ─1─▶ relay ─1─▶ here         relay dies before `last` has 1, and comes back with a link to here alone
    origin ─1,2─▶ here ─2─▶ relay ─2─▶ last        1 is known here, and so was not for the relay: `last` has 2 before 1

So once a spared neighbour has another connection, what comes here again by a way that does not lead over it is sent to
it, too: before what is newer, because each link keeps the order.

Not covered is what came here a second time before the relay died: it is not kept here, the origin keeps it for the
relay, and when that link comes back after ours, `last` may have 2 before 1, though each once. To keep every such batch
until the relay has passed it on would cost one more copy of it on the link to whoever was faster than the origin.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arqonmesh.core.federation.custody import BatchKey
from arqonmesh.ids import NodeId

SPARED_MAX: Final = 16_384
"""Batches of which is remembered who was spared them, the oldest forgotten first."""
RENEWED_MAX: Final = 1_024
"""Neighbours of which is remembered when they last had a new connection, the one that it is longest ago for first."""


class Spared:
    """Who was spared which batch, and whose connection is younger than that."""

    def __init__(self) -> None:
        self._serial = 0
        self._peers: dict[BatchKey, tuple[int, tuple[NodeId, ...]]] = {}
        self._renewed: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def note(self, key: BatchKey, peers: tuple[NodeId, ...]) -> None:
        """The batch is passed on, and not to these. Its sections may come by several ways."""
        self._serial += 1
        serial, others = self._peers.get(key, (self._serial, ()))
        self._peers[key] = (serial, (*others, *[peer for peer in peers if peer not in others]))
        if len(self._peers) > SPARED_MAX:
            del self._peers[next(iter(self._peers))]

    def renewed(self, peer: NodeId) -> None:
        """It has another connection, and may be another life of it."""
        self._renewed.pop(peer, None)
        self._renewed[peer] = self._serial
        if len(self._renewed) > RENEWED_MAX:
            del self._renewed[next(iter(self._renewed))]

    def owed(self, key: BatchKey, via: Iterable[str]) -> tuple[NodeId, ...]:
        """Who was spared it on an older connection and is not on this way."""
        known = self._peers.get(key)
        if known is None:
            return ()
        serial, peers = known
        return tuple([peer for peer in peers if self._renewed.get(peer, -1) >= serial and peer not in via])

    def paid(self, key: BatchKey, peers: tuple[NodeId, ...]) -> None:
        """It is on its way to these now."""
        serial, spared = self._peers[key]
        left = tuple([peer for peer in spared if peer not in peers])
        if left:
            self._peers[key] = (serial, left)
        else:
            del self._peers[key]
