"""Who becomes a neighbour, who stops being one, and who is tried next.

Every edge of the active view is a link that is up, wished for by both ends. A place that falls free is filled from the
passive view at once: dial, ask over the link, and count the answer only. Several are dialled at a time, because after a
mass failure most of them do not answer; no more are asked than there are places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.events import Dropped, LinkWanted, NeighbourDown, NeighbourUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Env, Instant, Lane, Send
from arqonmesh.core.overlay.active import ActiveView, size_for
from arqonmesh.core.overlay.attempts import Attempt, Attempts, Stage, Why
from arqonmesh.core.overlay.passive import OURS, Origin, PassiveView
from arqonmesh.core.overlay.pauses import Pauses
from arqonmesh.core.overlay.refuge import Refuge
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import (
    OverlayDisconnect,
    OverlayJoin,
    OverlayNeighbour,
)

NAME: Final = "overlay"
PAUSES_MAX: Final = 256
SEEKING_MAX: Final = 16
"""Candidates tried at once to fill places."""
ATTEMPTS_MAX: Final = 48
"""The same, with those whose dial has become slow."""
LAST_RESORTS: Final = 2
"""Peers of last resort tried at once; `LAST_RESORTS_ALONE` where nobody is left."""
LAST_RESORTS_ALONE: Final = 8
WALKS_MAX: Final = 2
"""Newcomers' walks that end here and are answered at once; further ones are noted in the passive view."""
PARTING_US: Final = SECOND
"""An evicted neighbour closes the link when it has read why; after this we do."""
SAMPLE_EVERY: Final = 4
"""One candidate in so many comes from the sample of all members, which no other member could fill."""
ALONE_MIN_US: Final = SECOND
ALONE_MAX_US: Final = 60 * SECOND
PATIENCE_MIN_US: Final = SECOND
PATIENCE_MAX_US: Final = 32 * SECOND
"""Refused although more than half of the places are filled: others have no room, and asking more often makes none."""
CANDIDATES: Final = 8
"""Members named to whom we send away."""
SPARE_SHARE: Final = 1
"""Links that stand without being in the view (other operators' wishes), as a multiple of the view's size."""


