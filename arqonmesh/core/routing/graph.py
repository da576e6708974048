"""The mesh as a graph: who says what about which link, and what follows from it.

An edge carries routes only when **both** ends list it as up (OSPF's two-way check, RFC 2328, 16.1): half-dead links and
one-sided claims carry nothing. Its cost is the larger of the two claims, so that nobody attracts traffic by claiming a
short link. This node's own links count as it measures them, whatever its record or the other side's still says.
Edges lead to a member that is no transit, and none, or dear ones, lead on from it (transit.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from arqonmesh.core.routing.said import Said
from arqonmesh.core.routing.transit import Transit
from arqonmesh.ids import NodeId
from arqonmesh.wire.memo import Memo

HOP_US: Final = 1_000
"""What a hop costs beyond its round trip time: a node's own handling, and the reason to prefer fewer hops."""
UNMEASURED_US: Final = 10_000
"""The round trip time assumed for a link of ours that has not been measured yet."""

Edges: TypeAlias = tuple[tuple[NodeId, int], ...]
"""(neighbour, cost in microseconds) each."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one end says of a link."""

    up: bool
    transport: str
    rtt_us: int
    loss_ppm: int


@dataclass(frozen=True, slots=True)
class Edge:
    """A link of the mesh as the status shows it; `a` < `b`."""

    a: NodeId
    b: NodeId
    state: str
    """"up", "down", or "one-way": one end says up and the other does not."""
    transport: str
    rtt_us: int
    loss_ppm: int


def edges(claims: Mapping[NodeId, Mapping[NodeId, Claim]], own: NodeId) -> list[Edge]:
    """Every link that anyone lists, sorted. `claims[own]` are our live links."""
    pairs = {(min(node, peer), max(node, peer)): None for node, links in claims.items() for peer in links}
    found: list[Edge] = []
    for a, b in sorted(pairs):
        if a == b:
            continue
        sides = [claim for claim in (claims.get(a, {}).get(b), claims.get(b, {}).get(a)) if claim is not None]
        ours = claims.get(own, {}).get(b if a == own else a) if own in (a, b) else None
        found.append(
            Edge(
                a,
                b,
                _state(sides, ours, mine=own in (a, b)),
                ours.transport if ours is not None else sides[0].transport,
                ours.rtt_us if ours is not None else max(side.rtt_us for side in sides),
                max(side.loss_ppm for side in sides),
            )
        )
    return found


def _state(sides: list[Claim], ours: Claim | None, *, mine: bool) -> str:
    if mine:
        return "up" if ours is not None and ours.up else "down"
    ups = sum(side.up for side in sides)
    return "up" if ups == 2 else "one-way" if ups == 1 else "down"


class Graph:
    """The usable edges, each looked at when a search comes to it: `neighbours` is all that a search needs, and building
    the whole graph first would cost more than the search."""

    def __init__(
        self,
        says: Mapping[NodeId, Said],
        own: NodeId,
        live: Mapping[NodeId, int],
        gone: Mapping[NodeId, None],
        transit: Transit | None = None,
    ) -> None:
        """`live` are our own links that are up, with the round trip time that they count with, in microseconds. Nodes
        in `gone` carry nothing, unless we have a live link to them ourselves. `transit`: who carries what is meant for
        others; None for everybody."""
        self._says = says
        self._own = own
        self._live = live
        self._gone = gone
        self._transit = transit

    def neighbours(self, node: NodeId) -> Sequence[tuple[NodeId, int]]:
        """(neighbour, cost in microseconds) of every usable edge of `node`. Those that lead to us may be among them:
        a search begins here."""
        own, live = self._own, self._live
        if node == own:
            found: list[tuple[NodeId, int]] = []
            for peer, rtt_us in live.items():
                theirs = self._claim(peer, own)
                found.append((peer, (rtt_us if theirs is None else max(rtt_us, theirs[1])) + HOP_US))
            return found
        toll_us, transit = 0, self._transit
        if transit is not None:
            if transit.barred(node):
                return ()
            toll_us = transit.toll_us(node)
        both = self._agree(node)
        if not toll_us and not self._gone:
            return both
        gone = self._gone
        return [(peer, cost_us + toll_us) for peer, cost_us in both if peer not in gone or peer in live]

    def _agree(self, node: NodeId) -> Edges:
        """The links of another that both ends list as up."""
        said = self._says.get(node)
        return () if said is None else agreed((node, said, tuple([self._says.get(peer) for peer in said.peers])))

    def _claim(self, author: NodeId, peer: NodeId) -> tuple[bool, int] | None:
        """What `author` says of its link to `peer`: whether it is up, and its round trip."""
        said = self._says.get(author)
        return None if said is None else said.claim(peer)


def _agreed(said_of: tuple[NodeId, Said, tuple[Said | None, ...]]) -> Edges:
    node, said, others = said_of
    theirs = dict(zip(said.peers, others, strict=True))
    found: list[tuple[NodeId, int]] = []
    for peer, rtt_us in said.ups():
        other = theirs[peer]
        back = None if other is None or peer == node else other.claim(node)
        if back is not None and back[0]:
            found.append((peer, max(rtt_us, back[1]) + HOP_US))
    return tuple(found)


agreed: Final = Memo(_agreed, 0)
"""(neighbour, cost in microseconds) of the links of a node that both ends list as up: of the node, its record and, in
the order of that, the records of whom it names. Remembered where `capacity` says so: in a simulator, where a thousand
nodes hold the same records."""
