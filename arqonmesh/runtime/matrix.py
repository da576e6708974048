"""Round trips between all pairs of members: measured where a link is, by coordinates where none is."""

from __future__ import annotations

from itertools import combinations
from typing import Final

from arqonmesh.api.mesh_views import MatrixCellView, MatrixNodeView, MatrixView
from arqonmesh.core.node import Node
from arqonmesh.core.plane import Plane
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Kind, NodeRecord

NODES_MAX: Final = 200
"""Beyond, who comes last by id is left out: 20,000 pairs are more than anyone reads."""


def matrix_view(node: Node, plane: Plane) -> MatrixView:
    """Every pair of present members of which something is known; links that are down say nothing any more."""
    members = [m for m in plane.admission.members() if plane.membership.state_of(m.node) not in ("left", "")]
    members = members[:NODES_MAX]
    links = {(edge.a, edge.b): edge for edge in plane.routing.edges() if edge.state == "up"}
    cells: list[MatrixCellView] = []
    for a, b in combinations(sorted(member.node for member in members), 2):
        edge = links.get((a, b))
        if edge is not None:
            loss = edge.loss_ppm / 1_000_000
            cells.append(MatrixCellView(a=a, b=b, rtt_ms=edge.rtt_us / 1_000, loss=loss, measured=True))
            continue
        guess_us = plane.coordinates.estimate_us(a, b)
        if guess_us is not None:
            cells.append(MatrixCellView(a=a, b=b, rtt_ms=guess_us / 1_000, loss=None, measured=False))
    nodes = tuple(
        MatrixNodeView(
            id=member.node,
            cluster=member.cluster,
            region=_region_of(plane, member.node),
            state=plane.membership.state_of(member.node),
        )
        for member in members
    )
    return MatrixView(self_=node.world.node_id, nodes=nodes, cells=tuple(cells))


def _region_of(plane: Plane, node: NodeId) -> str:
    record = plane.gossip.get(node, Kind.NODE)
    return record.region if isinstance(record, NodeRecord) else ""
