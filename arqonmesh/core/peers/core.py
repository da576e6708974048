"""Peers: the registry of those we deal with, what we think of each, and how many messages we let it send.

A score is ours alone: it moves on faults that the party itself committed towards us or that are proven, never on
hearsay, and every change keeps its cause. Below `ignore_below` a peer is ignored: not selected and not relayed for,
but still a member that counts in every quorum, and still heard when it brings proofs.

The damage of a wrong judgement is bounded: on observations alone at most f = ceil(n/3) - 1 of n members are ignored at
a time. If more seem to deserve it, the fault is probably on our side, and the rest is excused (counted).

Scores, causes and latencies survive a restart (tables `peers`, `peer_causes`) and are keyed by identity, so neither a
reconnect nor another address washes anything off.

Source: the attacks and rules collected in GossipSub v1.1's evaluation (2020) and EigenTrust (WWW 2003).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from arqonmesh.config.model import PeerSettings
from arqonmesh.core.events import (
    Dropped,
    Fault,
    Forked,
    Imported,
    LinkMeasured,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    ScoreChanged,
)
from arqonmesh.core.kernel import (
    SECOND,
    Delete,
    Durable,
    Effect,
    Emit,
    Env,
    Event,
    Instant,
    Persist,
    Put,
    Row,
    Write,
)
from arqonmesh.core.peers.buckets import Buckets
from arqonmesh.core.peers.causes import cause_of
from arqonmesh.core.peers.peer import Change, Peer
from arqonmesh.core.peers.pool import Pool
from arqonmesh.core.peers.score import FULL_PPM, Score
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.messages import WireMessage

PEERS_MAX: Final = 65_536
EVIDENCE_BYTES_MAX: Final = 65_536
SAVE_SOON_US: Final = SECOND
SAVE_LATER_US: Final = 60 * SECOND
"""Latency, last seen and deliveries may be a minute old on disk; what a score says may not."""
SAVE_ROWS_MAX: Final = 512
REVIEW_US: Final = 10 * SECOND
"""How often lowered scores are looked at for having come back over the threshold."""
RATE_FAULT_US: Final = SECOND


@dataclass(frozen=True, slots=True)
class CauseReport:
    at_ms: int
    delta_ppm: int
    cause: str
    evidence: bytes


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer as `arqon peer show` tells it; the score as of the asking, decay included."""

    node: NodeId
    cluster: str
    role: str
    region: str
    addresses: tuple[str, ...]
    score_ppm: int
    ignored: bool
    standing: str
    latency_us: int | None
    first_seen_ms: int
    last_seen_ms: int
    deliveries: int
    causes: tuple[CauseReport, ...]
    """Newest last."""


