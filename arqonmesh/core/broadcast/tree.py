"""Which links belong to the tree. It is what is left of a flood when every link that closed a cycle is pruned.

    BroadcastPayload, known ──▶ a cycle: BroadcastPrune on the longer way, lazy at both ends
    BroadcastPayload, announced on a much shorter way ──▶ BroadcastGraft there, BroadcastPrune to who brought it
    BroadcastPrune on a link that is needed here ──▶ BroadcastGraft: it stays

Of two links that bring the same payload the much shorter one stays, not always the faster one (`SHORTER_HOPS`): the
tree that the first payload leaves behind has 8 hops instead of 12 at 1,000 nodes with 5 links, for nothing. Whether a
link is worth it is decided at its farther end; the nearer one leaves it alone meanwhile, or both would prune it. Along
the tree rounds fall towards the source whatever is exchanged, so no exchange can cut it.

Only a second copy of the same *wave* proves a cycle, and only an announcement of the same wave may take the place of a
link: where two waves meet (fan_out.py), a payload comes twice in any tree.

A new link is eager, up to `eager_max` of them, unless it rests (resting.py); beyond they begin lazy: in a full mesh of
hundreds the first payload would come hundreds of times.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast.cache import Known
from arqonmesh.core.broadcast.neighbours import Neighbour, Neighbours
from arqonmesh.core.broadcast.resting import Resting
from arqonmesh.core.broadcast.wanted import Want
from arqonmesh.core.kernel import Effect, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BroadcastGraft, BroadcastPayload, BroadcastPrune

SHORTER_HOPS: Final = 1
"""Of two links that bring one payload, the one by which it came so many hops shorter stays in the tree; else the faster
one. Less makes flatter trees and slower ones."""
FEW_EAGER: Final = 3
"""A new link that the other end does not need in its tree is asked back by a node with fewer eager links."""


class Tree:
    """Turns links eager and lazy, by what comes over them."""

    def __init__(
        self, settings: BroadcastSettings, *, neighbours: Neighbours, resting: Resting, counters: defaultdict[str, int]
    ) -> None:
        self._settings = settings
        self._neighbours = neighbours
        self._resting = resting
        self._counters = counters
        self.fed_by: NodeId | None = None
        """Who brought the newest payload that was new."""

    def link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        """A link that was not there."""
        neighbour = self._neighbours.add(peer)
        if self._resting.begins(now, peer):
            neighbour.eager = False
            return []
        return self.enter(peer)

    def enter(self, peer: NodeId) -> list[Effect]:
        """A link that is here to stay: into the tree, while there is room. One that was asked for something before is
        in it already."""
        neighbour = self._neighbours[peer]
        neighbour.eager = self._neighbours.eager_count() - neighbour.eager < self._settings.eager_max
        if neighbour.eager:
            return []
        self._counters["spared"] += 1
        return [Send(peer, Lane.CONTROL, BroadcastPrune())]

    def came_again(self, now: Instant, link_peer: NodeId, known: Known, message: BroadcastPayload) -> list[Effect]:
        """A payload that is known. Over a link of the tree and in the same wave that proves a cycle."""
        neighbour = self._neighbours.get(link_peer)
        if neighbour is None or message.wave != known.wave or len(message.data) < self._settings.flood_below_bytes:
            return []
        if not neighbour.eager and now < neighbour.pruned_at + 2 * neighbour.measured_us:
            return []  # it was pruned, and this copy was under way then
        if neighbour.eager and known.round + SHORTER_HOPS + 1 < message.round:
            return []  # we are the shorter way of the two: what becomes of this link is for the other end to decide
        source = None if known.source is None else self._neighbours.get(known.source)
        if source is not None and neighbour.eager and message.round + SHORTER_HOPS <= known.round:
            self._counters["shortened"] += 1
            assert known.source is not None
            longer, known.source, known.round = known.source, link_peer, message.round
            return self._prune(now, longer, source)
        return self._prune(now, link_peer, neighbour)

    def swap(self, now: Instant, known: Known, want: Want) -> list[Effect]:
        """Somebody has it on a much shorter way: take that link into the tree for the one that it came by. In one wave
        rounds fall towards its beginning, so who announced fewer cannot be behind us, and the tree stays whole."""
        source = None if known.source is None else self._neighbours.get(known.source)
        if known.source is None or source is None or not source.eager:
            return []
        best, least = None, known.round - self._settings.swap_hops
        for peer, (round_, wave) in want.announcers.items():
            stays = peer in self._neighbours and peer not in self._resting
            if stays and wave == known.wave and round_ + 1 <= least:
                best, least = peer, round_
        if best is None or best == known.source:
            return []
        self._counters["swaps"] += 1
        self._neighbours[best].eager = True
        graft = Send(best, Lane.CONTROL, BroadcastGraft(id=b""))
        return [graft, *self._prune(now, known.source, source)]

    def pruned(self, link_peer: NodeId) -> list[Effect]:
        """The other end does not need this link in its tree."""
        self._counters["prunes_received"] += 1
        neighbour = self._neighbours.get(link_peer)
        if neighbour is None:
            # its side of the link came up first: said to nobody, it would leave a leaf out of the tree
            few = self._neighbours.eager_count() < FEW_EAGER
            return [Send(link_peer, Lane.CONTROL, BroadcastGraft(id=b""))] if few else []
        neighbour.eager = False
        eager = self._neighbours.eager_count()
        fed = eager or (self.fed_by != link_peer and self.fed_by in self._neighbours)
        if fed and (neighbour.used or eager >= FEW_EAGER):
            return []
        # the last one of the tree is part of no cycle, whatever went over it, unless payloads come from elsewhere: a
        # leaf would hear of announcements alone, and a hub with dozens of leaves does not make one to each
        neighbour.eager = True
        return [Send(link_peer, Lane.CONTROL, BroadcastGraft(id=b""))]

    def _prune(self, now: Instant, peer: NodeId, neighbour: Neighbour) -> list[Effect]:
        neighbour.eager = False
        neighbour.pruned_at = now
        self._counters["prunes_sent"] += 1
        return [Send(peer, Lane.CONTROL, BroadcastPrune())]
