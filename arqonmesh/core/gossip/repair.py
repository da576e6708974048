"""Repair by comparison: two nodes find out what differs and exchange just that.

    root ──equal──▶ a digest of nothing
      └─unequal──▶ buckets (more than 64 authors) ──▶ digest of the buckets that differ ──▶ deltas, digest in return
                                                       └─ same head, other content ──▶ ranges ⇄ ranges, deltas

One root per `repair_interval_ms` with one linked peer (push-pull in three messages, Scuttlebutt; Demers et al., PODC
1987), by turns (ring.py). Which of the two lacks something, the digests' heads say; a fork or a hole shows as one head
with two fingerprints, and is descended into by ranges. Behind an author's point of fork, proofs go out first and then
what is left below it.

A root is always answered, an equal one by a digest of no bucket, so silence says something: whoever keeps it for
`SILENCE_US` is left aside for this round, and another linked peer is asked (at most `RETRIES` of them). Three nodes in
ten that say nothing would otherwise cost every round three exchanges in ten.

Every answer is bounded: one delta of `delta_bytes_max`, ranges of `RANGED_AUTHORS` authors, `answers_per_interval`
answers per peer and interval. Whoever was cut short is told our root once more and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import Dropped, Fault
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import ORIGIN
from arqonmesh.core.gossip.packing import Segment, pack, segment_of
from arqonmesh.core.gossip.ranges import answer, opening
from arqonmesh.core.gossip.replica import BUCKETS, FINGERPRINT_BYTES, Head, Replica, bucket_of
from arqonmesh.core.gossip.ring import in_turn
from arqonmesh.core.gossip.stages import COMPARE, SELECT, Stages
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Env, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import GossipBuckets, GossipDelta, GossipDigest, GossipRanges, GossipRoot
from arqonmesh.wire.statement import MAX_STATEMENT_BYTES

Partner: TypeAlias = Callable[[Sequence[NodeId]], NodeId]
"""With which of these linked peers to compare next; whose turn it is comes first."""
ASK_SPACING: Final = 50 * MILLISECOND
"""Least time between two digests to one peer, unless the last one brought something."""
WHOLE_MAX: Final = 64
"""Up to so many authors a whole digest is not larger than the bucket hashes that would save it."""
HEADS_MAX: Final = 8_192
"""Of one digest; the buckets that do not fit are not covered by it."""
RANGED_AUTHORS: Final = 16
SILENCE_US: Final = 500 * MILLISECOND
"""A linked peer that has not answered a root by then is not asked again in this round; half the interval where that is
shorter."""
RETRIES: Final = 2
ALL_BUCKETS: Final = (1 << BUCKETS) - 1
_NOTHING: Final = bytes(FINGERPRINT_BYTES)
SAME: Final = GossipDigest(buckets=bytes(BUCKETS // 8), heads=(), reply=False)
"""The answer to an equal root: nothing differs."""


@dataclass(slots=True)
class _Peer:
    """What we remember of one linked peer."""

    asked_at: Instant | None = None
    progress: bool = False
    """Something new came from it since we last asked."""
    ask_due: Instant | None = None
    """A digest that had to wait for its spacing, and the buckets that it is about."""
    due_buckets: int = 0
    window_ends: Instant = 0
    answered: int = 0
    awaited: bool = False
    """It was told our root and has said nothing yet."""


class Repair:
    """The conversations with linked peers about what differs."""

    def __init__(self, env: Env, settings: GossipSettings, limits: Limits, replica: Replica) -> None:
        self.stages: Stages | None = None
        self._env = env
        self._settings = settings
        self._limits = limits
        self._replica = replica
        self.peers: dict[NodeId, _Peer] = {}
        self.partner: Partner | None = None
        """Who of the linked peers is next, where somebody knows better than whose turn it is."""
        self._repair_at: Instant | None = None
        self._silent_at: Instant | None = None
        """When another is asked in place of the newest of `_tried`, should it have kept silent."""
        self._tried: list[NodeId] = []
        """Whom we began to compare with in this round."""
        self.equal_roots = 0
        """Consecutive comparisons that found equal roots: local quiescence. Whether the whole mesh has converged
        only an observer of all nodes can tell."""
        self.counters: dict[str, int] = {}

    # --- links and time -----------------------------------------------------------------------------------------------

    def link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        self.peers[peer] = _Peer()
        if self._repair_at is None:
            self._repair_at = self._after_interval(now)
        return [self._root_to(peer)]

    def link_down(self, peer: NodeId) -> None:
        self.peers.pop(peer, None)
        if not self.peers:
            self._repair_at = self._silent_at = None

    def on_timer(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for node, peer in self.peers.items():
            if peer.ask_due is not None and peer.ask_due <= now:
                effects += self.ask(now, node, peer.due_buckets, reply=False)
        if self._repair_at is not None and self._repair_at <= now and self.peers:
            self._tried.clear()
            effects.append(self._begin(now, list(self.peers)))
            self._repair_at = self._after_interval(now)
        elif self._silent_at is not None and self._silent_at <= now:
            effects += self._retry(now)
        return effects

    def _begin(self, now: Instant, nodes: list[NodeId]) -> Send:
        """Compare with one of these."""
        number = max(0, self._env.wall_ms()) // self._settings.repair_interval_ms
        turns = in_turn(number, self._env.node_id, nodes)
        next_one = turns[0] if self.partner is None else self.partner(turns)
        self._tried.append(next_one)
        self._silent_at = now + min(SILENCE_US, self._settings.repair_interval_ms * MILLISECOND // 2)
        return self._root_to(next_one)

    def _retry(self, now: Instant) -> list[Effect]:
        """Whom we compare with has had its time: if it has said nothing, somebody else is asked."""
        self._silent_at = None
        peer = self.peers.get(self._tried[-1])
        if peer is not None and not peer.awaited:
            return []
        self._count("silent_partners", 1)
        others = [node for node in self.peers if node not in self._tried]
        return [self._begin(now, others)] if others and len(self._tried) <= RETRIES else []

    def heard(self, node: NodeId) -> None:
        """It said something about what it holds: not silent."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.awaited = False

    def next_deadline(self) -> Instant | None:
        deadline = self._repair_at
        if self._silent_at is not None and (deadline is None or self._silent_at < deadline):
            deadline = self._silent_at
        for peer in self.peers.values():
            if peer.ask_due is not None and (deadline is None or peer.ask_due < deadline):
                deadline = peer.ask_due
        return deadline

    def note_progress(self, node: NodeId) -> None:
        """Something new came from this peer: no need to wait before it is asked for more."""
        peer = self.peers.get(node)
        if peer is not None:
            peer.progress = True

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self, now: Instant, node: NodeId, buckets: int, *, reply: bool) -> list[Effect]:
        """Send our digest of these buckets, unless the answer to the last one must still be on its way."""
        peer = self.peers.get(node)
        if peer is None or not buckets:
            return []
        if peer.asked_at is not None and not peer.progress and now < peer.asked_at + ASK_SPACING:
            peer.ask_due = peer.asked_at + ASK_SPACING
            peer.due_buckets |= buckets
            return []
        buckets |= peer.due_buckets
        peer.asked_at, peer.progress, peer.ask_due, peer.due_buckets = now, False, None, 0
        return [Send(node, Lane.CONTROL, self._digest(buckets, reply=reply))]

    def ask_about(self, now: Instant, node: NodeId, authors: Iterable[NodeId]) -> list[Effect]:
        """Ask this peer for whatever it has of these authors."""
        buckets = 0
        for author in authors:
            buckets |= 1 << bucket_of(author)
        return self.ask(now, node, buckets, reply=False)

    def _digest(self, buckets: int, *, reply: bool) -> GossipDigest:
        authors = self._replica.authors_in(buckets)
        while len(authors) > HEADS_MAX:  # the highest bucket waits for another round
            buckets &= (1 << (buckets.bit_length() - 1)) - 1
            authors = self._replica.authors_in(buckets)
        heads = tuple(self._replica.entry(author) for author in authors)
        return GossipDigest(buckets=buckets.to_bytes(BUCKETS // 8, "big"), heads=heads, reply=reply)

    # --- answering ----------------------------------------------------------------------------------------------------

    def on_root(self, now: Instant, peer: NodeId, message: GossipRoot) -> list[Effect]:
        self.heard(peer)
        began = 0 if self.stages is None else self.stages.begin()
        equal = message.root == self._replica.root()
        if self.stages is not None:
            self.stages.end(COMPARE, began)
        if equal:
            self.equal_roots += 1
            return [Send(peer, Lane.CONTROL, SAME)] if peer in self.peers else []
        self.equal_roots = 0
        if len(self._replica.authors) <= WHOLE_MAX:
            return self.ask(now, peer, ALL_BUCKETS, reply=True)
        state = self.peers.get(peer)
        if state is None or (state.asked_at is not None and not state.progress and now < state.asked_at + ASK_SPACING):
            return []
        state.asked_at, state.progress = now, False
        return [Send(peer, Lane.CONTROL, GossipBuckets(hashes=b"".join(self._replica.bucket_hashes())))]

    def on_buckets(self, now: Instant, peer: NodeId, message: GossipBuckets) -> list[Effect]:
        self.heard(peer)
        if not self._may_answer(now, peer):
            return self._unanswered(peer)
        differ, size = 0, FINGERPRINT_BYTES
        for index, mine in enumerate(self._replica.bucket_hashes()):
            if message.hashes[index * size : (index + 1) * size] != mine:
                differ |= 1 << index
        return [Send(peer, Lane.CONTROL, self._digest(differ, reply=True))] if differ else []

    def on_digest(self, now: Instant, peer: NodeId, digest: GossipDigest) -> list[Effect]:
        self.heard(peer)
        if digest == SAME:
            return []
        covered = int.from_bytes(digest.buckets, "big")
        strays = any(not covered >> bucket_of(NodeId(head[0])) & 1 for head in digest.heads)
        if strays or any(a[0] >= b[0] for a, b in pairwise(digest.heads)):
            return self._malformed(peer, "gossip.unordered")
        if not self._may_answer(now, peer):
            return self._unanswered(peer)
        claims: dict[NodeId, Head] = {NodeId(head[0]): (NodeId(head[0]), *head[1:]) for head in digest.heads}
        began = 0 if self.stages is None else self.stages.begin()
        segments, proofs, ranged = self._compare(self._replica.authors_in(covered), claims)
        deltas, truncated = self._pack(segments, 1)
        packed_proofs, more_proofs = self._pack(proofs, 1)
        if self.stages is not None:
            self.stages.end(SELECT, began)
        effects: list[Effect] = [Send(peer, Lane.CONTROL, delta) for delta in (*packed_proofs, *deltas)]
        if digest.reply:
            effects += [Send(peer, Lane.CONTROL, self._opening(author)) for author in ranged[:RANGED_AUTHORS]]
            if any(self._lacking(claim) for claim in claims.values()):
                effects += self.ask(now, peer, covered, reply=False)
        if truncated or more_proofs:
            effects.append(self._root_to(peer))
        return effects

    def on_ranges(self, now: Instant, peer: NodeId, message: GossipRanges) -> list[Effect]:
        author = NodeId(message.author)
        log = self._replica.authors.get(author)
        if log is None:
            return []
        if not self._may_answer(now, peer):
            return self._unanswered(peer)
        found = answer(log, message.ranges)
        if found is None:
            return self._malformed(peer, "gossip.unordered")
        self._count("ranges", 1)
        deltas, truncated = self._pack([segment_of(author, None, found.records)], 1)
        effects: list[Effect] = [Send(peer, Lane.CONTROL, delta) for delta in deltas]
        if found.ranges:
            effects.append(Send(peer, Lane.CONTROL, GossipRanges(author=author, ranges=tuple(found.ranges))))
        if truncated:
            effects.append(self._root_to(peer))
        return effects

    # --- private ------------------------------------------------------------------------------------------------------

    def _compare(
        self, authors: list[NodeId], claims: dict[NodeId, Head]
    ) -> tuple[list[Segment], list[Segment], list[NodeId]]:
        """What the claimant lacks, the proofs that it has not seen, and whose records have to be compared by ranges.
        Authors in sorted order from one drawn anew each time, cyclically: under truncation that lets every one through.
        """
        replica = self._replica
        segments: list[Segment] = []
        proofs: list[Segment] = []
        ranged: list[NodeId] = []
        room = self._settings.delta_bytes_max + MAX_STATEMENT_BYTES  # so that what is left out shows as cut short
        first = self._env.rng.randrange(0, len(authors)) if authors else 0
        for index in range(len(authors)):
            author = authors[(first + index) % len(authors)]
            _, epoch, seq, fingerprint, forked = claims.get(author, (author, *ORIGIN, _NOTHING, False))
            if fingerprint == replica.fingerprint(author):
                continue
            claim, cut, log = (epoch, seq), replica.cut(author), replica.authors[author]
            if cut is not None and (not forked or claim > cut):
                proofs.append(replica.forks[author].segment(author))
            elif cut is not None and claim == cut:
                ranged.append(author)
            elif cut is None and not forked and claim < log.head:
                if room > 0:  # an answer is one delta: what does not fit anyway is not gathered
                    items = [(record.position, record.encoded) for record in log.after(claim)]
                    room -= sum(len(encoded) for _, encoded in items)
                    segments.append(Segment(author, claim, items))
            elif cut is None and not forked and claim == log.head:
                ranged.append(author)
        return segments, proofs, ranged

    def _lacking(self, claim: Head) -> bool:
        """Does whoever claims this know newer statements than we do, or an earlier fork?"""
        author, epoch, seq, _, forked = claim
        cut = self._replica.cut(author)
        if forked:
            return cut is None or (epoch, seq) < cut
        return cut is None and (epoch, seq) > self._replica.head(author)

    def _opening(self, author: NodeId) -> GossipRanges:
        return GossipRanges(author=author, ranges=tuple(opening(self._replica.authors[author])))

    def _may_answer(self, now: Instant, node: NodeId) -> bool:
        peer = self.peers.get(node)
        if peer is None:
            return False
        if now >= peer.window_ends:
            peer.window_ends, peer.answered = now + self._settings.repair_interval_ms * MILLISECOND, 0
        peer.answered += 1
        return peer.answered <= self._limits.answers_per_interval

    def _unanswered(self, peer: NodeId) -> list[Effect]:
        self._count("unanswered", 1)
        return [Emit(Dropped("gossip", "digest-rate", 1, peer))]

    def _malformed(self, peer: NodeId, detail: str) -> list[Effect]:
        return [Emit(Dropped("gossip", "malformed", 1, detail)), Emit(Fault(peer, "malformed"))]

    def _root_to(self, peer: NodeId) -> Send:
        state = self.peers.get(peer)
        if state is not None:
            state.awaited = True
        return Send(peer, Lane.CONTROL, GossipRoot(root=self._replica.root()))

    def _pack(self, segments: list[Segment], deltas_max: int) -> tuple[list[GossipDelta], bool]:
        return pack(
            segments,
            budget=self._settings.delta_bytes_max,
            count_max=self._limits.statements_per_delta,
            deltas_max=deltas_max,
        )

    def _after_interval(self, now: Instant) -> Instant:
        """One repair interval, and up to a quarter more so that nodes do not stay in step."""
        interval = self._settings.repair_interval_ms * MILLISECOND
        return now + interval + self._env.rng.randrange(0, interval // 4 + 1)

    def _count(self, name: str, count: int) -> None:
        self.counters[name] = self.counters.get(name, 0) + count
