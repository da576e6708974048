"""The way to a member, and the shorter ones that are not taken: because somebody on them carries nothing for others, or
because what is for a neighbour leaves on its own link."""

from __future__ import annotations

from itertools import pairwise

from arqonmesh.api.mesh_views import HopView, RouteView
from arqonmesh.api.node_views import OwnLinkView
from arqonmesh.core.node import Node
from arqonmesh.core.plane import Plane
from arqonmesh.core.routing.paths import Path
from arqonmesh.ids import NodeId
from arqonmesh.runtime.link_views import round_trips_us


def route_view(node: Node, plane: Plane, to: NodeId, link: OwnLinkView | None) -> RouteView:
    """`link`: this node's own with `to`, wished or standing. Round trips are those that every other screen shows: what
    counts for the choice of a way is damped, so that figures which tremble move no route."""
    found, of_all = plane.routing.route(to), plane.routing.route_of_all(to)
    over, otherwise = _hops(plane, found), _hops(plane, of_all)
    linked = node.is_neighbour(to)
    hops = _hops(plane, (node.world.node_id, to)) if linked else over
    return RouteView(
        to=to,
        cluster=plane.admission.cluster_of(to) or "",
        state=plane.membership.state_of(to),
        policy=node.config.routing.transit,
        hops=hops,
        otherwise=() if linked or otherwise == hops else otherwise,
        link="" if link is None else link.state,
        link_why="" if link is None or link.state == "up" else link.why,
        shorter=over if linked and _shorter(over, hops) else (),
    )


def _shorter(way: tuple[HopView, ...], link: tuple[HopView, ...]) -> bool:
    """By what the screens show, where all of it is measured."""
    ways_ms, links_ms = ([hop.rtt_ms for hop in hops if hop.rtt_ms is not None] for hops in (way, link))
    return len(ways_ms) == len(way) > 0 < len(links_ms) and sum(ways_ms) < sum(links_ms)


def _hops(plane: Plane, path: Path | None) -> tuple[HopView, ...]:
    """Everybody on it but ourselves."""
    if path is None:
        return ()
    rtts_us = round_trips_us(plane, path[0])
    return tuple(
        HopView(
            id=node,
            cluster=plane.admission.cluster_of(node) or "",
            rtt_ms=None if rtt_us is None else rtt_us / 1_000,
            kept_off=plane.routing.transit.reason(node) if node != path[-1] else "",
        )
        for before, node in pairwise(path)
        for rtt_us in (rtts_us.get((min(before, node), max(before, node))),)
    )
