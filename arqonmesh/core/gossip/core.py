"""The gossip core: every member's signed records at every member, and proof when two of them disagree.

    Publish ──sign──▶ Persist(sync) ──Persisted──▶ apply, Applied(ours), push to every linked peer
    GossipDelta ──verify──▶ merge ──▶ Persist, Applied, push to every linked peer but the one it came from
    timer, LinkUp ──GossipRoot──▶ equal: nothing to do; unequal: GossipDigest ⇄ GossipDigest + GossipDelta

Flooding ends because only what was new is passed on. What a push lost is repaired by comparison: one root per
`repair_interval_ms` with one linked peer, round robin (Scuttlebutt push-pull in three messages; Demers et al., PODC
1987).

**Persist before send**: a statement of ours leaves only once it is on disk, and each life signs under its own
epoch, so a crash can lose what nobody has seen and never makes us contradict ourselves.

**Stalemate**: unequal roots with equal heads mean that somebody forked or that a replica has a hole. After two such
rounds with one peer we send it an audit: a digest that claims less than we have, at random, and merge what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import ClassVar, Final, TypeAlias

import msgspec

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import (
    Applied,
    Dropped,
    Fault,
    Forked,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    Persisted,
    Publish,
)
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import ORIGIN, Position, Record
from arqonmesh.core.gossip.merge import Outcome, merge
from arqonmesh.core.gossip.replica import Fork, Replica, Segment, pack
from arqonmesh.core.gossip.waiting import Run, WaitingRoom
from arqonmesh.core.kernel import (
    MILLISECOND,
    Durable,
    Effect,
    Emit,
    Env,
    Event,
    Instant,
    Lane,
    Persist,
    Send,
    Write,
)
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import GossipDelta, GossipDigest, GossipRoot, WireMessage
from arqonmesh.wire.statement import GENESIS_HASH, MAX_STATEMENT_BYTES, Body, Kind, Statement, decode_statement

KeyOf: TypeAlias = Callable[[NodeId], "bytes | None"]
"""The public key of a member, None for anyone else. Answers at once; core/admission keeps the roster."""

ASK_SPACING: Final = 50 * MILLISECOND
"""Least time between two digests to one peer, unless the last one brought something."""
STALEMATES_TO_AUDIT: Final = 2
"""A push in flight makes one stalemate look real; two in a row are."""
JOIN_BYTES_MAX: Final = 900_000
"""What `encoded_for_join` may add up to, so that a JoinAccept fits one frame."""
JOIN_COUNT_MAX: Final = 4_096


@dataclass(slots=True)
class _Peer:
    """What we remember of one linked peer."""

    asked_at: Instant | None = None
    progress: bool = False
    """Something new came from it since we last asked."""
    ask_due: Instant | None = None
    """A digest that had to wait for its spacing."""
    stalemates: int = 0
    window_ends: Instant = 0
    answered: int = 0


class Gossip:
    """The single-writer signed statement store of one node."""

    NAME: ClassVar[str] = "gossip"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (GossipRoot, GossipDigest, GossipDelta)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (Publish, LinkUp, LinkDown, MemberAdmitted)

    def __init__(self, env: Env, settings: GossipSettings, keys: KeyOf, limits: Limits | None = None) -> None:
        self._env = env
        self._settings = settings
        self._keys = keys
        self._limits = limits if limits is not None else Limits()
        self._replica = Replica(self._limits)
        self._waiting = WaitingRoom(self._limits)
        self._peers: dict[NodeId, _Peer] = {}
        self._turn = 0
        self._repair_at: Instant | None = None
        self._epoch = env.boot_epoch
        self._queue: dict[tuple[int, str], Body] = {}
        self._writing: tuple[int, list[Record]] | None = None
        self._next_token = 0
        self._accused: dict[tuple[NodeId, str], None] = {}
        self.equal_roots = 0
        """Consecutive comparisons that found equal roots: local quiescence. Whether the whole mesh has converged
        only an observer of all nodes can tell."""
        self.counters: dict[str, int] = {}
        """duplicates, holes, gaps, unknown_author, refused, merged, published, audits, corrupt_rows, unanswered."""

    # --- queries ------------------------------------------------------------------------------------------------------

    def root(self) -> bytes:
        """Hash over all heads and record totals; equal on two nodes when they hold the same records."""
        return self._replica.root()

    def heads(self) -> tuple[tuple[NodeId, int, int], ...]:
        """(author, epoch, seq) of every author's newest statement, sorted by author."""
        return self._replica.digest()

    def get(self, author: NodeId, kind: int, key: str = "") -> Body | None:
        """What the newest statement of this (author, kind, key) says."""
        record = self._record(author, kind, key)
        return None if record is None else record.body

    def encoded(self, author: NodeId, kind: int, key: str = "") -> bytes | None:
        """The newest statement of this (author, kind, key) as its author signed it."""
        record = self._record(author, kind, key)
        return None if record is None else record.encoded

    def statements(self, kind: int) -> Iterator[tuple[NodeId, str, Body]]:
        """(author, key, body) of every newest statement of a kind, sorted by author and key."""
        for record in self._records(kind):
            if record.body is not None:
                yield record.author, record.key, record.body

    def encoded_for_join(self) -> tuple[bytes, ...]:
        """What a joiner needs to verify the roster by itself: genesis, join policy, admissions; at most what one frame
        takes (some 3,000 members), and the rest of the roster comes by gossip."""
        kinds = (Kind.GENESIS, Kind.JOIN_POLICY, Kind.ADMISSION)
        chosen: list[bytes] = []
        size = 0
        for record in (record for kind in kinds for record in self._records(kind)):
            size += len(record.encoded)
            if size > JOIN_BYTES_MAX or len(chosen) >= JOIN_COUNT_MAX:
                break
            chosen.append(record.encoded)
        return tuple(chosen)

    @property
    def bytes_held(self) -> int:
        return self._replica.bytes_held

    @property
    def waiting_bytes(self) -> int:
        """What is kept of authors that are not members, as far as we know."""
        return self._waiting.bytes_held

    @property
    def forked(self) -> tuple[NodeId, ...]:
        """Authors that were proven to have contradicted themselves."""
        return tuple(sorted(self._replica.forks))

    # --- the core protocol --------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Rebuild from disk and tell every other core what is known, roster first. Rows were verified before they were
        stored; one that does not decode is deleted, counted, and comes back from a peer."""
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
        for author, fork in found.forks:
            self._replica.convict(author, fork)
        self._epoch = max(self._env.boot_epoch, self._replica.head(self._env.node_id)[0] + 1)
        return effects + self._applied(sorted(found.records, key=lambda r: (r.kind, r.author, r.key)))

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if isinstance(message, GossipDelta):
            return self._on_delta(now, link_peer, message)
        if isinstance(message, GossipDigest):
            return self._on_digest(now, link_peer, message)
        assert isinstance(message, GossipRoot), f"gossip does not speak {type(message).__name__}"
        return self._on_root(now, link_peer, message)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        match event:
            case Publish():
                self._queue.pop((event.kind, event.key), None)
                self._queue[event.kind, event.key] = event.body
                return self._write()
            case Persisted():
                return self._written(event.token)
            case MemberAdmitted():
                return self._on_admitted(now, event.node)
            case LinkUp():
                self._peers[event.peer] = _Peer()
                if self._repair_at is None:
                    self._repair_at = self._after_interval(now)
                return [Send(event.peer, Lane.CONTROL, GossipRoot(root=self.root()))]
            case LinkDown():
                self._peers.pop(event.peer, None)
                if not self._peers:
                    self._repair_at = None
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for node, peer in self._peers.items():
            if peer.ask_due is not None and peer.ask_due <= now:
                effects += self._ask(now, node, reply=False)
        if self._repair_at is not None and self._repair_at <= now and self._peers:
            nodes = list(self._peers)
            self._turn += 1
            effects.append(Send(nodes[self._turn % len(nodes)], Lane.CONTROL, GossipRoot(root=self.root())))
            self._repair_at = self._after_interval(now)
        return effects

    def next_deadline(self) -> Instant | None:
        deadline = self._repair_at
        for peer in self._peers.values():
            if peer.ask_due is not None and (deadline is None or peer.ask_due < deadline):
                deadline = peer.ask_due
        return deadline

    # --- our own statements -------------------------------------------------------------------------------------------

    def _write(self) -> list[Effect]:
        """Sign all that is queued and persist it as one transaction, unless one is on its way already."""
        if self._writing is not None or not self._queue:
            return []
        log = self._replica.authors.get(self._env.node_id)
        seq, previous = (0, GENESIS_HASH) if log is None else (log.head[1], log.head_hash)
        if log is not None and log.head[0] != self._epoch:
            seq = 0
        queue, self._queue = self._queue, {}
        records: list[Record] = []
        effects: list[Effect] = []
        for (kind, key), body in queue.items():
            record = self._sign(seq + 1, previous, kind, key, body)
            refusal = self._replica.refusal(record)
            if len(record.encoded) > MAX_STATEMENT_BYTES:
                refusal = "statement-too-large"
            if refusal is not None:
                effects.append(Emit(Dropped("gossip", refusal, 1, f"our own statement of kind {kind}")))
                continue
            records.append(record)
            seq, previous = seq + 1, record.hash
        if not records:
            return effects
        token, self._next_token = self._next_token, self._next_token + 1
        self._writing = (token, records)
        effects.append(Persist(token, disk.rows(records, records[-1]), sync=True))
        return effects

    def _sign(self, seq: int, previous: bytes, kind: int, key: str, body: Body) -> Record:
        unsigned = Statement(
            mesh_id=self._env.mesh_id,
            author=self._env.node_id,
            epoch=self._epoch,
            seq=seq,
            prev_hash=previous,
            kind=kind,
            key=key,
            body=body.encode(),
            signature=bytes(64),
        )
        signature = self._env.crypto.sign(unsigned.signed_bytes())
        statement = msgspec.structs.replace(unsigned, signature=signature)
        return Record.of(statement, body, statement.encode())

    def _written(self, token: int) -> list[Effect]:
        if self._writing is None or self._writing[0] != token:
            return []
        records, self._writing = self._writing[1], None
        before = self._replica.head(self._env.node_id)
        current = [record for record in records if not self._is_superseded(record)]
        for record in current:
            self._replica.put(record)
        self._count("published", len(records))
        return self._applied(current) + self._push([_segment(before, current)], None) + self._write()

    def _is_superseded(self, record: Record) -> bool:
        """Only possible when an earlier life of ours, forgotten here, came back from a peer meanwhile."""
        log = self._replica.authors.get(record.author)
        return log is not None and (
            log.supersedes(record.position, record.kind, record.key) or log.at(record.position) is not None
        )

    # --- what others say ----------------------------------------------------------------------------------------------

    def _on_delta(self, now: Instant, link_peer: NodeId, delta: GossipDelta) -> list[Effect]:
        try:
            statements = [(decode_statement(encoded), encoded) for encoded in delta.statements]
        except DecodeError as error:
            return [*self._dropped("malformed", error.code), Emit(Fault(link_peer, "malformed"))]
        if any(statement.mesh_id != self._env.mesh_id for statement, _ in statements):
            return [*self._dropped("wrong-mesh", link_peer), Emit(Fault(link_peer, "wrong-mesh"))]
        bases = {NodeId(author): (epoch, seq) for author, epoch, seq in delta.bases}
        runs: dict[NodeId, Run] = {}
        for name, group in groupby(statements, key=lambda item: item[0].author):
            author, members = NodeId(name), tuple(group)
            ascending = all((a.epoch, a.seq) <= (b.epoch, b.seq) for (a, _), (b, _) in pairwise(members))
            if author in runs or not ascending:
                return [*self._dropped("malformed", "gossip.unordered"), Emit(Fault(link_peer, "malformed"))]
            runs[author] = Run(link_peer, author, bases.get(author), members)
        return self._merge(now, runs.values())

    def _merge(self, now: Instant, runs: Iterable[Run]) -> list[Effect]:
        """Merge runs, then persist, tell and pass on what was new, once for all of them."""
        writes: list[Write] = []
        told: list[Effect] = []
        segments: list[Segment] = []
        source: NodeId | None = None
        gap = False
        for run in runs:
            source = run.link_peer
            key = self._env.public_key if run.author == self._env.node_id else self._keys(run.author)
            if key is None:
                self._count("unknown_author", len(run.statements))
                self._waiting.put(run)
                continue
            outcome = merge(self._replica, run, key, self._env.crypto.verify)
            gap |= outcome.gap
            told += self._verdicts(run, outcome, writes)
            if not outcome.new:
                continue
            log = self._replica.authors[run.author]
            newest = [record for record in outcome.new if log.at(record.position) is record]
            writes += disk.rows(newest, None)
            if log.head > outcome.before:
                writes.append(disk.head_row(run.author, log.head, log.head_hash))
                segments.append(_segment(outcome.before, [r for r in newest if r.position > outcome.before]))
            told += self._applied(newest)
            self._note_progress(run, outcome.new)
        if source is None:
            return []
        persist: list[Effect] = [Persist(-1, tuple(writes), sync=False)] if writes else []
        asked = self._ask(now, source, reply=False) if gap else []
        return persist + told + self._push(segments, source) + asked

    def _verdicts(self, run: Run, outcome: Outcome, writes: list[Write]) -> list[Effect]:
        """Count the outcome; blame whom it convicts; spread the proof of a fork."""
        for name, count in (
            ("duplicates", outcome.duplicates),
            ("holes", outcome.holes),
            ("refused", outcome.refused),
            ("gaps", int(outcome.gap)),
            ("merged", len(outcome.new)),
        ):
            self._count(name, count)
        effects: list[Effect] = []
        for blame in outcome.blame:
            effects += self._dropped(blame.cause, run.author)
            if blame.party == run.link_peer and not blame.proof:
                effects.append(Emit(Fault(blame.party, blame.cause)))
            elif (blame.party, blame.cause) not in self._accused:
                self._accused[blame.party, blame.cause] = None
                effects.append(Emit(Fault(blame.party, blame.cause, blame.proof)))
        if outcome.fork is not None:
            fork, (epoch, seq) = outcome.fork, outcome.fork.positions[0]
            writes.append(disk.fork_row(run.author, fork))
            effects.append(Emit(Forked(run.author, epoch, seq, fork.first, fork.second)))
            effects.append(Emit(Fault(run.author, "equivocation", disk.proof_bytes(fork))))
            effects += self._push([fork.segment(run.author)], None)
        return effects

    def _note_progress(self, run: Run, new: Sequence[Record]) -> None:
        peer = self._peers.get(run.link_peer)
        if peer is not None:
            peer.progress = True
        if run.author == self._env.node_id:
            # A life of ours that this disk has forgotten: speak beyond it from here on (OSPF, RFC 2328, 13.4).
            self._epoch = max(self._epoch, *(record.position[0] + 1 for record in new))

    def _on_admitted(self, now: Instant, node: NodeId) -> list[Effect]:
        run, source = self._waiting.take(node)
        effects = [] if run is None else self._merge(now, (run,))
        return effects if source is None else effects + self._ask(now, source, reply=False)

    # --- comparison and repair ----------------------------------------------------------------------------------------

    def _on_root(self, now: Instant, link_peer: NodeId, message: GossipRoot) -> list[Effect]:
        if message.root == self.root():
            self.equal_roots += 1
            peer = self._peers.get(link_peer)
            if peer is not None:
                peer.stalemates = 0
            return []
        self.equal_roots = 0
        return self._ask(now, link_peer, reply=True)

    def _on_digest(self, now: Instant, link_peer: NodeId, digest: GossipDigest) -> list[Effect]:
        if any(a[0] >= b[0] for a, b in pairwise(digest.heads)):
            return [*self._dropped("malformed", "gossip.unordered"), Emit(Fault(link_peer, "malformed"))]
        if not self._may_answer(now, link_peer):
            self._count("unanswered", 1)
            return self._dropped("digest-rate", link_peer)
        claims = {NodeId(author): (epoch, seq) for author, epoch, seq in digest.heads}
        authors = self._replica.sorted_authors()
        first = self._env.rng.randrange(0, len(authors)) if authors else 0
        deltas, truncated = self._pack(self._replica.beyond(claims, first), 1)
        proofs, _ = self._pack(self._replica.proofs(claims), 1)
        effects: list[Effect] = [Send(link_peer, Lane.CONTROL, delta) for delta in (*deltas, *proofs)]
        if not digest.reply:
            return effects
        if truncated:
            effects.append(Send(link_peer, Lane.CONTROL, GossipRoot(root=self.root())))
        if self._replica.behind(claims):
            return effects + self._ask(now, link_peer, reply=False)
        return effects if effects else self._stalemate(now, link_peer)

    def _stalemate(self, now: Instant, node: NodeId) -> list[Effect]:
        """The peer saw unequal roots, and our heads are equal."""
        peer = self._peers.get(node)
        if peer is None:
            return []
        peer.stalemates += 1
        if peer.stalemates < STALEMATES_TO_AUDIT:
            return []
        self._count("audits", 1)
        peer.asked_at, peer.progress = now, False
        claims = tuple((author, *self._audit_claim(author)) for author in self._replica.sorted_authors())
        return [Send(node, Lane.CONTROL, GossipDigest(heads=claims, reply=False))]

    def _audit_claim(self, author: NodeId) -> Position:
        """Nothing, or the place of a record drawn by lot: so that over many truncated answers every record comes by."""
        held = self._replica.authors[author].after(ORIGIN)
        if not held or self._env.rng.getrandbits(1):
            return ORIGIN
        return held[self._env.rng.randrange(0, len(held))].position

    def _ask(self, now: Instant, node: NodeId, *, reply: bool) -> list[Effect]:
        """Send our digest, unless the last one is so fresh that its answer must still be on its way."""
        peer = self._peers.get(node)
        if peer is None:
            return []
        if peer.asked_at is not None and not peer.progress and now < peer.asked_at + ASK_SPACING:
            peer.ask_due = peer.asked_at + ASK_SPACING
            return []
        peer.asked_at, peer.progress, peer.ask_due = now, False, None
        return [Send(node, Lane.CONTROL, GossipDigest(heads=self._replica.digest(), reply=reply))]

    def _may_answer(self, now: Instant, node: NodeId) -> bool:
        peer = self._peers.get(node)
        if peer is None:
            return False
        if now >= peer.window_ends:
            peer.window_ends, peer.answered = now + self._settings.repair_interval_ms * MILLISECOND, 0
        peer.answered += 1
        return peer.answered <= self._limits.answers_per_interval

    # --- small things -------------------------------------------------------------------------------------------------

    def _push(self, segments: Sequence[Segment], source: NodeId | None) -> list[Effect]:
        """Pass on to every linked peer but `source`."""
        to = [node for node in self._peers if node != source]
        if not to or not any(segment.items for segment in segments):
            return []
        deltas, _ = self._pack(segments, None)
        return [Send(node, Lane.CONTROL, delta) for node in to for delta in deltas]

    def _pack(self, segments: Sequence[Segment], deltas_max: int | None) -> tuple[list[GossipDelta], bool]:
        return pack(
            segments,
            budget=self._settings.delta_bytes_max,
            count_max=self._limits.statements_per_delta,
            deltas_max=deltas_max,
        )

    def _applied(self, records: Iterable[Record]) -> list[Effect]:
        me = self._env.node_id
        return [
            Emit(Applied(r.author, r.kind, r.key, r.body, r.encoded, r.author == me))
            for r in records
            if r.body is not None
        ]

    def _record(self, author: NodeId, kind: int, key: str) -> Record | None:
        log = self._replica.authors.get(author)
        return None if log is None else log.records.get((kind, key))

    def _records(self, kind: int) -> Iterator[Record]:
        for author in self._replica.sorted_authors():
            records = self._replica.authors[author].records
            for slot in sorted(slot for slot in records if slot[0] == kind):
                yield records[slot]

    def _after_interval(self, now: Instant) -> Instant:
        """One repair interval, and up to a quarter more so that nodes do not stay in step."""
        interval = self._settings.repair_interval_ms * MILLISECOND
        return now + interval + self._env.rng.randrange(0, interval // 4 + 1)

    def _count(self, name: str, count: int) -> None:
        if count:
            self.counters[name] = self.counters.get(name, 0) + count

    def _dropped(self, reason: str, detail: str) -> list[Effect]:
        return [Emit(Dropped("gossip", reason, 1, detail))]


def _segment(base: Position, records: Sequence[Record]) -> Segment:
    """All that came after `base`; records that lie before it (a forgotten life of ours) go out without a promise."""
    if not records:
        return Segment(NodeId(""), None, ())
    vouched = base if records[0].position > base else None
    return Segment(records[0].author, vouched, [(record.position, record.encoded) for record in records])


__all__ = ["Fork", "Gossip", "KeyOf"]
