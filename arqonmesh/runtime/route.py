"""The way to a member, and the shorter one that is not taken because somebody on it carries nothing for others."""

from __future__ import annotations

from itertools import pairwise

from arqonmesh.api.control import HopView, RouteView
from arqonmesh.core.plane import Plane
from arqonmesh.core.routing.paths import Path
from arqonmesh.ids import NodeId
from arqonmesh.runtime.link_views import round_trips_us


def route_view(plane: Plane, policy: str, to: NodeId) -> RouteView:
    """`policy`: the setting `routing.transit`. Round trips are those that every other screen shows: what counts for the
    choice of a way is damped, so that figures which tremble move no route."""
    path, otherwise = plane.routing.route(to), plane.routing.route_of_all(to)
    return RouteView(
        to=to,
        cluster=plane.admission.cluster_of(to) or "",
        state=plane.membership.state_of(to),
        policy=policy,
        hops=_hops(plane, path),
        otherwise=() if otherwise == path else _hops(plane, otherwise),
    )


def _hops(plane: Plane, path: Path | None) -> tuple[HopView, ...]:
    """Everybody on it but ourselves."""
    if path is None:
        return ()
    rtts_us = round_trips_us(plane, path[0])
    return tuple(
        HopView(
            id=node,
            cluster=plane.admission.cluster_of(node) or "",
            rtt_ms=rtts_us.get((min(before, node), max(before, node)), 0) / 1_000,
            kept_off=plane.routing.transit.reason(node) if node != path[-1] else "",
        )
        for before, node in pairwise(path)
    )
