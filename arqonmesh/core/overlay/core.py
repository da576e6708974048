"""HyParView (Leitao, Pereira, Rodrigues, DSN 2007), sans-IO: which few links a node keeps in a mesh too large for all.

    OverlayRuns, MemberIntroduced ──▶ join through whom we know
    LinkUp, LinkDown ──▶ neighbours come and go: a broken link is the failure signal, a spare member takes the place
    ──▶ LinkWanted, to topology, which dials and closes · NeighbourUp, NeighbourDown, to whoever uses the view

**Active view**: neighbours, each over a link that is up, at both ends. **Passive view**: spare members. Newcomers are
spread by random walks, passive views mixed by shuffles.

What differs from the paper: (1) nobody counts as neighbour before it has answered over a link, also at the end of a
newcomer's walk. (2) Who is sent away is told whom to try instead. (3) Part of the active view is for neighbours of our
own choice, names are bounded per source, one candidate in four is drawn from all members: nobody who floods us can
surround us (eclipse attacks: Heilman et al., USENIX Security 2015). (4) Messages name members by id alone; where one
listens is in its own signed record, which gossip brings. (5) What was lost is tried again for ever, because after a
cut neither side's views know the other side any more.

A neighbour that does not count us as one is corrected when it sends over the edge: it is told so, and tries elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.events import (
    Dropped,
    LinkDown,
    LinkUp,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    MemberIntroduced,
    OverlayRuns,
    ScoreChanged,
    TransportDown,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Emit, Env, Event, Instant, Lane, Send
from arqonmesh.core.overlay.attempts import Stage, Why
from arqonmesh.core.overlay.neighbourhood import Neighbourhood
from arqonmesh.core.overlay.walks import Walks
from arqonmesh.core.topology import DIALLED_ROLES
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import (
    OverlayDisconnect,
    OverlayForwardJoin,
    OverlayJoin,
    OverlayNeighbour,
    OverlayNeighbourReply,
    OverlayShuffle,
    OverlayShuffleReply,
    WireMessage,
)

EARLY_MAX: Final = 32
"""Questions that came over a link which our own heartbeats have not found up yet."""
CARE_US: Final = SECOND
"""Pause between looks at places that are still free and wishes that serve nothing."""


@dataclass(frozen=True, slots=True)
class OverlayReport:
    """The views of this node, for screens and tests."""

    running: bool
    active: tuple[NodeId, ...]
    chosen: int
    """Neighbours of our own choice, among `active`."""
    passive: tuple[NodeId, ...]
    lost: tuple[NodeId, ...]
    promotions: int
    evictions: int
    refusals: int
    names_refused: int
    """Names for which their source's share of the passive view had no room."""


