"""A pretend network for federation cores: links are first-in-first-out queues, disks are dicts, one seed moves all."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from arqonmesh.config.model import FederationSettings
from arqonmesh.core.events import (
    Imported,
    LinkDown,
    LinkUp,
    MemberDescribed,
    Persisted,
    Published,
    TransportDown,
    TransportUp,
)
from arqonmesh.core.federation.core import Federation
from arqonmesh.core.kernel import Delete, Disconnect, Effect, Emit, Env, Event, Persist, Put, Row, Send
from arqonmesh.core.tables import BY_NAME
from arqonmesh.ids import ClusterId, MeshId, NodeId, node_id_of
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import BusBatch, WireMessage

MESH = MeshId("01ARZ3NDEKTSV4RRFFQ69G5FAV")


class KeyedHash:
    """A signature that anyone could make, but nobody in these tests does by accident."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self._public_key + message).digest()

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return hashlib.sha512(public_key + message).digest() == signature


@dataclass
class Member:
    """A node with only its federation core; `tables` is the disk."""

    name: str
    cluster: str
    settings: FederationSettings
    public_key: bytes
    node_id: NodeId
    region: str = ""
    epoch: int = 0
    core: Federation | None = None
    tables: dict[str, dict[Row, Row]] = field(default_factory=dict)
    commits: deque[Persist] = field(default_factory=deque)
    events: list[Event] = field(default_factory=list)
    delivered: list[tuple[str, bytes]] = field(default_factory=list)
    writes: int = 0
    """Rows of the outbox ever written."""

    @property
    def fed(self) -> Federation:
        assert self.core is not None, f"{self.name} is down"
        return self.core

    def said(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if type(event) is kind]


