"""One node of the story: its admission and partition cores, and what it has heard."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.admission.core import Admission
from arqonmesh.core.events import Applied, MemberAdmitted, MemberChanged, MemberExpelled, Publish
from arqonmesh.core.kernel import Effect, Emit
from arqonmesh.core.partition.core import Partition
from arqonmesh.core.router import Router
from arqonmesh.ids import MeshId, NodeId, encode_ulid, node_id_of
from arqonmesh.sim.crypto import toy_key
from arqonmesh.wire.statement import Body, Kind, NodeRecord
from bench.core_env import core_env
from bench.partitions.gossip import Log, Record

if TYPE_CHECKING:
    from bench.partitions.world import World

MESH: Final = MeshId(encode_ulid(1_700_000_000_000, 3))
Preset: TypeAlias = Literal["byzantine", "crash"]


class Node:
    """The two cores of one node, and what it has heard."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.key = toy_key(name)
        self.id = node_id_of(self.key)
        self.logs: dict[NodeId, Log] = {}
        self.links: dict[NodeId, None] = {}
        self.up = False
        self.left = False
        self.incarnation = 0
        self.known: dict[NodeId, str] = {}

    def boot(self) -> None:
        """Start with what is held: as after a restart, records of each author in their order."""
        world = self.world
        dice = random.Random(f"{world.seed} {self.name} {self.incarnation}")
        env = core_env(self.key, MESH, dice, cluster="c", wall_ms=lambda: world.now // 1_000)
        self.admission = Admission(env, world.founder)
        settings = MembershipSettings(partition_preset=world.preset)
        self.partition = Partition(env, settings, world.founder)
        self.router = Router((self.admission, self.partition))
        self.up, self.left = True, False
        self.links = {}
        self.known = {}
        self.perform(self.router.start(world.now, {}))
        for author, log in list(self.logs.items()):
            for record in log.beyond(0):
                self.apply(author, record)
        self.incarnation += 1
        self.say(Kind.NODE, "", self.record(leaving=False))

    def record(self, *, leaving: bool) -> NodeRecord:
        return NodeRecord(self.key, "c", "hub", "", (), self.incarnation, leaving, "", ())

    def say(self, kind: int, key: str, body: Body) -> None:
        log = self.logs.setdefault(self.id, Log())
        record = Record(log.head + 1, kind, key, body)
        log.take(record)
        self.apply(self.id, record)

    def apply(self, author: NodeId, record: Record) -> None:
        ours = author == self.id
        self.perform(
            self.router.event(self.world.now, Applied(author, record.kind, record.key, record.body, b"", ours))
        )
        if record.kind == Kind.NODE:
            self.look_at(author)

    def look_at(self, node: NodeId, *, expelled: bool = False) -> None:
        """What membership would say of a member, by its own record."""
        log = self.logs.get(node)
        record = None if log is None else log.newest.get((Kind.NODE, ""))
        state = ""
        if self.admission.member(node) is None:
            state = "left" if expelled or node in self.known else ""
        elif record is not None:
            assert isinstance(record.body, NodeRecord)
            state = "left" if record.body.leaving else "alive"
        if state and state != self.known.get(node):
            old, self.known[node] = self.known.get(node, ""), state
            self.perform(self.router.event(self.world.now, MemberChanged(node, old, state, 1, "record")))

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Emit), effect
            event = effect.event
            if isinstance(event, Publish):
                self.say(event.kind, event.key, event.body)
            elif isinstance(event, MemberAdmitted | MemberExpelled):
                self.look_at(event.node, expelled=isinstance(event, MemberExpelled))

    @property
    def accepts(self) -> bool:
        return self.up and self.partition.writable
