"""Peers: the registry of those we deal with, what we think of each, and how many messages we let it send.

A score is ours alone: it moves on faults that the party itself committed towards us or that are proven, never on
hearsay, and every change keeps its cause (opinion.py).
Below `ignore_below` a peer is ignored: not selected, merged or relayed for, but still a member that counts in every
quorum, and still heard when it brings proofs.

Whom to prefer is asked of strategies over one table (strategies.py, pool.py), ranked by what was measured, or by
coordinates for those never met; newcomers are held back until they have earned their standing (probation.py).

Scores, causes and latencies survive a restart (tables `peers`, `peer_causes`) and are keyed by identity, so neither a
reconnect nor another address washes anything off.

Source: the attacks and rules collected in GossipSub v1.1's evaluation (2020) and EigenTrust (WWW 2003).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, TypeAlias

from arqonmesh.config.model import PeerSettings
from arqonmesh.core.events import (
    Applied,
    Dropped,
    Fault,
    Forked,
    Imported,
    LinkMeasured,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    PeerRuled,
    ScoreChanged,
)
from arqonmesh.core.kernel import SECOND, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.core.peers.buckets import Buckets
from arqonmesh.core.peers.opinion import Opinion
from arqonmesh.core.peers.peer import ESTABLISHED_DELIVERIES, Peer
from arqonmesh.core.peers.pool import Pool
from arqonmesh.core.peers.probation import Probation
from arqonmesh.core.peers.rebalance import Preference, prefer, told
from arqonmesh.core.peers.report import CauseReport, PeerReport, causes_of, report_of
from arqonmesh.core.peers.rtt import RttTracker
from arqonmesh.core.peers.score import FULL_PPM
from arqonmesh.core.peers.store import SAVE_LATER_US, SAVE_SOON_US, Store, restored
from arqonmesh.core.peers.strategies import RANDOM_PERCENT_MIN, strategy_of
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.messages import WireMessage

PEERS_MAX: Final = 65_536
RATE_FAULT_US: Final = SECOND

Guess: TypeAlias = Callable[[NodeId], "int | None"]
"""The round trip to a member that was never measured, microseconds; None when nothing is known."""


class Peers:
    """The registry. Everything but `allow` and the selections, which draw, only reads."""

    NAME: ClassVar[str] = "peers"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = ()
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberExpelled,
        MemberDescribed,
        MemberChanged,
        LinkMeasured,
        Applied,
        Imported,
        Fault,
        Forked,
        PeerRuled,
    )

    def __init__(
        self,
        env: Env,
        settings: PeerSettings,
        guess: Guess = lambda node: None,
        *,
        round_us: int = SECOND,
    ) -> None:
        """`round_us`: how long a round of gossip takes, by which preferences are renewed."""
        self._env = env
        self._settings = settings
        self._guess = guess
        self._half_life_us = max(1, int(settings.half_life_s * SECOND))
        self._peers: dict[NodeId, Peer] = {}
        self._members: dict[NodeId, None] = {env.node_id: None}
        self._pool = Pool(env.rng, self._region_of, guess)
        self._buckets = Buckets(rate_per_s=settings.rate_per_s, burst=settings.burst)
        self._probation = Probation(rate_per_s=settings.rate_per_s, burst=settings.burst)
        self._store = Store()
        threshold_ppm = int(settings.ignore_below * FULL_PPM)
        self._opinion = Opinion(
            env, threshold_ppm, self._half_life_us, settings.causes_max, self._peers, self._members, self._store
        )
        self._strategy = strategy_of(settings.strategy, random_percent=settings.random_percent, region=env.region)
        self._rebalance_us = settings.rebalance_rounds * round_us
        self._rebalance_at: Instant | None = None
        self._turn = 0
        self.preference = Preference()
        self._excess_told_at: dict[NodeId, Instant] = {}
        self._excess: dict[NodeId, None] = {}
        self._started_at: Instant = 0
        self._now: Instant = 0

    # --- what the node asks -------------------------------------------------------------------------------

    def __contains__(self, node: NodeId) -> bool:
        return node in self._peers

    def __len__(self) -> int:
        return len(self._peers)

    def allow(self, now: Instant, link_peer: NodeId) -> bool:
        """One control message from this link peer: within its rate? Excess of the full rate is a fault, once a second;
        a newcomer's excess of its tenth is not."""
        if self._buckets.take(now, link_peer):
            return self._probation.allow(now, link_peer)
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
        """Up to k present, not ignored peers with the lowest round trip, measured or else by coordinates."""
        return self._pool.nearest(k, exclude)

    def hybrid(self, k: int, random_percent: int = 20, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Near ones for speed, `random_percent` of k at random for robustness."""
        return self._pool.hybrid(k, random_percent, exclude)

    def select(self, k: int, exclude: Sequence[NodeId] = ()) -> list[NodeId]:
        """Up to k by the configured strategy, best first."""
        return self._strategy(self._pool, k, exclude)

    def partner(self, linked: Sequence[NodeId]) -> NodeId:
        """Whom of the linked peers to compare notes with: by turns the preferred ones, and in at least a fifth of the
        rounds the first of `linked`, whose order changes, so that every link is used. Not the ignored ones, unless
        there is nobody else."""
        fit = [node for node in linked if not self.ignored(node)] or list(linked)
        rng, near = self._env.rng, [node for node in self.preference.chosen if node in fit]
        percent = max(RANDOM_PERCENT_MIN, self._settings.random_percent)
        if not near or self._settings.strategy == "random" or rng.randrange(0, 100) < percent:
            return fit[0]
        self._turn += 1
        return near[self._turn % len(near)]

    def ignored(self, node: NodeId) -> bool:
        peer = self._peers.get(node)
        return peer is not None and peer.ignored

    def causes(self, node: NodeId) -> tuple[CauseReport, ...]:
        """Why its score moved, oldest first; empty for one that is not known."""
        peer = self._peers.get(node)
        return () if peer is None else causes_of(peer, self._half_life_us)

    def convicted(self, node: NodeId) -> bool:
        """Whether it is ignored for good, by a proof or the operator's ban: until the operator forgives it."""
        peer = self._peers.get(node)
        return peer is not None and peer.convicted

    def held_back(self) -> tuple[int, int]:
        """How many are ignored, and how many are on probation."""
        return sum(peer.ignored for peer in self._peers.values()), len(self._probation)

    def score_ppm(self, now: Instant, node: NodeId) -> int:
        """1_000_000 for one that is not known: nothing is held against it."""
        peer = self._peers.get(node)
        return FULL_PPM if peer is None else peer.score_ppm(now)

    def standing(self, node: NodeId) -> str:
        peer = self._peers.get(node)
        return "newcomer" if peer is None else peer.standing(self._env.wall_ms())

    def view(self, now: Instant, node: NodeId) -> PeerReport:
        """Everything known of one peer. Raises KeyError for a node that is not in the registry."""
        peer = self._peers[node]
        return report_of(
            peer,
            now,
            self._env.wall_ms(),
            causes=self.causes(node),
            probation=node in self._probation,
            preferred=node in self.preference.chosen and node in self._pool,
            guess_us=None if peer.latency_us is not None else self._guess(node),
        )

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._now = self._started_at = now
        settings = self._settings
        effects: list[Effect] = []
        for peer in restored(now, self._env.wall_ms(), durable, self._half_life_us, settings.causes_max):
            self._peers[peer.node] = peer
            self._opinion.restored(now, peer)
            if peer.ignored:  # the others forgot: who counts as reachable, whom to keep links to, who carries
                cause = peer.changes[-1].cause if peer.changes else "restored"
                effects.append(Emit(ScoreChanged(peer.node, 0, cause, True)))
        self._rebalance_at = now + self._rebalance_us
        return effects

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        raise AssertionError(f"peers speaks no messages, got {type(message).__name__}")

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        self._now = now
        match event:
            case LinkMeasured():
                self._measured(now, event)
            case Applied():
                self._stated(now, event)
            case Imported():
                self._delivered(now, event.origin, len(event.frames))
            case Fault():
                return self._opined(event.party, self._opinion.fault(now, event.party, event.cause, event.proof))
            case Forked() if not event.restored:
                proof = encode([event.first, event.second])
                return self._opined(event.author, self._opinion.fault(now, event.author, "equivocation", proof))
            case PeerRuled():
                return self._opined(event.node, self._ruled(now, event))
            case MemberAdmitted():
                return self._admitted(now, self._env.wall_ms(), event)
            case MemberExpelled():
                self._members.pop(event.node, None)
            case MemberDescribed():
                self._described(event)
            case MemberChanged():
                self._changed(now, self._env.wall_ms(), event)
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """Most come at the start, one for each member."""
        first = events[0]
        if isinstance(first, Applied) and now <= self._started_at:
            return []
        if not isinstance(first, MemberAdmitted | MemberChanged):
            return [effect for event in events for effect in self.on_event(now, event)]
        self._now, wall_ms = now, self._env.wall_ms()
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, MemberChanged):
                self._changed(now, wall_ms, event)
            elif isinstance(event, MemberAdmitted):
                effects += self._admitted(now, wall_ms, event)
        return effects

    def on_timer(self, now: Instant) -> list[Effect]:
        self._now = now
        effects: list[Effect] = []
        excess, self._excess = self._excess, {}
        for node in excess:
            effects += self._opined(node, self._opinion.fault(now, node, "rate", b""))
        if _due(self._opinion.due_at, now):
            effects += self._opinion.review(now)
            for peer in self._peers.values():
                self._place(peer)
        if _due(self._probation.due_at, now):
            self._probation.review(now, self._env.wall_ms(), self._peers)
        if _due(self._rebalance_at, now):
            effects += self._rebalance(now)
        if _due(self._store.due_at, now):
            effects += self._store.save(now, self._env.wall_ms(), self._peers)
        return effects

    def next_deadline(self) -> Instant | None:
        if self._excess:
            return self._now
        deadline = self._rebalance_at
        for due in (self._store.due_at, self._opinion.due_at, self._probation.due_at):
            if due is not None and (deadline is None or due < deadline):
                deadline = due
        return deadline

    # --- the registry -------------------------------------------------------------------------------------

    def _admitted(self, now: Instant, wall_ms: int, event: MemberAdmitted) -> list[Effect]:
        returns = event.node not in self._members and now > self._started_at
        self._members[event.node] = None
        if event.node == self._env.node_id:
            return []
        peer = self._peers.get(event.node)
        if peer is None and len(self._peers) >= PEERS_MAX:
            return [Emit(Dropped("peers", "full"))]
        if peer is None:
            peer = self._peers[event.node] = Peer(
                node=event.node,
                first_seen_ms=wall_ms,
                last_seen_ms=wall_ms,
            )
            self._store.touch(event.node, now + SAVE_SOON_US)
        peer.cluster, peer.role = event.cluster, event.role
        peer.inviter = event.inviter
        if returns and peer.ignored:  # what others knew of its standing, they forgot when it left the roster
            cause = peer.changes[-1].cause if peer.changes else "restored"
            return [Emit(ScoreChanged(peer.node, peer.score_ppm(now), cause, True))]
        return []

    def _described(self, event: MemberDescribed) -> None:
        peer = self._peers.get(event.node)
        if peer is not None:
            peer.region, peer.addresses = event.region, event.addresses

    def _changed(self, now: Instant, wall_ms: int, event: MemberChanged) -> None:
        if event.new == "left":
            self._members.pop(event.node, None)
        else:
            self._members[event.node] = None
        peer = self._peers.get(event.node)
        if peer is None:
            return
        peer.present = event.new in ("alive", "suspect")
        if event.new == "alive":
            peer.last_seen_ms = wall_ms
            self._probation.someone_is_new(now)
        self._place(peer)

    def _measured(self, now: Instant, event: LinkMeasured) -> None:
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        if peer.rtt is None:
            peer.rtt = RttTracker()
        peer.rtt.add(event.rtt_us, event.rtt_var_us, event.loss_ppm)
        peer.latency_us = event.rtt_us
        peer.last_seen_ms = self._env.wall_ms()
        self._pool.measured(event.peer, event.rtt_us)
        self._store.touch(event.peer, now + SAVE_LATER_US)

    def _stated(self, now: Instant, event: Applied) -> None:
        """A statement that was accepted is a delivery too, as long as that matters. What our own disk brings back at
        the start is none."""
        if not event.ours and now > self._started_at:
            peer = self._peers.get(event.author)
            if peer is not None and peer.deliveries < ESTABLISHED_DELIVERIES:
                self._delivered(now, event.author, 1)

    def _delivered(self, now: Instant, author: NodeId, count: int) -> None:
        peer = self._peers.get(author)
        if peer is not None:
            peer.deliveries += count
            self._store.touch(author, now + SAVE_LATER_US)

    def _place(self, peer: Peer) -> None:
        """In the pool exactly while it is present and not ignored."""
        if peer.present and not peer.ignored:
            if peer.node not in self._pool:
                self._pool.add(peer.node, peer.latency_us)
        else:
            self._pool.remove(peer.node)

    def _region_of(self, node: NodeId) -> str:
        peer = self._peers.get(node)
        return "" if peer is None else peer.region

    # --- opinions and preferences -------------------------------------------------------------------------

    def _ruled(self, now: Instant, event: PeerRuled) -> list[Effect]:
        if event.banned:
            return self._opinion.fault(now, event.node, "banned", event.reason.encode() or b"no reason given")
        return self._opinion.pardon(now, event.node, event.reason)

    def _opined(self, party: NodeId, effects: list[Effect]) -> list[Effect]:
        """After a verdict: its party, and who invited it, may have to leave the pool or return."""
        peer = self._peers.get(party)
        if peer is not None:
            self._place(peer)
            inviter = None if peer.inviter is None else self._peers.get(peer.inviter)
            if inviter is not None:
                self._place(inviter)
        return effects

    def _rebalance(self, now: Instant) -> list[Effect]:
        """Choose anew, among those who are there and by what is measured or guessed now."""
        self._rebalance_at = now + self._rebalance_us
        if not len(self._pool):
            return []
        k = self._settings.preferred_max
        with self._pool.held():
            self.preference = prefer(now, self.preference, self._pool, self._strategy, k)
        return [Emit(told(self._settings.strategy, self.preference))]


def _due(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now
