"""A delta as runs: what it says of each author, decoded and in order, and not yet verified."""

from __future__ import annotations

from itertools import groupby, pairwise

from arqonmesh.core.gossip.packing import UNVOUCHED, directly_before
from arqonmesh.core.gossip.waiting import Run
from arqonmesh.errors import DecodeError
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.wire.messages import GossipDelta
from arqonmesh.wire.statement import decode_statement


class WrongMesh(DecodeError):
    """A statement of another mesh: well formed, and no business of ours."""


def runs_of(delta: GossipDelta, link_peer: NodeId, mesh_id: MeshId) -> list[Run]:
    """One run per author. Raises DecodeError when a statement is malformed, an author comes twice or its statements do
    not ascend; WrongMesh when one is of another mesh."""
    statements = [(decode_statement(encoded), encoded) for encoded in delta.statements]
    if any(statement.mesh_id != mesh_id for statement, _ in statements):
        raise WrongMesh("gossip.wrong-mesh", f"a statement of another mesh than {mesh_id}")
    bases = {NodeId(author): (epoch, seq) for author, epoch, seq in delta.bases}
    runs: dict[NodeId, Run] = {}
    for name, group in groupby(statements, key=lambda item: item[0].author):
        author, members = NodeId(name), tuple(group)
        ascending = all((a.epoch, a.seq) <= (b.epoch, b.seq) for (a, _), (b, _) in pairwise(members))
        if author in runs or not ascending:
            raise DecodeError("gossip.unordered", f"the statements of {author} are not in one piece and in order")
        first = members[0][0]
        base = bases.get(author, directly_before((first.epoch, first.seq)))
        runs[author] = Run(link_peer, author, None if base == UNVOUCHED else base, members)
    return list(runs.values())
