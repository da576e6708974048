"""A pretend wire: real gossip cores with real admission cores behind them, messages that a test moves by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.admission.core import Admission
from arqonmesh.core.events import Applied, LinkDown, LinkUp, PartitionChanged, Publish
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import Position
from arqonmesh.core.kernel import Delete, Effect, Emit, Event, Instant, Persist, Put, Row, Send
from arqonmesh.core.router import Router
from arqonmesh.core.tables import BY_NAME
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import GossipDelta, WireMessage
from arqonmesh.wire.statement import Admission as AdmissionBody
from arqonmesh.wire.statement import (
    Body,
    Genesis,
    JoinPolicy,
    Kind,
    NodeRecord,
    Statement,
    decode_body,
    decode_statement,
    statement_hash,
)
from tests.core.toy import env_of, key_of, node_of

SECOND = 1_000_000
E = TypeVar("E", bound=Event)
SETTINGS = GossipSettings()
WHOLE = PartitionChanged("healthy", True, 3, 2, 3, "crash", "healthy", 3, 3)
CUT_OFF = PartitionChanged("critical", False, 1, 2, 3, "crash", "partitioned", 1, 3)


class Disk:
    """Tables of rows. What was not synced can be lost."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[Row, Row]] = {name: {} for name in BY_NAME}
        self._unsynced: list[Persist] = []

    def write(self, persist: Persist) -> None:
        self._unsynced.append(persist)

    def sync(self) -> None:
        for persist in self._unsynced:
            for write in persist.writes:
                width = BY_NAME[write.table].key
                if isinstance(write, Put):
                    assert len(write.row) == len(BY_NAME[write.table].columns), write
                    self.tables[write.table][write.row[:width]] = write.row
                else:
                    assert isinstance(write, Delete)
                    self.tables[write.table].pop(write.key, None)
        self._unsynced.clear()

    def lose(self) -> None:
        """A power cut: what was not synced is gone."""
        self._unsynced.clear()

    def durable(self) -> dict[str, list[Row]]:
        self.sync()
        return {name: list(rows.values()) for name, rows in self.tables.items()}


