"""The words by which a mesh begins and its members are let in, as an operator of this world would have them said."""

from __future__ import annotations

from typing import Final

from arqonmesh.sim.process import Process
from arqonmesh.sim.world import EPOCH_MS
from arqonmesh.wire.statement import Admission, Genesis, JoinPolicy

JOIN_POLICY: Final = JoinPolicy("key", b"", b"")


def genesis_of(founder: Process) -> Genesis:
    node = founder.config.node
    return Genesis("sim", EPOCH_MS, founder.public_key, node.cluster, node.role)


def admission_of(process: Process, admitted_ms: int = EPOCH_MS) -> Admission:
    """On a member's word alone: no ticket, and no proof of the joiner's own."""
    node = process.config.node
    return Admission(
        node_key=process.public_key,
        cluster=node.cluster,
        role=node.role,
        ticket_id="",
        uses=0,
        admitted_ms=admitted_ms,
        channel_binding=b"",
        signature=b"",
    )
