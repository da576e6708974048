"""The gossip core: every member's signed records at every member, and proof when one of them contradicts itself.

    Publish ──sign──▶ Persist(sync) ──Persisted──▶ apply, Applied(ours), push            own.py
    GossipDelta, BroadcastArrived ──verify──▶ merge ──▶ Persist, Applied, Withdrawn      merge.py, forks.py
    timer, LinkUp ──GossipRoot──▶ equal: nothing to do; unequal: exchange the difference repair.py, ranges.py

A push goes to every node by broadcast (or, without a broadcast core, to every linked peer, who passes on what was new
to it). What a push lost is repaired by comparison.

State and verdict together are a semilattice (replica.py): replicas that have exchanged what differs are equal, also
about an author that forked, whatever they heard first. What was applied of an author and does not count any more is
taken back by `Withdrawn`; an admission that is taken back may expel a member, whose own records go then too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import (
    Applied,
    BroadcastArrived,
    Dropped,
    Forked,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberExpelled,
    PartitionChanged,
    Persisted,
    Publish,
)
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.authors import Authors
from arqonmesh.core.gossip.forks import Fork
from arqonmesh.core.gossip.intake import Intake
from arqonmesh.core.gossip.lapsed import Lapsed
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.own import OwnStatements
from arqonmesh.core.gossip.packing import segment_of
from arqonmesh.core.gossip.push import GATHER_US, TOPIC, Push
from arqonmesh.core.gossip.repair import Partner, Repair
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.gossip.stages import Stages
from arqonmesh.core.gossip.telling import Telling
from arqonmesh.core.gossip.views import Views
from arqonmesh.core.gossip.waiting import KeyOf, WaitingRoom
from arqonmesh.core.kernel import (
    SECOND,
    Durable,
    Effect,
    Emit,
    Env,
    Event,
    Instant,
    Persist,
)
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import (
    GossipBuckets,
    GossipDelta,
    GossipDigest,
    GossipRanges,
    GossipRoot,
    WireMessage,
)
from arqonmesh.wire.statement import FLOOR_KEYS, Kind

FLOOR_INTERVAL: Final = 600 * SECOND
"""How often we look whether tickets and admissions of ours are over and worth a floor."""

_Slot: TypeAlias = tuple[NodeId, int, str]


class Gossip(Views):
    """The single-writer signed statement store of one node."""

    NAME: ClassVar[str] = "gossip"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (
        GossipRoot,
        GossipDigest,
        GossipDelta,
        GossipBuckets,
        GossipRanges,
    )
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        Publish,
        LinkUp,
        LinkDown,
        MemberAdmitted,
        MemberChanged,
        MemberExpelled,
        PartitionChanged,
        Applied,
        BroadcastArrived,
    )

    def __init__(
        self,
        env: Env,
        settings: GossipSettings,
        keys: KeyOf,
        limits: Limits | None = None,
        *,
        broadcasts: bool = False,
        gather_us: int = GATHER_US,
    ) -> None:
        """`broadcasts`: a broadcast core is there and carries what we push. `gather_us`: see push.py; 0 for never."""
        self._env = env
        self._settings = settings
        self._keys = keys
        self._limits = limits if limits is not None else Limits()
        super().__init__(Replica(self._limits))
        self._waiting = WaitingRoom(self._limits)
        self._own = OwnStatements(env, self._replica)
        self._repair = Repair(env, settings, self._limits, self._replica)
        self._push = Push(
            lambda: self._repair.peers,
            broadcasts=broadcasts,
            bytes_max=settings.delta_bytes_max,
            count_max=self._limits.statements_per_delta,
            gather_us=gather_us,
        )
        self.counters = self._repair.counters
        """duplicates, holes, gaps, overtaking, excluded, unknown_author, refused, merged, withdrawn, published, ranges,
        proofs, corrupt_rows, unanswered, absences_unnoted."""
        me = env.node_id
        horizon_us = int(settings.tombstone_horizon_s * SECOND)
        self._lapsed = Lapsed(env, keys, self, horizon_us, self._limits.absences, self.counters)
        self._telling = Telling(me, self.counters)
        self._intake = Intake(
            env, keys, self._replica, self._telling, self._waiting, self._own, self._repair, self._push
        )
        self._authors = Authors(
            me, keys, self._limits, self._replica, self._telling, self._waiting, self._intake, self._repair
        )
        self.stages: Stages | None = None
        """What the work costs, stage by stage; None when nobody measures."""
        if env.stopwatch is not None:
            self.measure(Stages(env.stopwatch))
        self._floor_at: Instant = 0

    def measure(self, stages: Stages) -> None:
        """Note from now on what the work costs."""
        self.stages = self._repair.stages = self._intake.stages = stages
        self._intake.verify = stages.timed(self._env.crypto.verify)

    def prefer(self, partner: Partner) -> None:
        """Let somebody who knows the peers choose with which linked one to compare next."""
        self._repair.partner = partner

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def equal_roots(self) -> int:
        """Consecutive comparisons that found equal roots: local quiescence, not convergence of the mesh."""
        return self._repair.equal_roots

    @property
    def kinds(self) -> dict[int, int]:
        """How many statements of each kind became news here since the start, ours and those of our disk included."""
        return self._telling.kinds

    @property
    def waiting_bytes(self) -> int:
        """What is kept of authors that are not members, as far as we know."""
        return self._waiting.bytes_held

    # --- the core protocol --------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Rebuild from disk and tell every other core what is known, roster first, verdicts last. Rows were verified
        before they were stored; one that does not decode is deleted, counted, and comes back from a peer."""
        found = disk.load(durable, self._env.mesh_id)
        effects: list[Effect] = []
        if found.corrupt:
            self._telling.count("corrupt_rows", len(found.corrupt))
            effects.append(Persist(-1, tuple(found.corrupt), sync=False))
            effects.append(Emit(Dropped("gossip", "corrupt-row", len(found.corrupt))))
        self._replica.restore(found.authors)
        past = [author for author, at, hash_ in found.heads if not self._replica.restore_head(author, at, hash_)]
        outlived = tuple(disk.no_head_row(author) for author in past if author != self._env.node_id)
        if outlived:
            effects.append(Persist(-1, outlived, sync=False))
        self._own.speak_beyond(self._replica.head(self._env.node_id))
        for author, fork in found.forks:
            self._replica.convict(author, fork)
        self._floor_at = now + FLOOR_INTERVAL
        self._lapsed.started(now)
        effects += self._void()
        effects += self._telling.restored(self._replica)
        return effects + [
            Emit(Forked(author, *fork.cut, fork.first, fork.second, restored=True))
            for author, fork in sorted(self._replica.forks.items())
        ]

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        match message:
            case GossipDelta():
                return self._intake.delta(now, link_peer, message)[0]
            case GossipRoot():
                return self._repair.on_root(now, link_peer, message)
            case GossipDigest():
                return self._repair.on_digest(now, link_peer, message)
            case GossipBuckets():
                return self._repair.on_buckets(now, link_peer, message)
            case GossipRanges():
                return self._repair.on_ranges(now, link_peer, message)
        raise AssertionError(f"gossip does not speak {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        match event:
            case Publish():
                return self._own.publish(event.kind, event.key, event.body)
            case Persisted():
                return self._written(now, event.token)
            case BroadcastArrived() if event.topic == TOPIC:
                return self._intake.broadcast(now, event)
            case MemberAdmitted():
                self._lapsed.admitted(now, event.node)
                return self._authors.admitted(now, event.node)
            case MemberChanged():
                if event.new in ("dead", "left"):
                    self._lapsed.gone(now, event.node)
                else:
                    self._lapsed.present(event.node)
            case MemberExpelled():
                told = self._authors.expelled(event.node)
                self._lapsed.expelled(now, event.node)
                return told
            case PartitionChanged():
                self._lapsed.governed(now, event.writable)
            case Applied():
                self._telling.introduced(event)
            case LinkUp():
                swept = [] if self._repair.peers else self._authors.sweep()
                return swept + self._repair.link_up(now, event.peer)
            case LinkDown():
                self._repair.link_down(event.peer)
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, MemberAdmitted) and not self._authors.awaits(event.node):
                self._lapsed.admitted(now, event.node)
            else:
                effects += self.on_event(now, event)
        return effects

    def on_timer(self, now: Instant) -> list[Effect]:
        effects = self._repair.on_timer(now) + self._push.on_timer(now) + self._intake.on_timer(now)
        if self._floor_at <= now:
            self._floor_at = now + FLOOR_INTERVAL
            if self._lapsed.writable:
                effects += self._own.floor(lambda: self._lapsed.test(now))
        return effects

    def next_deadline(self) -> Instant | None:
        deadline = self._repair.next_deadline()
        if deadline is not None and self._floor_at < deadline:  # without a link we say nothing of our own accord
            deadline = self._floor_at
        for due in (self._push.due(), self._intake.early.due()):
            if due is not None and (deadline is None or due < deadline):
                deadline = due
        return deadline

    # --- our own statements -------------------------------------------------------------------------------------------

    def _written(self, now: Instant, token: int) -> list[Effect]:
        me = self._env.node_id
        before = self._replica.head(me)
        current, void = self._own.written(token)
        self._telling.count("published", len(current))
        for record in void:
            if record.kind == Kind.ADMISSION:
                self._lapsed.voided(NodeId(record.key))
        writes, told = self._telling.taken_back(void)
        persist: list[Effect] = [Persist(-1, tuple(writes), sync=False)] if writes else []
        held = [record for record in current if self._is_held(record)]
        told += self._telling.applied(held) + self._push.soon(now, [segment_of(me, before, held)], None)
        return persist + told + self._own.write()

    def _void(self) -> list[Effect]:
        """At start: what a floor voids that an older version held on to, or a join still tells."""
        effects: list[Effect] = []
        for author in self._replica.sorted_authors():
            log = self._replica.authors[author]
            if any(log.get(Kind.FLOOR, key) is not None for key in FLOOR_KEYS.values()):
                writes, told = self._telling.taken_back(self._replica.void(author))
                effects += [Persist(-1, tuple(writes), sync=False)] if writes else []
                effects += told + self._telling.voided(log, author)
        return effects


__all__ = ["TOPIC", "Fork", "Gossip", "KeyOf"]