class Overlay:
    """The overlay core of one node. `addresses_of` says where a member listens; empty for who is unknown here."""

    NAME: ClassVar[str] = "overlay"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (
        OverlayJoin,
        OverlayForwardJoin,
        OverlayNeighbour,
        OverlayNeighbourReply,
        OverlayShuffle,
        OverlayShuffleReply,
        OverlayDisconnect,
    )
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        OverlayRuns,
        LinkUp,
        LinkDown,
        TransportDown,
        MemberIntroduced,
        MemberDescribed,
        MemberChanged,
        MemberExpelled,
        ScoreChanged,
    )

    def __init__(
        self,
        env: Env,
        settings: OverlaySettings,
        founder: NodeId,
        addresses_of: Callable[[NodeId], tuple[str, ...]],
        members: Callable[[], int] | None = None,
    ) -> None:
        """`members` tells how many the mesh has, and the active view grows with it; without it the view has all its
        places from the beginning."""
        self._rng = env.rng
        self._me = env.node_id
        self._founder = founder
        self._interval_us = settings.shuffle_interval_ms * MILLISECOND
        self._running = False
        self._hood = Neighbourhood(env, settings, addresses_of, members)
        self._walks = Walks(env, settings, self._hood)
        self._early: dict[NodeId, WireMessage] = {}
        self._shuffle_at: Instant | None = None
        self._hasty_at: Instant = 0
        """Not before this another shuffle out of turn."""
        self._care_at: Instant | None = None

    # --- what the node asks -------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[NodeId, ...]:
        """The neighbours, oldest first."""
        return self._hood.active.nodes()

    def report(self) -> OverlayReport:
        hood = self._hood
        return OverlayReport(
            running=self._running,
            active=hood.active.nodes(),
            chosen=hood.active.chosen,
            passive=hood.passive.nodes(),
            lost=hood.refuge.lost,
            promotions=hood.promotions,
            evictions=hood.evictions,
            refusals=hood.refusals,
            names_refused=hood.passive.refused,
        )

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        """Nothing of our own is stored: the members' records come back with gossip, and with them whom to dial."""
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if link_peer not in self._hood.linked:
            if len(self._early) < EARLY_MAX and isinstance(message, OverlayJoin | OverlayNeighbour):
                self._early[link_peer] = message
                return []
            return [Emit(Dropped("overlay", "link-not-up", 1, link_peer))]
        return self._cared(now, self._heard(now, link_peer, message))

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        hood = self._hood
        if isinstance(event, LinkUp):
            return self._cared(now, self._link_up(now, event.peer))
        if isinstance(event, LinkDown):
            return self._cared(now, hood.link_lost(now, event.peer, event.reason))
        if isinstance(event, TransportDown):
            self._early.pop(event.peer, None)
            return []
        if isinstance(event, MemberIntroduced):
            hood.refuge.told(event.node)
            if self._running and not len(hood.active):
                hood.exhausted, hood.alone_at = True, now
        elif isinstance(event, MemberDescribed):
            if event.node == self._me:
                return []
            central = event.role in DIALLED_ROLES or event.node == self._founder
            hood.refuge.described(event.node, central=central)
        elif isinstance(event, MemberChanged):
            return self._cared(now, self._changed(now, event))
        elif isinstance(event, MemberExpelled):
            return self._cared(now, self._gone(now, event.node, "expelled"))
        elif isinstance(event, ScoreChanged):
            return self._cared(now, self._scored(now, event))
        elif isinstance(event, OverlayRuns):
            return self._run(now, event)
        if self._running and not len(hood.active) and not len(hood.attempts):
            self._care_soon(now)
        return []

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        refuge, alone = self._hood.refuge, self._running and not len(self._hood.active)
        for event in events:
            if isinstance(event, MemberChanged):
                if event.new != "alive" or refuge.lost:
                    effects += self._changed(now, event)
            elif isinstance(event, MemberDescribed) and not alone:
                if event.node != self._me:
                    central = event.role in DIALLED_ROLES or event.node == self._founder
                    refuge.described(event.node, central=central)
            else:
                effects += self.on_event(now, event)
        return self._cared(now, effects)

    def on_timer(self, now: Instant) -> list[Effect]:
        if not self._running:
            return []
        hood = self._hood
        effects = hood.expire(now)
        if self._shuffle_at is not None and now >= self._shuffle_at:
            self._shuffle_at = self._next_shuffle(now)
            effects += self._walks.shuffle() + hood.seek_lost(now) + hood.look(now) + hood.insist(now)
        if self._care_at is not None and now >= self._care_at:
            self._care_at = None
            effects += hood.tidy() + self._ask_linked(now) + hood.repair(now)
        if hood.alone_at is not None and now >= hood.alone_at:
            effects += hood.turn_to_last_resort(now)
        if hood.exhausted and len(hood.active) and now >= self._hasty_at:
            self._hasty_at = now + CARE_US
            effects += self._walks.shuffle()
        return self._cared(now, effects)

    def next_deadline(self) -> Instant | None:
        if not self._running:
            return None
        deadline = self._shuffle_at
        for due in (self._care_at, self._hood.alone_at, self._hood.attempts.deadline()):
            if due is not None and (deadline is None or due < deadline):
                deadline = due
        return deadline

    # --- messages -----------------------------------------------------------------------------------------

    def _heard(self, now: Instant, peer: NodeId, message: WireMessage) -> list[Effect]:
        hood = self._hood
        if isinstance(message, OverlayNeighbour):
            return self._asked(now, peer, high=message.high)
        if isinstance(message, OverlayJoin):
            newcomer = peer not in hood.active
            effects = self._asked(now, peer, high=True)
            return effects + self._walks.announce(now, peer) if newcomer and peer in hood.active else effects
        if isinstance(message, OverlayNeighbourReply):
            candidates = tuple(NodeId(node) for node in message.candidates)
            return hood.answered(now, peer, message.accepted, candidates)
        if isinstance(message, OverlayDisconnect):
            return hood.dismissed(now, peer, tuple(NodeId(node) for node in message.candidates))
        if isinstance(message, OverlayShuffleReply):
            return self._walks.answered(peer, message)
        if peer not in hood.active:
            return [Send(peer, Lane.CONTROL, OverlayDisconnect(()))]
        if isinstance(message, OverlayShuffle):
            return self._walks.shuffled(peer, message)
        assert isinstance(message, OverlayForwardJoin), f"overlay speaks no {type(message).__name__}"
        return self._walks.forward_join(now, peer, message)

    def _asked(self, now: Instant, peer: NodeId, *, high: bool) -> list[Effect]:
        """Somebody asks for a place."""
        hood = self._hood
        if self._running and hood.accept(now, peer, high=high):
            effects = hood.admit(now, peer)
            if peer in hood.active:
                return [*effects, Send(peer, Lane.CONTROL, OverlayNeighbourReply(True, hood.candidates(peer)))]
        return [Send(peer, Lane.CONTROL, OverlayNeighbourReply(False, hood.candidates(peer)))]

    # --- events -------------------------------------------------------------------------------------------

    def _link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        hood = self._hood
        hood.linked[peer] = None
        attempt = hood.attempts.get(peer)
        effects: list[Effect] = []
        if attempt is not None and attempt.stage is Stage.DIALLING:
            effects += hood.ask(now, peer, attempt)
        elif self._running:  # somebody else's wish: its own overlay speaks first, or we do when we need it
            self._care_soon(now)
        early = self._early.pop(peer, None)
        return effects + self._heard(now, peer, early) if early is not None else effects

    def _changed(self, now: Instant, event: MemberChanged) -> list[Effect]:
        """What the failure detector says counts for spare members; of a neighbour its link says more."""
        hood = self._hood
        if event.new == "left":
            return self._gone(now, event.node, "left")
        if event.new == "dead" and event.node not in hood.active:
            hood.passive.remove(event.node)
            hood.refuge.lose(event.node)
        elif event.new == "alive" and hood.refuge.found(event.node):  # somebody reached it
            hood.recall(event.node)
        return []

    def _gone(self, now: Instant, node: NodeId, reason: str) -> list[Effect]:
        self._hood.refuge.gone(node)
        self._hood.banned.pop(node, None)
        return self._hood.expel(now, node, reason)

    def _scored(self, now: Instant, event: ScoreChanged) -> list[Effect]:
        """Who is ignored is no neighbour and no candidate; who is forgiven may be one again."""
        hood = self._hood
        if not event.ignored:
            hood.banned.pop(event.node, None)
            return []
        hood.banned[event.node] = None
        hood.refuge.gone(event.node)
        return hood.expel(now, event.node, event.cause)

    def _run(self, now: Instant, event: OverlayRuns) -> list[Effect]:
        hood = self._hood
        if not event.running:
            self._running = False
            self._shuffle_at = self._care_at = None
            return hood.abandon()
        self._running = True
        self._shuffle_at = self._next_shuffle(now)
        hood.inherit(event.inherited)
        self._care_at = now + CARE_US
        effects: list[Effect] = []
        for peer in event.inherited:
            if peer in hood.linked and hood.attempts.seeking() < hood.missing:
                effects += hood.begin(now, peer, Why.KEEP)
        return self._cared(now, effects)

    # --- private ------------------------------------------------------------------------------------------

    def _ask_linked(self, now: Instant) -> list[Effect]:
        """Places are free and links stand that are in no view: ask there first."""
        hood = self._hood
        effects: list[Effect] = []
        if hood.missing:
            for peer in list(hood.linked):
                if hood.attempts.seeking() >= hood.missing:
                    break
                if not hood.pauses.holds(now, peer):
                    effects += hood.begin(now, peer, Why.KEEP if len(hood.active) else Why.JOIN)
        return effects

    def _next_shuffle(self, now: Instant) -> Instant:
        fifth = self._interval_us // 5
        return now + self._interval_us - fifth + self._rng.randrange(0, 2 * fifth + 1)

    def _care_soon(self, now: Instant) -> None:
        """A moment later, so that the other side may speak first."""
        due = now + CARE_US // 4 + self._rng.randrange(0, CARE_US // 4)
        if self._care_at is None or due < self._care_at:
            self._care_at = due

    def _cared(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        """Look again soon while places are free or links too many; not at all while nothing is to be done."""
        hood = self._hood
        hood.grow()
        if self._running and self._care_at is None and (hood.missing or hood.untidy):
            self._care_at = max(now + CARE_US, hood.patient_until)
        return effects