class Peers:
    """The registry. Everything but `allow` only reads."""

    NAME: ClassVar[str] = "peers"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberDescribed,
        MemberChanged,
        LinkMeasured,
        Imported,
        Fault,
        Forked,
    )

    def __init__(self, env: Env, settings: PeerSettings) -> None:
        self._env = env
        self._settings = settings
        self._half_life_us = max(1, int(settings.half_life_s * SECOND))
        self._threshold_ppm = int(settings.ignore_below * FULL_PPM)
        self._peers: dict[NodeId, Peer] = {}
        self._members: dict[NodeId, None] = {env.node_id: None}
        self._pool = Pool(env.rng)
        self._buckets = Buckets(rate_per_s=settings.rate_per_s, burst=settings.burst)
        self._excess_told_at: dict[NodeId, Instant] = {}
        self._excess: dict[NodeId, None] = {}
        self._lowered: dict[NodeId, None] = {}
        self._observed: dict[NodeId, None] = {}
        """Ignored on observations alone; never more than f."""
        self._unsaved: dict[NodeId, None] = {}
        self._unsaved_changes: dict[tuple[NodeId, int], Change | None] = {}
        self._save_at: Instant | None = None
        self._review_at: Instant | None = None
        self._now: Instant = 0

    # --- what the node asks -------------------------------------------------------------------------------

    def __contains__(self, node: NodeId) -> bool:
        return node in self._peers

    def __len__(self) -> int:
        return len(self._peers)

    def allow(self, now: Instant, link_peer: NodeId) -> bool:
        """One control message from this link peer: within its rate? Excess is a fault, once a second."""
        if self._buckets.take(now, link_peer):
            return True
        told_at = self._excess_told_at.get(link_peer)
        if link_peer in self._peers and (told_at is None or now - told_at >= RATE_FAULT_US):
            self._excess_told_at[link_peer] = now
            self._excess[link_peer] = None
            self._now = now
        return False

    def random(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Up to k different present, not ignored peers, every one equally likely."""
        return self._pool.random(k, exclude)

    def nearest(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Up to k present, not ignored peers with the lowest measured round trip."""
        return self._pool.nearest(k, exclude)

    def hybrid(self, k: int, random_percent: int = 20, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Near ones for speed, `random_percent` of k at random for robustness."""
        return self._pool.hybrid(k, random_percent, exclude)

    def ignored(self, node: NodeId) -> bool:
        peer = self._peers.get(node)
        return peer is not None and peer.ignored

    def score_ppm(self, now: Instant, node: NodeId) -> int:
        """1_000_000 for one that is not known: nothing is held against it."""
        peer = self._peers.get(node)
        return FULL_PPM if peer is None else peer.score.ppm(now)

    def standing(self, node: NodeId) -> str:
        peer = self._peers.get(node)
        return "newcomer" if peer is None else peer.standing(self._env.wall_ms())

    def view(self, now: Instant, node: NodeId) -> PeerReport:
        """Everything known of one peer. Raises KeyError for a node that is not in the registry."""
        peer = self._peers[node]
        return PeerReport(
            node=node,
            cluster=peer.cluster,
            role=peer.role,
            region=peer.region,
            addresses=peer.addresses,
            score_ppm=peer.score.ppm(now),
            ignored=peer.ignored,
            standing=peer.standing(self._env.wall_ms()),
            latency_us=peer.latency_us,
            first_seen_ms=peer.first_seen_ms,
            last_seen_ms=peer.last_seen_ms,
            deliveries=peer.deliveries,
            causes=tuple(CauseReport(c.at_ms, c.delta_ppm, c.cause, c.evidence) for c in peer.changes),
        )

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._now = now
        for row in durable.get("peers", ()):
            self._restore(now, row)
        for node, n, at_ms, delta_ppm, cause, evidence in durable.get("peer_causes", ()):
            peer = self._peers.get(NodeId(str(node)))
            if peer is not None and isinstance(n, int) and isinstance(at_ms, int) and isinstance(delta_ppm, int):
                told = evidence if isinstance(evidence, bytes) else b""
                peer.changes.append(Change(n, at_ms, delta_ppm, str(cause), told))
                peer.next_change = max(peer.next_change, n + 1)
        if self._lowered:
            self._review_at = now + SECOND  # by then the roster is back, without which nobody may be ignored
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"peers speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        self._now = now
        if isinstance(event, LinkMeasured):
            self._measured(now, event)
        elif isinstance(event, Imported):
            self._delivered(now, event)
        elif isinstance(event, Fault):
            return self._fault(now, event.party, event.cause, event.proof)
        elif isinstance(event, Forked):
            return self._fault(now, event.author, "equivocation", encode([event.first, event.second]))
        elif isinstance(event, MemberAdmitted):
            return self._admitted(now, event)
        elif isinstance(event, MemberDescribed):
            self._described(now, event)
        elif isinstance(event, MemberChanged):
            self._changed(event)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        self._now = now
        effects: list[Effect] = []
        excess, self._excess = self._excess, {}
        for node in excess:
            effects += self._fault(now, node, "rate", b"")
        if self._review_at is not None and now >= self._review_at:
            effects += self._review(now)
        if self._save_at is not None and now >= self._save_at:
            effects += self._save(now)
        return effects

    def next_deadline(self) -> Instant | None:
        if self._excess:
            return self._now
        dues = [due for due in (self._save_at, self._review_at) if due is not None]
        return min(dues, default=None)

    # --- the registry -------------------------------------------------------------------------------------

    def _restore(self, now: Instant, row: Row) -> None:
        """One row of the table `peers`, in the order of its columns."""
        node, cluster, role, region, addresses, key, first_ms, last_ms, score_ppm, at_ms, latency_us, deliveries = row
        wall_ms = self._env.wall_ms()
        peer = Peer(
            node=NodeId(str(node)),
            cluster=str(cluster),
            role=str(role),
            public_key=key if isinstance(key, bytes) else b"",
            first_seen_ms=_int(first_ms, wall_ms),
            last_seen_ms=_int(last_ms, wall_ms),
            score=Score(now, self._half_life_us),
            changes=deque(maxlen=self._settings.causes_max),
            region=str(region),
            addresses=tuple(str(addresses).split()),
            latency_us=latency_us if isinstance(latency_us, int) else None,
            deliveries=_int(deliveries, 0),
        )
        peer.score.restore(now, _int(score_ppm, FULL_PPM), max(0, wall_ms - _int(at_ms, wall_ms)) * 1_000)
        peer.ignored = peer.score.convicted
        self._peers[peer.node] = peer
        if peer.score.ppm(now) < FULL_PPM and not peer.ignored:
            self._lowered[peer.node] = None

    def _admitted(self, now: Instant, event: MemberAdmitted) -> list[Effect]:
        self._members[event.node] = None
        if event.node == self._env.node_id:
            return []
        known = self._peers.get(event.node)
        if known is not None:
            known.cluster, known.role, known.public_key = event.cluster, event.role, event.public_key
            return []
        if len(self._peers) >= PEERS_MAX:
            return [Emit(Dropped("peers", "full"))]
        wall_ms = self._env.wall_ms()
        self._peers[event.node] = Peer(
            node=event.node,
            cluster=event.cluster,
            role=event.role,
            public_key=event.public_key,
            first_seen_ms=wall_ms,
            last_seen_ms=wall_ms,
            score=Score(now, self._half_life_us),
            changes=deque(maxlen=self._settings.causes_max),
        )
        self._touch(event.node, now + SAVE_SOON_US)
        return []

    def _described(self, now: Instant, event: MemberDescribed) -> None:
        peer = self._peers.get(event.node)
        if peer is not None and (peer.region, peer.addresses) != (event.region, event.addresses):
            peer.region, peer.addresses = event.region, event.addresses
            self._touch(event.node, now + SAVE_SOON_US)

    def _changed(self, event: MemberChanged) -> None:
        if event.new == "left":
            self._members.pop(event.node, None)
        else:
            self._members[event.node] = None
        peer = self._peers.get(event.node)
        if peer is None:
            return
        peer.present = event.new in ("alive", "suspect")
        if event.new == "alive":
            peer.last_seen_ms = self._env.wall_ms()
        self._place(peer)

    def _measured(self, now: Instant, event: LinkMeasured) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        peer.latency_us = event.rtt_us
        peer.last_seen_ms = self._env.wall_ms()
        self._pool.measured(event.peer, event.rtt_us)
        self._touch(event.peer, now + SAVE_LATER_US)

    def _delivered(self, now: Instant, event: Imported) -> None:
        peer = self._peers.get(event.origin)
        if peer is not None:
            peer.deliveries += len(event.frames)
            self._touch(event.origin, now + SAVE_LATER_US)

    def _place(self, peer: Peer) -> None:
        """In the pool exactly while it is present and not ignored."""
        if peer.present and not peer.ignored:
            self._pool.add(peer.node, peer.latency_us)
        else:
            self._pool.remove(peer.node)

    # --- scores -------------------------------------------------------------------------------------------

    def _fault(self, now: Instant, party: NodeId, name: str, proof: bytes) -> list[Effect]:
        """Charge a fault. What convicts needs its proof; a convicted peer cannot fall further."""
        peer = self._peers.get(party)
        cause = cause_of(name)
        if peer is None or peer.score.convicted or (cause.convicts and not proof):
            return []
        delta_ppm = peer.score.apply(now, cause)
        if delta_ppm == 0 and not cause.convicts:
            return []
        evidence = proof if len(proof) <= EVIDENCE_BYTES_MAX else b""
        oldest = peer.changes[0].n if len(peer.changes) == self._settings.causes_max else None
        change, is_new = peer.record(self._env.wall_ms(), delta_ppm, name, evidence)
        if is_new and oldest is not None:
            self._unsaved_changes[party, oldest] = None
        self._unsaved_changes[party, change.n] = change
        self._touch(party, now + SAVE_SOON_US)
        self._lowered[party] = None
        if self._review_at is None:
            self._review_at = now + REVIEW_US
        effects = self._judge(now, peer, name, tell=is_new)
        return [*effects, self._save_conviction(now, peer, change)] if cause.convicts else effects

    @property
    def _ignored_max(self) -> int:
        """f = ceil(n/3) - 1: so many of n members may be faulty."""
        return max(0, -(-len(self._members) // 3) - 1)

    def _judge(self, now: Instant, peer: Peer, cause: str, *, tell: bool) -> list[Effect]:
        """Is it ignored from now on? Tells when that changes, and otherwise when `tell` is set."""
        score_ppm = peer.score.ppm(now)
        effects: list[Effect] = []
        was_ignored = peer.ignored
        below = score_ppm < self._threshold_ppm
        if peer.score.convicted:
            self._observed.pop(peer.node, None)
            peer.ignored = True
        elif not below:
            self._observed.pop(peer.node, None)
            peer.ignored = peer.excused = False
        elif peer.node not in self._observed:
            peer.ignored = len(self._observed) < self._ignored_max
            if peer.ignored:
                self._observed[peer.node] = None
            elif not peer.excused:
                effects.append(Emit(Dropped("peers", "too-many-to-ignore", 1, peer.node)))
            peer.excused = not peer.ignored
        self._place(peer)
        if tell or peer.ignored is not was_ignored:
            effects.append(Emit(ScoreChanged(peer.node, score_ppm, cause, peer.ignored)))
        return effects

    def _review(self, now: Instant) -> list[Effect]:
        """Scores that came back; and with fewer ignored, one that was excused may take the place."""
        effects: list[Effect] = []
        while len(self._observed) > self._ignored_max:  # members left, and with them the right to ignore so many
            self._observed.popitem()
        for node in list(self._lowered):
            peer = self._peers[node]
            effects += self._judge(now, peer, "forgiven", tell=False)
            if peer.score.convicted or peer.score.ppm(now) == FULL_PPM:
                del self._lowered[node]
                self._touch(node, now + SAVE_LATER_US)
        self._review_at = now + REVIEW_US if self._lowered else None
        return effects

    # --- the store ----------------------------------------------------------------------------------------

    def _touch(self, node: NodeId, save_at: Instant) -> None:
        self._unsaved[node] = None
        if self._save_at is None or save_at < self._save_at:
            self._save_at = save_at

    def _save_conviction(self, now: Instant, peer: Peer, change: Change) -> Effect:
        """At once and on disk: a convicted peer must not be innocent again after a crash of ours."""
        self._unsaved.pop(peer.node, None)
        self._unsaved_changes.pop((peer.node, change.n), None)
        told = Put("peer_causes", _change_row(peer.node, change))
        return Persist(-1, (told, Put("peers", peer.row(now, self._env.wall_ms()))))

    def _save(self, now: Instant) -> list[Effect]:
        """Write what changed, at most 512 rows at a time, the rest a second later."""
        wall_ms = self._env.wall_ms()
        writes: list[Write] = []
        for node, n in list(self._unsaved_changes)[:SAVE_ROWS_MAX]:
            change = self._unsaved_changes.pop((node, n))
            if change is None:
                writes.append(Delete("peer_causes", (node, n)))
            else:
                writes.append(Put("peer_causes", _change_row(node, change)))
        for node in list(self._unsaved)[: SAVE_ROWS_MAX - len(writes)]:
            del self._unsaved[node]
            writes.append(Put("peers", self._peers[node].row(now, wall_ms)))
        self._save_at = now + SAVE_SOON_US if self._unsaved or self._unsaved_changes else None
        return [Persist(-1, tuple(writes), sync=False)] if writes else []


def _change_row(node: NodeId, change: Change) -> Row:
    return (node, change.n, change.at_ms, change.delta_ppm, change.cause, change.evidence)


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) else default