@dataclass
class Member:
    """One node: admission and gossip behind the real router, a disk, and what they said."""

    name: str
    founder: str
    settings: GossipSettings = SETTINGS
    limits: Limits | None = None
    epoch: int = 1
    bootstrap: tuple[bytes, ...] = ()
    """What a JoinAccept told us, as core/plane.py replays it at every start."""
    disk: Disk = field(default_factory=Disk)
    instant_disk: bool = True
    events: list[Event] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    spoken: list[bytes] = field(default_factory=list)
    """Our own statements since somebody last looked."""

    def __post_init__(self) -> None:
        self.id = node_of(self.name)
        self.outbox: deque[tuple[NodeId, bytes]] = deque()
        self.now: Instant = 0
        self.boot()

    def boot(self) -> None:
        env = env_of(self.name, epoch=self.epoch)
        self.admission = Admission(env, node_of(self.founder))
        self.gossip = Gossip(env, self.settings, self.admission.key_of, self.limits, gather_us=0)
        self.router = Router((self.admission, self.gossip))
        self.tokens.clear()
        self.outbox.clear()
        for encoded in self.bootstrap:
            statement = decode_statement(encoded)
            body = decode_body(statement.kind, statement.body)
            assert body is not None
            self.tell(Applied(NodeId(statement.author), statement.kind, statement.key, body, encoded, ours=False))
        self.perform(self.router.run(self.now, self.gossip, self.gossip.start(self.now, self.disk.durable())))
        self.tell(WHOLE)

    def crash(self, *, power_cut: bool = True) -> None:
        """Die and live again under the next boot epoch."""
        if power_cut:
            self.disk.lose()
        self.epoch += 1
        self.boot()

    def tell(self, event: Event) -> None:
        self.perform(self.router.event(self.now, event))

    def publish(self, kind: int, body: Body, key: str = "") -> None:
        self.tell(Publish(kind, key, body))

    def receive(self, peer: NodeId, data: bytes) -> None:
        effects = self.router.message(self.now, peer, decode_message(data))
        assert effects is not None
        self.perform(effects)

    def timer(self, now: Instant) -> None:
        self.now = max(self.now, now)
        self.perform(self.router.timer(self.now))

    def finish_writes(self) -> None:
        """Put on disk and answer every outstanding Persist; those that this causes too."""
        while self.tokens:
            self.disk.sync()
            self.perform(self.router.persisted(self.now, self.tokens.pop(0)))

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    data = encode_message(effect.message)
                    assert decode_message(data) == effect.message
                    self.outbox.append((effect.to, data))
                case Persist():
                    self.disk.write(effect)
                    if effect.token >= 0:
                        self.tokens.append(effect.token)
                case Emit():
                    if isinstance(effect.event, Applied) and effect.event.ours:
                        self.spoken.append(effect.event.encoded)
                    self.events.append(effect.event)
                case _:
                    raise AssertionError(f"gossip has no business with {effect}")
        if self.instant_disk:
            self.finish_writes()

    def said(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def sent(self) -> list[tuple[NodeId, WireMessage]]:
        """Take what waits to leave, decoded."""
        taken = [(to, decode_message(data)) for to, data in self.outbox]
        self.outbox.clear()
        return taken


def genesis_of(name: str) -> Genesis:
    return Genesis(name="acme", created_ms=1, founder_key=key_of(name), cluster="hq", role="hub")


def admission_of(name: str, *, cluster: str = "", role: str = "hub", at_ms: int = 2, ticket: str = "") -> AdmissionBody:
    """Without any proof of the joiner: it counts by the founder's word alone."""
    return AdmissionBody(
        node_key=key_of(name),
        cluster=cluster or name,
        role=role,
        ticket_id=ticket,
        uses=1 if ticket else 0,
        admitted_ms=at_ms,
        channel_binding=b"",
        signature=b"",
    )


def node_record(name: str, incarnation: int) -> NodeRecord:
    return NodeRecord(
        node_key=key_of(name),
        cluster=name,
        role="hub",
        region="eu",
        addresses=("10.0.0.1:9130",),
        incarnation=incarnation,
        leaving=False,
        software="test",
        capabilities=(),
    )


def signed(
    author: str,
    seq: int,
    body: Body,
    *,
    kind: int = Kind.NODE,
    key: str = "",
    epoch: int = 1,
    previous: bytes = bytes(32),
    mesh: str = "",
    raw_body: bytes | None = None,
) -> bytes:
    """A statement as its author would sign it, whatever it says."""
    env = env_of(author)
    unsigned = Statement(
        mesh_id=mesh or env.mesh_id,
        author=env.node_id,
        epoch=epoch,
        seq=seq,
        prev_hash=previous,
        kind=kind,
        key=key,
        body=body.encode() if raw_body is None else raw_body,
        signature=bytes(64),
    )
    return msgspec.structs.replace(unsigned, signature=env.crypto.sign(unsigned.signed_bytes())).encode()


def chain(author: str, bodies: Sequence[tuple[str, Body]], *, epoch: int = 1, kind: int = Kind.NODE) -> list[bytes]:
    """Consecutive statements of one author, linked by their hashes."""
    statements: list[bytes] = []
    for seq, (key, body) in enumerate(bodies, 1):
        previous = statement_hash(statements[-1]) if statements else bytes(32)
        statements.append(signed(author, seq, body, kind=kind, key=key, epoch=epoch, previous=previous))
    return statements


@dataclass
class World:
    """Members, the links between them, what is on the wire, and all that anyone ever said."""

    names: tuple[str, ...]
    settings: GossipSettings = SETTINGS
    limits: Limits | None = None
    instant_disk: bool = True

    def __post_init__(self) -> None:
        founder = Member(self.names[0], self.names[0], self.settings, self.limits)
        founder.publish(Kind.GENESIS, genesis_of(founder.name))
        founder.publish(Kind.JOIN_POLICY, JoinPolicy(policy="open", key_salt=b"", key_public=b""))
        for name in self.names[1:]:
            founder.publish(Kind.ADMISSION, admission_of(name), node_of(name))
        self.bootstrap = founder.gossip.encoded_for_join()
        founder.instant_disk = self.instant_disk
        self.members: dict[NodeId, Member] = {founder.id: founder}
        for name in self.names[1:]:
            member = Member(
                name,
                founder.name,
                self.settings,
                self.limits,
                bootstrap=self.bootstrap,
                instant_disk=self.instant_disk,
            )
            self.members[member.id] = member
        self.wire: list[tuple[NodeId, NodeId, bytes]] = []
        self.links: set[tuple[NodeId, NodeId]] = set()
        self.spoken: dict[NodeId, dict[Position, tuple[Statement, bytes]]] = {}
        self.now: Instant = 0
        self.deltas_carried = 0
        self.collect()

    def __getitem__(self, name: str) -> Member:
        return self.members[node_of(name)]

    def link(self, a: str, b: str) -> None:
        first, second = self[a], self[b]
        self.links |= {(first.id, second.id), (second.id, first.id)}
        first.tell(LinkUp(second.id, "quic"))
        second.tell(LinkUp(first.id, "quic"))
        self.collect()

    def cut(self, a: str, b: str) -> None:
        first, second = self[a], self[b]
        self.links -= {(first.id, second.id), (second.id, first.id)}
        first.tell(LinkDown(second.id, "cut"))
        second.tell(LinkDown(first.id, "cut"))
        self.wire = [item for item in self.wire if {item[0], item[1]} != {first.id, second.id}]
        self.collect()

    def crash(self, name: str, *, power_cut: bool) -> None:
        """Crash and restart; the links come up again by themselves."""
        member = self[name]
        neighbours = sorted(b for a, b in self.links if a == member.id)
        self.wire = [item for item in self.wire if member.id not in item[:2]]
        member.crash(power_cut=power_cut)
        for neighbour in neighbours:
            self.members[neighbour].tell(LinkDown(member.id, "crash"))
            self.members[neighbour].tell(LinkUp(member.id, "quic"))
            member.tell(LinkUp(neighbour, "quic"))
        self.collect()

    def collect(self) -> None:
        """Put what everyone wants to send on the wire, and note what each author has said for the first time."""
        for member in self.members.values():
            for encoded in member.spoken:
                statement = decode_statement(encoded)
                said = self.spoken.setdefault(member.id, {})
                held = said.setdefault((statement.epoch, statement.seq), (statement, encoded))
                assert held[1] == encoded, f"{member.name} contradicted itself at {statement.epoch, statement.seq}"
            member.spoken.clear()
            while member.outbox:
                to, data = member.outbox.popleft()
                if (member.id, to) in self.links:
                    self.wire.append((member.id, to, data))

    def deliver(self, index: int, *, keep: bool = False) -> None:
        """Hand over the message at this place of the wire; `keep` leaves it there, to arrive again."""
        source, to, data = self.wire[index] if keep else self.wire.pop(index)
        self.deltas_carried += isinstance(decode_message(data), GossipDelta)
        self.members[to].now = max(self.members[to].now, self.now)
        self.members[to].receive(source, data)
        self.collect()

    def lose_between(self, source: str, to: str) -> None:
        """Lose all that is on its way from one member to another."""
        self.wire = [item for item in self.wire if item[:2] != (node_of(source), node_of(to))]

    def settle(self, limit: int = 20_000) -> int:
        """Deliver everything in order until the wire is silent. Returns the number of messages."""
        count = 0
        while self.wire:
            self.deliver(0)
            count += 1
            assert count < limit, "the wire does not fall silent"
        return count

    def pass_time(self, microseconds: int) -> None:
        """Fire timers in order and settle after each."""
        end = self.now + microseconds
        while True:
            due = [
                (deadline, member.id)
                for member in self.members.values()
                if (deadline := member.gossip.next_deadline()) is not None and deadline <= end
            ]
            if not due:
                break
            at, node = min(due)
            self.now = max(self.now, at)
            self.members[node].timer(self.now)
            self.collect()
            self.settle()
        self.now = end

    def assert_prefix_closed(self) -> None:
        """Every replica holds, up to its head of each author, all that the author has not superseded since."""
        for author, said in self.spoken.items():
            newest: dict[tuple[int, str], Position] = {}
            for position in sorted(said):
                newest[said[position][0].kind, said[position][0].key] = position
            for member in self.members.values():
                heads = {name: (epoch, seq) for name, epoch, seq in member.gossip.heads()}
                head = heads.get(author, (0, 0))
                for (kind, key), position in newest.items():
                    if position <= head:
                        held = member.gossip.encoded(author, kind, key)
                        assert held == said[position][1], f"{member.name} at {head} of {author} lacks {position}"

    def assert_equal(self) -> None:
        self.assert_equal_among(*(member.name for member in self.members.values()))

    def assert_equal_among(self, *names: str) -> None:
        roots = {name: self[name].gossip.root() for name in names}
        assert len(set(roots.values())) == 1, roots
