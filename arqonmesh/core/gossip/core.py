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

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final, TypeAlias

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import (
    Applied,
    BroadcastArrived,
    BroadcastJudged,
    Dropped,
    Fault,
    Forked,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberExpelled,
    Persisted,
    Publish,
    Withdrawn,
)
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.forks import Fork, Verify, verify_statement
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import Position, Record
from arqonmesh.core.gossip.merge import Outcome, holds, merge
from arqonmesh.core.gossip.own import OwnStatements
from arqonmesh.core.gossip.packing import Segment, segment_of
from arqonmesh.core.gossip.push import GATHER_US, TOPIC, Push
from arqonmesh.core.gossip.reading import WrongMesh, runs_of
from arqonmesh.core.gossip.repair import Partner, Repair
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.gossip.stages import Stages
from arqonmesh.core.gossip.views import Views
from arqonmesh.core.gossip.waiting import KeyOf, Run, WaitingRoom
from arqonmesh.core.kernel import (
    SECOND,
    Durable,
    Effect,
    Emit,
    Env,
    Event,
    Instant,
    Persist,
    Write,
)
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import (
    MAX_FRAME_BYTES,
    GossipBuckets,
    GossipDelta,
    GossipDigest,
    GossipRanges,
    GossipRoot,
    WireMessage,
)
from arqonmesh.wire.statement import Admission, Invite, Kind, decode_statement