class Net:
    """Members and the links between them. Nothing moves by itself: `step`, `settle`, `tick`."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.now = 1_000_000
        self.members: dict[NodeId, Member] = {}
        self.queues: dict[tuple[NodeId, NodeId], deque[bytes]] = {}
        self.up: dict[tuple[NodeId, NodeId], None] = {}
        self.off_the_roster: dict[NodeId, None] = {}
        self.convicted: dict[NodeId, None] = {}
        self.barred: dict[NodeId, dict[NodeId, None]] = {}
        """Of each member whom it lets carry nothing for others."""
        self.doubts: dict[NodeId, str] = {}
        """Members whose cluster nobody vouches for, and why."""
        self.sent_batches = 0

    # --- building -----------------------------------------------------------------------------------------

    def add(self, name: str, cluster: str, settings: FederationSettings | None = None, *, region: str = "") -> Member:
        public_key = hashlib.sha256(name.encode()).digest()
        member = Member(name, cluster, settings or FederationSettings(), public_key, node_id_of(public_key), region)
        self.members[member.node_id] = member
        self.boot(member)
        if region:
            self.move(member, region)
        return member

    def move(self, member: Member, region: str) -> None:
        """The member tells everyone that this is its region; its own process is told by its configuration."""
        member.region = region
        for other in self.members.values():
            if other is not member and other.core is not None:
                self.tell(other, _described(member))

    def boot(self, member: Member) -> None:
        member.epoch += 1
        env = Env(
            node_id=member.node_id,
            public_key=member.public_key,
            cluster=ClusterId(member.cluster),
            role="hub",
            region=member.region,
            mesh_id=MESH,
            rng=random.Random(1),
            wall_ms=lambda: 0,
            crypto=KeyedHash(member.public_key),
            boot_epoch=member.epoch,
        )
        convicted = self.convicted.__contains__
        member.core = Federation(
            env,
            member.settings,
            keys=self.key_of,
            cluster_of=self.cluster_of,
            doubt_of=self.doubt_of,
            convicted=convicted,
            barred=lambda node: node in self.barred.get(member.node_id, {}),
        )
        durable = {name: list(rows.values()) for name, rows in member.tables.items()}
        self.perform(member, member.core.start(self.now, durable))
        for other in self.members.values():
            if other is not member and other.region:
                self.tell(member, _described(other))

    def key_of(self, node: NodeId) -> bytes | None:
        member = self._on_the_roster(node)
        return None if member is None else member.public_key

    def cluster_of(self, node: NodeId) -> str | None:
        member = self._on_the_roster(node)
        return None if member is None else member.cluster

    def doubt_of(self, node: NodeId) -> str:
        return self.doubts.get(node, "")

    # --- what happens -------------------------------------------------------------------------------------

    def connect(self, a: Member, b: Member) -> None:
        if a.core is None or b.core is None or (a.node_id, b.node_id) in self.up:
            return
        for one, other in ((a, b), (b, a)):
            self.up[one.node_id, other.node_id] = None
            self.queues[one.node_id, other.node_id] = deque()
        for one, other in self.shuffled([(a, b), (b, a)]):
            self.tell(one, TransportUp(other.node_id, "test", True))
        for one, other in self.shuffled([(a, b), (b, a)]):
            self.tell(one, LinkUp(other.node_id, "test"))

    def cut(self, a: Member, b: Member) -> None:
        """Both sides lose the connection and what was on its way."""
        if (a.node_id, b.node_id) not in self.up:
            return
        for one, other in ((a, b), (b, a)):
            del self.up[one.node_id, other.node_id]
            del self.queues[one.node_id, other.node_id]
        for one, other in ((a, b), (b, a)):
            if one.core is not None:
                self.tell(one, TransportDown(other.node_id, "cut"))
                self.tell(one, LinkDown(other.node_id, "cut"))

    def silence(self, a: Member, b: Member) -> None:
        """Both links fall and their connection stands: what was on its way still is."""
        for one, other in ((a, b), (b, a)):
            self.tell(one, LinkDown(other.node_id, "silent"))

    def reopen(self, a: Member, b: Member) -> None:
        """Both links are back, on the connection that they had."""
        for one, other in ((a, b), (b, a)):
            self.tell(one, LinkUp(other.node_id, "test"))

    def crash(self, member: Member) -> None:
        """The process dies; what was handed to the disk is kept up to a point that the dice choose."""
        for _ in range(self.rng.randrange(len(member.commits) + 1)):
            self.write(member, member.commits.popleft())
        member.commits.clear()
        member.core = None
        for other in list(self.members.values()):
            self.cut(member, other)

    def publish(self, member: Member, channel: str, frame: bytes) -> None:
        self.tell(member, Published(channel, (frame,), None))

    def tell(self, member: Member, event: Event) -> None:
        self.perform(member, member.fed.on_event(self.now, event))

    def tick(self, member: Member) -> None:
        if member.core is not None:
            self.perform(member, member.core.flush(self.now))

    def commit(self, member: Member) -> bool:
        """The disk finishes one transaction."""
        if member.core is None or not member.commits:
            return False
        persist = member.commits.popleft()
        self.write(member, persist)
        if persist.token >= 0:
            self.tell(member, Persisted(persist.token))
        return True

    def deliver(self, source: Member, target: Member) -> bool:
        """The oldest message on one way of one link arrives."""
        queue = self.queues.get((source.node_id, target.node_id))
        if not queue or target.core is None:
            return False
        message = decode_message(queue.popleft())
        self.perform(target, target.core.on_message(self.now, source.node_id, message))
        return True

    def inject(self, source: Member, target: Member, message: WireMessage) -> None:
        """A message as if `source` had sent it."""
        self.perform(target, target.fed.on_message(self.now, source.node_id, message))
        self.tick(target)

    def timers(self) -> bool:
        fired = False
        for member in self.members.values():
            deadline = None if member.core is None else member.core.next_deadline()
            if deadline is not None and deadline <= self.now:
                self.perform(member, member.fed.on_timer(self.now))
                fired = True
        return fired

    def step(self) -> bool:
        """One thing, by the dice. False when nothing is left to do at this time."""
        moves = [
            *((self.commit, (member,)) for member in self.members.values() if member.core and member.commits),
            *(
                (self.deliver, (self.members[source], self.members[target]))
                for (source, target), queue in self.queues.items()
                if queue
            ),
        ]
        if moves:
            action, arguments = self.rng.choice(moves)
            done = bool(action(*arguments))  # type: ignore[operator]
            if self.rng.random() < 0.5:
                self.tick(self.rng.choice(list(self.members.values())))
            return done
        return self.timers()

    def settle(self, *, wait_us: int = 60_000, steps: int = 200_000) -> int:
        """Until nothing moves any more, also after `wait_us`. The steps taken; fails when it does not end."""
        taken = 0
        until = self.now + wait_us
        while True:
            while self.step():
                taken += 1
                assert taken < steps, "the network does not come to rest"
            if self.now >= until:
                return taken
            self.now += 5_000

    # --- private ------------------------------------------------------------------------------------------

    def _on_the_roster(self, node: NodeId) -> Member | None:
        return None if node in self.off_the_roster else self.members.get(node)

    def perform(self, member: Member, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                queue = self.queues.get((member.node_id, effect.to))
                if queue is not None:
                    self.sent_batches += isinstance(effect.message, BusBatch)
                    queue.append(encode_message(effect.message))
            elif isinstance(effect, Persist):
                member.commits.append(effect)
            elif isinstance(effect, Disconnect):
                self.cut(member, self.members[effect.peer])
            elif isinstance(effect, Emit):
                member.events.append(effect.event)
                if isinstance(effect.event, Imported):
                    member.delivered += [(effect.event.channel, frame) for frame in effect.event.frames]

    def write(self, member: Member, persist: Persist) -> None:
        for write in persist.writes:
            table = member.tables.setdefault(write.table, {})
            if isinstance(write, Put):
                member.writes += write.table == "outbox"
                table[write.row[: BY_NAME[write.table].key]] = write.row
            else:
                assert isinstance(write, Delete)
                table.pop(write.key, None)

    def shuffled(self, pairs: list[tuple[Member, Member]]) -> Iterator[tuple[Member, Member]]:
        self.rng.shuffle(pairs)
        return iter(pairs)


def _described(member: Member) -> MemberDescribed:
    return MemberDescribed(member.node_id, member.cluster, "hub", member.region, (), "test")