class Neighbourhood:
    """The views of one node and the attempts to fill them."""

    def __init__(
        self,
        env: Env,
        settings: OverlaySettings,
        addresses_of: Callable[[NodeId], tuple[str, ...]],
        members: Callable[[], int] | None = None,
    ) -> None:
        self._me = env.node_id
        self._rng = env.rng
        self._addresses_of = addresses_of
        self._timeout_us = settings.neighbour_timeout_ms * MILLISECOND
        self._members = members
        self._counted = 0
        """Members when the view was last given its size."""
        self._active_max = settings.active_max
        first = settings.active_max if members is None else size_for(1, settings.active_max)
        self._chosen_min = min(settings.outbound_min, first // 2)
        self.active = ActiveView(first, self._chosen_min)
        self.passive = PassiveView(settings.passive_max, settings.source_percent)
        self.attempts = Attempts()
        self.pauses = Pauses(settings.backoff_ms * MILLISECOND, PAUSES_MAX)
        self.refuge = Refuge(env.rng)
        self.linked: dict[NodeId, None] = {}
        """Links that are up, oldest first."""
        self.banned: dict[NodeId, None] = {}
        """Convicted or ignored members; peers ignores at most a third of the roster."""
        self.alone_at: Instant | None = None
        """When peers of last resort are tried again."""
        self.exhausted = False
        """Places are free and nobody is known who could fill them."""
        self.patient_until: Instant = 0
        """Until then places that are not urgent are not filled."""
        self.promotions = 0
        self.evictions = 0
        self.refusals = 0
        self._wished: dict[NodeId, None] = {}
        self._alone_us = ALONE_MIN_US
        self._patience_us = PATIENCE_MIN_US

    # --- who is who ---------------------------------------------------------------------------------------

    def usable(self, node: NodeId) -> bool:
        """A member that we could dial: not ourselves, not convicted, and we know where it listens."""
        return node != self._me and node not in self.banned and bool(self._addresses_of(node))

    def grow(self) -> None:
        """As many places as the mesh asks for by now."""
        if self._members is not None and self._members() != self._counted:
            self._counted = self._members()
            self.active.grow(size_for(self._counted, self._active_max))

    @property
    def missing(self) -> int:
        """Places that want filling: one less than the view holds, so that somebody who looks for a place finds one;
        and as many chosen neighbours as the quota says."""
        short = max(self.active.size - 1 - len(self.active), self._chosen_min - self.active.chosen)
        return max(0, min(short, self.active.size - len(self.active)))

    @property
    def untidy(self) -> bool:
        """More links stand than any view holds."""
        return len(self.linked) > len(self.active) + len(self.attempts) + SPARE_SHARE * self.active.size

    def note(self, nodes: Iterable[NodeId], source: NodeId, expendable: Iterable[NodeId] = ()) -> None:
        """Members that a link peer told us of."""
        origin = Origin(source, self.active.is_chosen(source))
        for node in nodes:
            if self.usable(node) and node not in self.active:
                self.passive.add(node, origin, self._rng, expendable)

    def recall(self, node: NodeId) -> None:
        """A member that we know to be there: one to turn to."""
        if self.usable(node) and node not in self.active:
            self.passive.add(node, OURS, self._rng)

    def candidates(self, receiver: NodeId) -> tuple[NodeId, ...]:
        """Members to name to somebody whom we send away: neighbours first, they are surely there."""
        neighbours = self.active.sample(self._rng, CANDIDATES // 2, (receiver,))
        spare = self.passive.sample(self._rng, CANDIDATES - len(neighbours), (receiver,))
        return tuple(neighbours + spare)

    # --- attempts -----------------------------------------------------------------------------------------

    def begin(self, now: Instant, peer: NodeId, why: Why) -> list[Effect]:
        """Try to win a neighbour, if nothing speaks against it."""
        if peer in self.active or peer in self.attempts or not self.usable(peer):
            return []
        attempt = self.attempts.begin(peer, why, Stage.DIALLING, now, self._timeout_us)
        effects = self.wish(peer)
        return effects + self.ask(now, peer, attempt) if peer in self.linked else effects

    def ask(self, now: Instant, peer: NodeId, attempt: Attempt) -> list[Effect]:
        """The link is up: ask, unless enough others were faster."""
        asked = self.attempts.count(Stage.ASKED)
        if attempt.why is Why.LOOK:
            if not self.missing:
                self.attempts.advance(attempt, Stage.PARTING, now + PARTING_US)
                return []
            attempt.why = Why.PROMOTE
        if attempt.why not in (Why.RETURN, Why.QUOTA, Why.WALK) and asked >= max(1, self.missing):
            return self._give_up(peer)
        if attempt.why is Why.WALK and not self.active.has_room(chosen=False, reserved=asked):
            return self._give_up(peer)
        self.attempts.advance(attempt, Stage.ASKED, now + self._timeout_us)
        if attempt.why is Why.JOIN and not asked:  # one is enough to tell others of us
            return [Send(peer, Lane.CONTROL, OverlayJoin())]
        high = attempt.why in (Why.RETURN, Why.QUOTA) or not len(self.active)
        return [Send(peer, Lane.CONTROL, OverlayNeighbour(high))]

    def answered(self, now: Instant, peer: NodeId, accepted: bool, candidates: tuple[NodeId, ...]) -> list[Effect]:
        """The peer's answer to our question; one that we did not ask is not believed."""
        attempt = self.attempts.get(peer)
        if attempt is None or attempt.stage is not Stage.ASKED:
            if accepted and peer not in self.active:
                return [Send(peer, Lane.CONTROL, OverlayDisconnect(()))]
            return []
        self.attempts.end(peer)
        chosen = attempt.why is not Why.WALK
        if peer in self.active:  # both asked
            if chosen:
                self.active.choose(peer)
            self.note(candidates, peer)
            return []
        if not accepted:
            self.refusals += 1
            self.pauses.begin(now, peer)
            self.note(candidates, peer)
            self.refuge.found(peer)
            self.recall(peer)
            if 2 * len(self.active) > self.active.size:
                self.patient_until = now + self._patience_us
                self._patience_us = min(PATIENCE_MAX_US, 2 * self._patience_us)
            return self._release(peer) + self.repair(now)
        effects: list[Effect] = []
        if not self.active.has_room(chosen=chosen):
            gone = self.active.victim(self._rng, self._chosen_min) if chosen else None
            if gone is None:
                parting = Send(peer, Lane.CONTROL, OverlayDisconnect(self.candidates(peer)))
                self.passive.add(peer, OURS, self._rng)
                return [parting, *self._part(now, peer)]
            effects += self.evict(now, gone)
        effects += self.take(now, peer, chosen=chosen)
        self.note(candidates, peer)
        return effects

    def expire(self, now: Instant) -> list[Effect]:
        """Who did not answer in time is not there, as far as we can tell; who is slow to answer is not waited for."""
        effects: list[Effect] = []
        slowed = self.attempts.slowed(now)
        expired = self.attempts.expired(now)
        for peer in expired:
            attempt = self.attempts.end(peer)
            assert attempt is not None
            if attempt.why is not Why.WALK and attempt.stage is not Stage.PARTING:
                self._forget(peer)
            effects += self._release(peer, close=attempt.stage is Stage.PARTING)
        return effects + self.repair(now) if expired or slowed else effects

    # --- the active view ----------------------------------------------------------------------------------

    def accept(self, now: Instant, peer: NodeId, *, high: bool) -> bool:
        """Whether somebody who asks for a place gets one. High priority is never refused to a member in good standing,
        so nobody is left out; it only ever pushes out neighbours that were given to us."""
        if peer in self.active:
            return True
        if not self.usable(peer):
            return False
        if high:
            return True
        reserved = self.attempts.count(Stage.ASKED)
        return not self.pauses.holds(now, peer) and self.active.has_room(chosen=False, reserved=reserved)

    def admit(self, now: Instant, peer: NodeId) -> list[Effect]:
        """Take in somebody who asked and was accepted; with a full view somebody else goes."""
        if peer in self.active:
            return []
        effects: list[Effect] = []
        if not self.active.has_room(chosen=False):
            gone = self.active.victim(self._rng, self._chosen_min)
            if gone is None:
                return []
            effects += self.evict(now, gone)
        return effects + self.take(now, peer, chosen=False)

    def take(self, now: Instant, peer: NodeId, *, chosen: bool) -> list[Effect]:
        """Count a peer as neighbour: it has answered, its link is up."""
        assert peer in self.linked, f"{peer} has no link"
        self.passive.remove(peer)
        self.refuge.found(peer)
        self.pauses.end(peer)
        attempt = self.attempts.get(peer)
        if attempt is not None and attempt.stage is Stage.PARTING:
            self.attempts.end(peer)
        self.active.add(peer, now, chosen=chosen)
        self.promotions += chosen
        self._alone_us, self.alone_at = ALONE_MIN_US, None
        self._patience_us = PATIENCE_MIN_US
        return [*self.wish(peer), Emit(NeighbourUp(peer, chosen))]

    def evict(self, now: Instant, peer: NodeId) -> list[Effect]:
        """Send a neighbour away, with names so that it is not stranded."""
        self.evictions += 1
        farewell = Send(peer, Lane.CONTROL, OverlayDisconnect(self.candidates(peer)))
        self.active.remove(peer)
        self.passive.add(peer, OURS, self._rng)
        self.pauses.begin(now, peer)
        return [farewell, Emit(NeighbourDown(peer, "evicted")), *self._part(now, peer)]

    def dismissed(self, now: Instant, peer: NodeId, candidates: tuple[NodeId, ...]) -> list[Effect]:
        """A peer does not count us as neighbour, or not any more."""
        attempt = self.attempts.get(peer)
        asked = attempt is not None and attempt.stage is Stage.ASKED
        if peer not in self.active and not asked:
            return []
        self.attempts.end(peer)
        self.note(candidates, peer)
        effects: list[Effect] = []
        if self.active.remove(peer):
            effects.append(Emit(NeighbourDown(peer, "disconnected")))
        self.passive.add(peer, OURS, self._rng)
        self.pauses.begin(now, peer)
        return effects + self._release(peer) + self.repair(now)

    def link_lost(self, now: Instant, peer: NodeId, reason: str) -> list[Effect]:
        """The failure signal. A neighbour's place is filled at once."""
        self.linked.pop(peer, None)
        attempt = self.attempts.get(peer)
        effects: list[Effect] = []
        if attempt is not None and attempt.stage is not Stage.DIALLING:
            self.attempts.end(peer)
            effects += self._release(peer)
            if attempt.stage is Stage.ASKED:
                self._forget(peer)
        if self.active.remove(peer):
            self.refuge.lose(peer)
            self.patient_until = now
            effects += [Emit(NeighbourDown(peer, reason)), *self._release(peer)]
        elif attempt is None:
            return effects
        return effects + self.repair(now)

    def expel(self, now: Instant, peer: NodeId, reason: str) -> list[Effect]:
        """It left, or is convicted: out of everything."""
        self.passive.remove(peer)
        self.pauses.end(peer)
        attempt = self.attempts.end(peer)
        effects: list[Effect] = []
        if self.active.remove(peer):
            effects.append(Emit(NeighbourDown(peer, reason)))
        elif attempt is None:
            return []
        return effects + self._release(peer, close=True) + self.repair(now)

    # --- filling places -----------------------------------------------------------------------------------

    def repair(self, now: Instant) -> list[Effect]:
        """Try twice as many candidates as there are places to fill; four times as many while hardly anyone is left."""
        missing = self.missing
        self.exhausted = False
        effects: list[Effect] = []
        if missing and (now >= self.patient_until or 2 * len(self.active) <= self.active.size):
            tries = min(SEEKING_MAX, (2 if len(self.active) > 1 else 4) * missing) - self.attempts.seeking()
            tries = min(tries, ATTEMPTS_MAX - len(self.attempts))
            while tries > 0:
                peer = self._candidate(now)
                if peer is None:
                    self.exhausted = True
                    if self.alone_at is None:
                        self.alone_at = now if not len(self.active) else now + self._alone_us
                    break
                effects += self.begin(now, peer, Why.PROMOTE)
                tries -= 1
        return effects

    def turn_to_last_resort(self, now: Instant) -> list[Effect]:
        """Nobody of the views is left: whom we were told of at the join, hubs, a sample of all, and whom we lost; with
        a back-off that ends nowhere."""
        self.alone_at = None
        if not self.missing or not self.exhausted:
            return []
        effects: list[Effect] = []
        tries = LAST_RESORTS if len(self.active) else LAST_RESORTS_ALONE
        for peer in self.refuge.all():
            if tries and peer not in self.active and peer not in self.attempts and self.usable(peer):
                effects += self.begin(now, peer, Why.JOIN)
                tries -= 1
        half = self._alone_us // 2
        self.alone_at = now + half + self._rng.randrange(0, half + 1)
        self._alone_us = min(ALONE_MAX_US, 2 * self._alone_us)
        return effects

    def seek_lost(self, now: Instant) -> list[Effect]:
        """One lost member, the longest ago first: after a cut this is how two parts of a mesh find each other."""
        lost = [peer for peer in self.refuge.lost if peer not in self.active and peer not in self.attempts]
        if not lost:
            return []
        self.refuge.lose(lost[0])
        return self.begin(now, lost[0], Why.RETURN)

    def look(self, now: Instant) -> list[Effect]:
        """One spare member is dialled, once per shuffle: who is not there goes, and who is there and has no neighbour
        left, because all that it knew are dead, finds us by this."""
        spare = self.passive.sample(self._rng, 1)
        if not spare or not self._may_try(now, spare[0]):
            return []
        return self.begin(now, spare[0], Why.LOOK)

    def insist(self, now: Instant) -> list[Effect]:
        """Places are free, above all those for neighbours of our own choice, and whom we asked is full: one candidate
        is asked with priority. Once per shuffle, so that the places that this frees elsewhere settle in between."""
        if not self.missing or self._patience_us == PATIENCE_MIN_US:
            return []
        peer = self._candidate(now)
        return [] if peer is None else self.begin(now, peer, Why.QUOTA)

    def tidy(self) -> list[Effect]:
        """Take back wishes that serve nothing, and close what stands beyond the bound on spare links."""
        effects: list[Effect] = []
        for peer in [p for p in self._wished if p not in self.active and p not in self.attempts]:
            effects += self._release(peer)
        spare = [peer for peer in self.linked if peer not in self.active and peer not in self.attempts]
        excess = len(spare) - SPARE_SHARE * self.active.size
        if excess > 0:
            effects.append(Emit(Dropped("overlay", "spare-links", excess)))
            for peer in spare[:excess]:
                effects += self._release(peer, close=True)
        return effects

    def inherit(self, peers: Iterable[NodeId]) -> None:
        """Wishes that topology made in our name."""
        for peer in peers:
            self._wished[peer] = None

    def wish(self, peer: NodeId) -> list[Effect]:
        if peer in self._wished:
            return []
        self._wished[peer] = None
        return [Emit(LinkWanted(peer, NAME, self._addresses_of(peer)))]

    def abandon(self) -> list[Effect]:
        """The overlay does not run any more: every wish is taken back, the views are empty."""
        effects: list[Effect] = []
        for peer in self.active.nodes():
            self.active.remove(peer)
            effects.append(Emit(NeighbourDown(peer, "overlay-off")))
        for peer in self.attempts.peers():
            self.attempts.end(peer)
        for peer in list(self._wished):
            effects += self._release(peer)
        self.alone_at = None
        return effects

    # --- private ------------------------------------------------------------------------------------------

    def _candidate(self, now: Instant) -> NodeId | None:
        """Whom to try next: mostly from the passive view, now and then from the sample of all members."""
        if self._rng.randrange(0, SAMPLE_EVERY) == 0:
            peer = self.refuge.sampled()
            if peer is not None and self._may_try(now, peer) and peer not in self.refuge.lost:
                return peer
        nodes = self.passive.nodes()
        if not nodes:
            return None
        start = self._rng.randrange(0, len(nodes))
        for place in range(len(nodes)):
            peer = nodes[(start + place) % len(nodes)]
            if self._may_try(now, peer):
                return peer
        return None

    def _may_try(self, now: Instant, peer: NodeId) -> bool:
        return (
            peer not in self.active
            and peer not in self.attempts
            and not self.pauses.holds(now, peer)
            and self.usable(peer)
        )

    def _part(self, now: Instant, peer: NodeId) -> list[Effect]:
        self.attempts.begin(peer, Why.EVICTED, Stage.PARTING, now, PARTING_US)
        return []

    def _forget(self, peer: NodeId) -> None:
        """It did not answer."""
        self.passive.remove(peer)
        self.refuge.lose(peer)

    def _give_up(self, peer: NodeId) -> list[Effect]:
        """It answers, and is not needed now: to be tried another time."""
        self.attempts.end(peer)
        self.refuge.found(peer)
        self.passive.add(peer, OURS, self._rng)
        return self._release(peer)

    def _release(self, peer: NodeId, *, close: bool = False) -> list[Effect]:
        """Take our wish back. `close`: also when we had none."""
        if self._wished.pop(peer, self) is self and not close:
            return []
        return [Emit(LinkWanted(peer, NAME, ()))]