FLOOR_INTERVAL: Final = 600 * SECOND
"""How often we look whether tickets of ours are over and worth a floor."""

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
        MemberExpelled,
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
            patience_ppm=int.from_bytes(env.public_key[:4], "big") % 1_000_000,
        )
        self._verify: Verify = env.crypto.verify
        self.stages: Stages | None = None
        """What the work costs, stage by stage; None when nobody measures."""
        if env.stopwatch is not None:
            self.measure(Stages(env.stopwatch))
        self._introduced: dict[_Slot, Position] = {}
        """What a join told the other cores before it came by gossip, and where it stands in its author's log."""
        self._shelved: dict[NodeId, Fork] = {}
        """Proofs against authors that are no members at present."""
        self._accused: dict[tuple[NodeId, str], None] = {}
        self._floor_at: Instant = 0
        self.counters = self._repair.counters
        """duplicates, holes, gaps, excluded, unknown_author, refused, merged, withdrawn, published, ranges, proofs,
        corrupt_rows, unanswered."""

    def measure(self, stages: Stages) -> None:
        """Note from now on what the work costs."""
        self.stages = self._repair.stages = stages
        self._verify = stages.timed(self._env.crypto.verify)

    def prefer(self, partner: Partner) -> None:
        """Let somebody who knows the peers choose with which linked one to compare next."""
        self._repair.partner = partner

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def equal_roots(self) -> int:
        """Consecutive comparisons that found equal roots: local quiescence, not convergence of the mesh."""
        return self._repair.equal_roots

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
            self._count("corrupt_rows", len(found.corrupt))
            effects.append(Persist(-1, tuple(found.corrupt), sync=False))
            effects.append(Emit(Dropped("gossip", "corrupt-row", len(found.corrupt))))
        for record in found.records:
            self._replica.put(record)
        for author, position, hash_ in found.heads:
            self._replica.restore_head(author, position, hash_)
        self._own.speak_beyond(self._replica.head(self._env.node_id))
        for author, fork in found.forks:
            self._replica.convict(author, fork)
        self._floor_at = now + FLOOR_INTERVAL
        held = [r for r in found.records if self._is_held(r)]
        effects += self._applied(sorted(held, key=lambda r: (r.kind, r.author, r.key)))
        return effects + [
            Emit(Forked(author, *fork.cut, fork.first, fork.second, restored=True))
            for author, fork in sorted(self._replica.forks.items())
        ]

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        match message:
            case GossipDelta():
                return self._on_delta(now, link_peer, message)[0]
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
                return self._on_broadcast(now, event)
            case MemberAdmitted():
                return self._on_admitted(now, event.node)
            case MemberExpelled():
                return self._on_expelled(event.node)
            case Applied():
                statement = decode_statement(event.encoded)
                slot = (event.author, event.kind, event.key)
                self._introduced[slot] = (statement.epoch, statement.seq)
            case LinkUp():
                swept = [] if self._repair.peers else self._sweep()
                self._push.link_up(now)
                return swept + self._repair.link_up(now, event.peer)
            case LinkDown():
                self._repair.link_down(event.peer)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        effects = self._repair.on_timer(now) + self._push.on_timer(now)
        if self._floor_at <= now:
            self._floor_at = now + FLOOR_INTERVAL
            effects += self._own.floor(self._over_by)
        return effects

    def next_deadline(self) -> Instant | None:
        deadline, push_due = self._repair.next_deadline(), self._push.due()
        if deadline is not None and self._floor_at < deadline:  # without a link we say nothing of our own accord
            deadline = self._floor_at
        return push_due if deadline is None or (push_due is not None and push_due < deadline) else deadline

    # --- our own statements -------------------------------------------------------------------------------------------

    def _written(self, now: Instant, token: int) -> list[Effect]:
        me = self._env.node_id
        before = self._replica.head(me)
        current, void = self._own.written(token)
        self._count("published", len(current))
        writes, told = self._taken_back(void)
        persist: list[Effect] = [Persist(-1, tuple(writes), sync=False)] if writes else []
        held = [record for record in current if self._is_held(record)]
        told += self._applied(held) + self._push.soon(now, [segment_of(me, before, held)], None)
        return persist + told + self._own.write()

    def _over_by(self) -> Callable[[Record], bool]:
        """Has this ticket let nobody in, and been out of time for longer than the horizon? An admission is checked
        against its invite for as long as it counts, so tickets that admitted somebody stay."""
        used = frozenset(b.ticket_id for _, _, b in self.statements(Kind.ADMISSION) if isinstance(b, Admission))
        horizon_ms = int(self._settings.tombstone_horizon_s * 1_000)
        before_ms = self._env.wall_ms() - horizon_ms

        def is_over(record: Record) -> bool:
            body = record.body
            if not isinstance(body, Invite) or record.key in used:
                return False
            return min(body.expires_ms, body.revoked_ms or body.expires_ms) < before_ms

        return is_over

    # --- what others say ----------------------------------------------------------------------------------------------

    def _on_broadcast(self, now: Instant, event: BroadcastArrived) -> list[Effect]:
        """Accept what is whole and brings something new; reject what is nobody's word; ignore what we cannot judge."""
        try:
            message = decode_message(event.data, max_bytes=MAX_FRAME_BYTES)
        except DecodeError:
            message = None
        if not isinstance(message, GossipDelta):
            return [
                Emit(BroadcastJudged(event.id, "reject")),
                *self._dropped("malformed", event.topic),
                Emit(Fault(event.link_peer, "malformed")),
            ]
        effects, verdict = self._on_delta(now, event.link_peer, message, pushed=True)
        return [Emit(BroadcastJudged(event.id, verdict)), *effects]

    def _on_delta(
        self, now: Instant, link_peer: NodeId, delta: GossipDelta, *, pushed: bool = False
    ) -> tuple[list[Effect], str]:
        try:
            runs = runs_of(delta, link_peer, self._env.mesh_id)
        except WrongMesh:
            return [*self._dropped("wrong-mesh", link_peer), Emit(Fault(link_peer, "wrong-mesh"))], "reject"
        except DecodeError as error:
            return [*self._dropped("malformed", error.code), Emit(Fault(link_peer, "malformed"))], "reject"
        return self._merge(now, runs, pushed=pushed)

    def _merge(self, now: Instant, runs: Sequence[Run], *, pushed: bool = False) -> tuple[list[Effect], str]:
        """Merge runs, then persist, tell and pass on what was new, once for all of them. Returns also the verdict on
        them as one payload; `pushed`: an accepted one is passed on as it came, by the broadcast core."""
        writes: list[Write] = []
        told: list[Effect] = []
        segments: list[Segment] = []
        proofs: list[Segment] = []
        gaps: list[NodeId] = []
        source: NodeId | None = None
        whole, forged, doubted = True, False, False
        for run in runs:
            source = run.link_peer
            key = self._env.public_key if run.author == self._env.node_id else self._keys(run.author)
            if key is None:
                self._count("unknown_author", len(run.statements))
                self._waiting.put(run)
                whole = False
                continue
            if holds(self._replica, run):  # most of what is pushed is known already, from another side
                self._count("duplicates", len(run.statements))
                doubted |= pushed and self._push.doubts(run)
                continue
            began = 0 if self.stages is None else self.stages.begin_merge()
            outcome = merge(self._replica, run, key, self._verify)
            if self.stages is not None:
                self.stages.end_merge(began)
            whole &= outcome.whole or _is_proof(run, outcome)
            forged |= any(blame.party == source and not blame.proof for blame in outcome.blame)
            if outcome.gap:
                gaps.append(run.author)
            told += self._verdicts(run, outcome, writes)
            if outcome.fork is not None:
                proofs.append(outcome.fork.segment(run.author))
            segments += self._taken_in(run, outcome, writes, told)
        if source is None:
            return [], "ignore"
        verdict = "reject" if forged else "accept" if whole and (segments or proofs or doubted) else "ignore"
        if pushed and verdict == "accept" and not self._stands_behind(runs):
            verdict = "reject"
            told += [*self._dropped("bad-signature", source), Emit(Fault(source, "bad-signature"))]
        persist: list[Effect] = [Persist(-1, tuple(writes), sync=False)] if writes else []
        onward: list[Effect] = []
        if pushed and verdict == "accept":
            for run in runs:
                self._push.settle(run)
        else:
            onward = self._push.now(proofs, None)
            onward += self._push.soon(now, segments, source) if pushed else self._push.repaired(now, segments, source)
        asked = self._repair.ask_about(now, source, gaps) if gaps else []
        return persist + told + onward + asked, verdict

    def _stands_behind(self, runs: Sequence[Run]) -> bool:
        """What is passed on as it came is vouched for to the last statement. One that is superseded here was not looked
        at; elsewhere it may be news, and whoever passes on a forged one is blamed for it."""
        for run in runs:
            key = self._env.public_key if run.author == self._env.node_id else self._keys(run.author)
            log = self._replica.authors.get(run.author)
            for statement, encoded in run.statements:
                held = None if log is None else log.at((statement.epoch, statement.seq))
                if held is not None and held.encoded == encoded:
                    continue
                if key is None or not verify_statement(statement, encoded, key, self._verify):
                    return False
        return True

    def _taken_in(self, run: Run, outcome: Outcome, writes: list[Write], told: list[Effect]) -> list[Segment]:
        """Store and tell what is new of one author; returns what is to be passed on."""
        newest = [record for record in outcome.new if self._is_held(record)]
        log = self._replica.authors.get(run.author)
        writes += disk.rows(newest, None)
        if log is not None and log.head != outcome.before:
            writes.append(disk.head_row(run.author, log.head, log.head_hash))
        if not outcome.new:
            return []
        if run.author == self._env.node_id:
            self._own.speak_beyond(max(record.position for record in outcome.new))
        told += self._applied(newest)
        self._repair.note_progress(run.link_peer)
        if self._replica.cut(run.author) is not None:
            return [segment_of(run.author, None, newest)] if newest else []
        beyond = [record for record in newest if record.position > outcome.before]
        return [segment_of(run.author, outcome.before, beyond)] if beyond else []

    def _verdicts(self, run: Run, outcome: Outcome, writes: list[Write]) -> list[Effect]:
        """Count the outcome; blame whom it convicts; take back what does not count."""
        self._count("merged", len(outcome.new))
        if outcome.plain:
            return []
        for name, count in (
            ("duplicates", outcome.duplicates),
            ("excluded", outcome.excluded),
            ("holes", outcome.holes),
            ("refused", outcome.refused),
            ("gaps", int(outcome.gap)),
            ("proofs", int(outcome.fork is not None)),
        ):
            self._count(name, count)
        effects: list[Effect] = []
        for blame in outcome.blame:
            effects += self._dropped(blame.cause, run.author)
            if blame.party == run.link_peer and not blame.proof:
                effects.append(Emit(Fault(blame.party, blame.cause)))
            else:
                effects += self._accuse(blame.party, blame.cause, blame.proof)
        if outcome.fork is not None:
            fork, (epoch, seq) = outcome.fork, outcome.fork.cut
            writes.append(disk.fork_row(run.author, fork))
            effects.append(Emit(Forked(run.author, epoch, seq, fork.first, fork.second)))
            effects += self._accuse(run.author, "equivocation", disk.proof_bytes(fork))
            effects += self._uninvited(run.author, fork.cut)
            self._repair.note_progress(run.link_peer)
        deletes, withdrawn = self._taken_back(outcome.withdrawn)
        writes += deletes
        return effects + withdrawn

    def _taken_back(self, records: Sequence[Record]) -> tuple[list[Write], list[Effect]]:
        """The rows to delete and the events to tell for records that do not count any more."""
        self._count("withdrawn", len(records))
        writes: list[Write] = [disk.delete_row(record) for record in records]
        return writes, [Emit(Withdrawn(r.author, r.kind, r.key)) for r in records if r.body is not None]

    def _uninvited(self, author: NodeId, cut: Position) -> list[Effect]:
        """Take back what a join told the other cores of this author, beyond its fork and never seen by gossip."""
        slots = [s for s, position in self._introduced.items() if s[0] == author and position >= cut]
        for slot in slots:
            del self._introduced[slot]
        return [Emit(Withdrawn(*slot)) for slot in slots]

    def _accuse(self, party: NodeId, cause: str, proof: bytes) -> list[Effect]:
        if (party, cause) in self._accused:
            return []
        self._accused[party, cause] = None
        return [Emit(Fault(party, cause, proof))]

    # --- the roster ---------------------------------------------------------------------------------------------------

    def _on_admitted(self, now: Instant, node: NodeId) -> list[Effect]:
        fork = self._shelved.pop(node, None)
        if fork is not None:
            self._replica.convict(node, fork)
        run, source = self._waiting.take(node)
        effects = [] if run is None else self._merge(now, (run,))[0]
        return effects if source is None else effects + self._repair.ask_about(now, source, (node,))

    def _on_expelled(self, node: NodeId) -> list[Effect]:
        """Only members are authors: what it said goes with it, and with that whom it let in. The proof that it forked
        is kept for the day on which it comes back; and our own log is, or we would begin it anew and fork ourselves."""
        if node not in self._replica.authors or node == self._env.node_id:
            return []
        fork = self._replica.forks.get(node)
        if fork is not None and len(self._shelved) < self._limits.authors:
            self._shelved[node] = fork
        writes, told = self._taken_back(self._replica.forget(node))
        return [Persist(-1, (*writes, *disk.author_rows(node, proof=node in self._shelved)), sync=False), *told]

    def _sweep(self) -> list[Effect]:
        """Before the first comparison: hold nothing of authors that are no members (an expulsion that did not reach the
        disk, an admission whose row was lost; the latter's come back)."""
        me = self._env.node_id
        strangers = [a for a in self._replica.sorted_authors() if a != me and self._keys(a) is None]
        return [effect for author in strangers for effect in self._on_expelled(author)]

    # --- small things -------------------------------------------------------------------------------------------------

    def _applied(self, records: Iterable[Record]) -> list[Effect]:
        me = self._env.node_id
        for record in records if self._introduced else ():
            self._introduced.pop((record.author, record.kind, record.key), None)
        return [
            Emit(Applied(r.author, r.kind, r.key, r.body, r.encoded, r.author == me))
            for r in records
            if r.body is not None
        ]

    def _count(self, name: str, count: int) -> None:
        if count:
            self.counters[name] = self.counters.get(name, 0) + count

    def _dropped(self, reason: str, detail: str) -> list[Effect]:
        return [Emit(Dropped("gossip", reason, 1, detail))]


def _is_proof(run: Run, outcome: Outcome) -> bool:
    """Is the run just the proof that has moved the verdict? Then it may be passed on as it came."""
    fork = outcome.fork
    return fork is not None and [encoded for _, encoded in run.statements] == [fork.first, fork.second]


__all__ = ["TOPIC", "Fork", "Gossip", "KeyOf"]
