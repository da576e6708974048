"""The mesh as a graph: who says what about which link, and what follows from it.

An edge carries routes only when **both** ends list it as up (OSPF's two-way check, RFC 2328, 16.1): half-dead links and
one-sided claims carry nothing. Its cost is the larger of the two claims, so that nobody attracts traffic by claiming a
short link. This node's own links count as it measures them, whatever its record or the other side's still says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from arqonmesh.ids import NodeId

HOP_US: Final = 1_000
"""What a hop costs beyond its round trip time: a node's own handling, and the reason to prefer fewer hops."""
UNMEASURED_US: Final = 10_000
"""The round trip time assumed for a link of ours that has not been measured yet."""


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


Costs: TypeAlias = Mapping[NodeId, Mapping[NodeId, int]]
"""Directed both ways: node, neighbour, cost in microseconds. Neighbours are sorted."""


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


def costs(claims: Mapping[NodeId, Mapping[NodeId, Claim]], own: NodeId, gone: Mapping[NodeId, None]) -> Costs:
    """The usable edges. Nodes in `gone` carry nothing, unless we have a live link to them ourselves."""
    usable: dict[NodeId, dict[NodeId, int]] = {own: {}}
    live = claims.get(own, {})
    for node in sorted(claims):
        if node == own or (node in gone and not _up(live.get(node))):
            continue
        for peer, claim in sorted(claims[node].items()):
            back = claims.get(peer, {}).get(node)
            if peer == own or peer <= node or not claim.up or back is None or not back.up:
                continue
            if peer in gone and not _up(live.get(peer)):
                continue
            cost = max(claim.rtt_us, back.rtt_us) + HOP_US
            usable.setdefault(node, {})[peer] = cost
            usable.setdefault(peer, {})[node] = cost
    for peer, claim in sorted(live.items()):
        if claim.up and peer != own:
            theirs = claims.get(peer, {}).get(own)
            cost = (claim.rtt_us if theirs is None else max(claim.rtt_us, theirs.rtt_us)) + HOP_US
            usable[own][peer] = cost
            usable.setdefault(peer, {})[own] = cost
    return {node: dict(sorted(usable[node].items())) for node in sorted(usable)}


def _up(claim: Claim | None) -> bool:
    return claim is not None and claim.up
