"""The way to a member, and the shorter one that is not taken because somebody on it carries nothing for others."""

from __future__ import annotations

from arqonmesh.api.control import HopView, RouteView
from arqonmesh.core.plane import Plane
from arqonmesh.core.routing.paths import Path
from arqonmesh.ids import NodeId


def route_view(plane: Plane, policy: str, to: NodeId) -> RouteView:
    """`policy`: the setting `routing.transit`."""
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
    return tuple(
        HopView(
            id=node,
            cluster=plane.admission.cluster_of(node) or "",
            rtt_ms=rtt_us / 1_000,
            kept_off=plane.routing.transit.reason(node) if node != path[-1] else "",
        )
        for node, rtt_us in zip(path[1:], plane.routing.rtts_us(path), strict=True)
    )
