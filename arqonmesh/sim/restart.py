"""A mesh that stands at once: every node starts from a disk on which it knows everybody, as after a power cut.

Joining one after the other costs a thousand nodes a million merges before the story begins. Here the rows are prepared
as an earlier life would have left them, signed statements and all, and each node reads them through its ordinary start.
What an earlier life had in common is shared by all disks (`Disk.lay_base`).

A start is news: a raised incarnation of each node, told to all. A thousand of them at once are a million receptions,
and a story about something else may leave them out (`settled`): all disks hold that record but its author's, who is
about to sign just these bytes. Everything else is as ever, and if a node said anything else it would have forked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from arqonmesh.core.gossip.disk import head_row, row_of
from arqonmesh.core.kernel import MILLISECOND, Put, Row
from arqonmesh.core.partition.electorate import roll_of
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.core.tables import BY_NAME
from arqonmesh.ids import MeshId, NodeId, encode_ulid
from arqonmesh.sim.crypto import ToyCrypto
from arqonmesh.sim.disk import Tables, in_order
from arqonmesh.sim.process import Process
from arqonmesh.sim.roster import JOIN_POLICY, admission_of, genesis_of
from arqonmesh.sim.sharing import SHARING, no_garbage
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import EPOCH_MS
from arqonmesh.wire.statement import (
    GENESIS_HASH,
    Adjacency,
    Body,
    Coordinate,
    Held,
    Kind,
    Links,
    NodeRecord,
    Statement,
    Vote,
    statement_hash,
)

EPOCH: Final = 1
"""The boot epoch and the incarnation of the earlier life."""
RTT_US: Final = 10 * MILLISECOND
"""What the links measured then."""
ERROR_PPM: Final = 50_000
"""How far off, in millionths, what its coordinate said of a link was then: all links took the same time."""


class _Author:
    """What one node said in its earlier life."""

    def __init__(self, process: Process, mesh_id: MeshId) -> None:
        self._process = process
        self._mesh_id = mesh_id
        self._crypto = ToyCrypto(process.public_key)
        self.epoch = EPOCH
        self.seq = 0
        self.head = GENESIS_HASH
        self.rows: list[Row] = []

    def say(self, kind: int, key: str, body: Body) -> None:
        self.seq += 1
        unsigned = Statement(
            mesh_id=self._mesh_id,
            author=self._process.node_id,
            epoch=self.epoch,
            seq=self.seq,
            prev_hash=self.head,
            kind=int(kind),
            key=key,
            body=body.encode(),
            signature=bytes(64),
        )
        signature = self._crypto.sign(unsigned.signed_bytes())
        encoded = msgspec.structs.replace(unsigned, signature=signature).encode()
        self.head = statement_hash(encoded)
        self.rows.append(row_of(self._process.node_id, int(kind), key, (self.epoch, self.seq), encoded))

    def describe(self, incarnation: int) -> None:
        """Its own record."""
        process, node = self._process, self._process.config.node
        addresses = (f"{process.name}.sim:9130",)
        self.say(
            Kind.NODE,
            "",
            NodeRecord(b"", node.cluster, node.role, node.region, addresses, incarnation, False, "sim", ()),
        )

    def live_again(self) -> tuple[Put, ...]:
        """What it says first in its next life. Returns what was in the place of that, on its own disk, until then."""
        before = next(row for row in self.rows if row[1] == Kind.NODE)
        head = self.head_row()
        self.rows.remove(before)
        self.epoch, self.seq = self.epoch + 1, 0
        self.describe(self.epoch)
        return (Put("statements", before), head)

    def head_row(self) -> Put:
        return head_row(self._process.node_id, (self.epoch, self.seq), self.head)


def restart(sim: Simulation, links: Iterable[tuple[str, str]], *, settled: bool = False) -> None:
    """All processes of `sim` come up as members of one mesh, founded by the first, and everyone has a vote. `links` are
    the operator's, dialled from the start: (who dials, whom). `settled`: all have heard that all came up. What comes of
    the same bytes is the same for all of them, and shared until `sim` ends."""
    sim.ends.enter_context(SHARING.held())
    wanted = list(links)
    mesh = prepare(sim, wanted, settled=settled)
    sim.tell("world", f"{len(sim.processes)} nodes that know each other start again")
    with no_garbage():
        sim.observer.starting = True
        for process in sim.processes.values():
            process.boot(mesh)
        sim.observer.starting = False
    for name, peer in wanted:
        endpoint = sim.processes[name].endpoint
        assert endpoint is not None, f"{name} is down"
        endpoint.want(sim.processes[peer].node_id)


def prepare(sim: Simulation, links: list[tuple[str, str]], *, settled: bool = False) -> MeshIdentity:
    """Lay on all disks what the members of a settled mesh have there; `settled` as in `restart`."""
    founder, *others = sim.processes.values()
    mesh_id = MeshId(encode_ulid(EPOCH_MS, sim.world.dice("mesh id").getrandbits(80)))
    mesh = sim.mesh = MeshIdentity(mesh_id=mesh_id, founder=founder.node_id)
    authors = _said(founder, others, links, mesh_id)
    before = {node: author.live_again() for node, author in authors.items()} if settled else {}
    base = _tables(authors)
    ordered = {name: in_order(rows) for name, rows in base.items()}
    for process in sim.processes.values():
        process.disk.lay_base(base, ordered)
        process.disk.write_now(
            (
                Put("scalars", ("membership", "incarnation", EPOCH.to_bytes(8, "big"))),
                Put("scalars", ("node", "boot_epoch", EPOCH.to_bytes(8, "big"))),
                *(before.get(process.node_id) or (authors[process.node_id].head_row(),)),
            )
        )
    return mesh


def _said(
    founder: Process, others: list[Process], links: list[tuple[str, str]], mesh_id: MeshId
) -> dict[NodeId, _Author]:
    """All that the members of a settled mesh have said: the roster and the votes by the founder, and of each node where
    it is, its links, that it holds all votes, and its coordinate."""
    nodes = (founder, *others)
    authors = {process.node_id: _Author(process, mesh_id) for process in nodes}
    first = authors[founder.node_id]
    first.say(Kind.GENESIS, "", genesis_of(founder))
    first.say(Kind.JOIN_POLICY, "", JOIN_POLICY)
    for process in others:
        first.say(Kind.ADMISSION, process.node_id, admission_of(process))
    roll = int.from_bytes(roll_of((founder.node_id,)), "big")
    for ordinal, process in enumerate(others, 1):
        roll ^= int.from_bytes(roll_of((process.node_id,)), "big")
        vote = Vote(ordinal=ordinal, settled=0, granted=True, consent=False, roll=roll.to_bytes(32, "big"))
        first.say(Kind.VOTE, process.node_id, vote)
    ids = {process.name: process.node_id for process in nodes}
    peers: dict[NodeId, list[NodeId]] = {process.node_id: [] for process in nodes}
    for a, b in links:
        peers[ids[a]].append(ids[b])
        peers[ids[b]].append(ids[a])
    for process in nodes:
        author = authors[process.node_id]
        author.describe(EPOCH)
        adjacencies = (Adjacency(peer, "up", "quic", RTT_US, 0) for peer in sorted(peers[process.node_id]))
        author.say(Kind.LINKS, "", Links(tuple(adjacencies)))
        author.say(Kind.HELD, "", Held(ordinal=len(others)))
        author.say(Kind.COORDINATE, "", Coordinate((0,) * 8, RTT_US // 2, ERROR_PPM, 0))
    return authors


def _tables(authors: dict[NodeId, _Author]) -> Tables:
    """The rows that all disks have in common: everyone's records."""
    rows: dict[str, list[Row]] = {"statements": [row for author in authors.values() for row in author.rows]}
    return {name: {row[: BY_NAME[name].key]: row for row in said} for name, said in rows.items()}
