"""All links of this node: one `Liveness` each, and what the node as a whole concludes from them.

A connection is the transport's word; a link is ours: it is up once the first heartbeat was answered, and down when
answers stop, long before the transport would notice. Its connection is kept for a moment more: should answers come
again, the link is up without a handshake. Each side sends one small datagram per interval, which carries the answer
to the other's; heartbeats of several links that are due soon leave in one wake-up. What everyone is told of all that is
the record's matter (record.py). While the overlay chooses the links, those that it opens for a second now and then, to
look whether a spare member is there, are not told (`trials.py`): each such look would be four records for everyone,
which in a mesh of a thousand is more than all the rest.

Who is blamed for silence (Lifeguard's rule): when all links, two or more, fall silent at once, it is probably us,
and all get one more interval, once. When the process itself ran late, nothing is judged until it has had time to
listen again.

Heartbeats and their answers only count between direct neighbours; they are never relayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import (
    Applied,
    Late,
    LinkDown,
    LinkMeasured,
    LinkSilent,
    LinkStays,
    LinkUp,
    LinkWanted,
    NeighbourUp,
    OverlayRuns,
    StoodStill,
    TransportDown,
    TransportUp,
)
from arqonmesh.core.kernel import (
    MILLISECOND,
    SECOND,
    Disconnect,
    Durable,
    Effect,
    Emit,
    Env,
    Event,
    Instant,
    Lane,
    Send,
)
from arqonmesh.core.link.beats import MASK_BITS
from arqonmesh.core.link.lag import Lag
from arqonmesh.core.link.link import Link, LinkReport
from arqonmesh.core.link.liveness import (
    ASKED_US_MAX,
    DIALLED_LATER_US,
    EARLY,
    REOPENING_PATIENCE_US,
    Beat,
    Changed,
    LinkState,
    Liveness,
    Resumed,
)
from arqonmesh.core.link.record import STOOD_US, Record
from arqonmesh.core.link.stalls import Stalls
from arqonmesh.core.link.trials import Trials
from arqonmesh.core.lull import Lull
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Heartbeat, HeartbeatAck, WireMessage
from arqonmesh.wire.statement import Kind
from arqonmesh.wire.statement import Links as LinksRecord

MEASURED_EVERY_US: Final = SECOND // 2
TOLD_EVERY_US: Final = 5 * SECOND
"""How a link does is told at once when it is noticeably other than what was told, and every so often when it is not:
most links are today as they were yesterday, and four cores that take that in are most of what a heartbeat costs."""
LATE_US: Final = 50 * MILLISECOND
"""Own timers later than this mean that we were not listening."""
STRAIN_SHARE: Final = 2
"""Where everyone stood still for so long of late, heartbeats leave no oftener than this often in that time."""
STRAINED_US_MAX: Final = 600 * MILLISECOND
STRAIN_STEP_US: Final = 100 * MILLISECOND
TOGETHER_MIN: Final = 8
TOGETHER_SHARE: Final = 4
"""So many links that are silent at once, and one in so many of all, are no coincidence."""
REOPENING_BEATS: Final = 6
"""A link that was lost is tried on its connection for at least so many of its heartbeats: where they are slow because
the machines are, a handshake is what both ends can least afford."""
ALL_HEARD: Final = (1 << MASK_BITS) - 1


class Links:
    """Turns TransportUp/Down and heartbeats into what happens to links (LinkUp, LinkDown, LinkSilent, LinkMeasured,
    LinkStays), how long everyone stands still now and then (StoodStill), and the LINKS record."""

    NAME: ClassVar[str] = "link"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (Heartbeat, HeartbeatAck)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        TransportUp,
        TransportDown,
        Late,
        OverlayRuns,
        LinkWanted,
        NeighbourUp,
        Applied,
    )
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.LINKS,)

    def __init__(self, env: Env, settings: LinkSettings, *, overlay_heartbeat_ms: int = 0) -> None:
        """`overlay_heartbeat_ms`: the least time between heartbeats while the overlay chooses the links."""
        self._env = env
        self._settings = settings
        self._overlay_heartbeat_ms = overlay_heartbeat_ms
        self._trials = Trials(env.node_id)
        self._heartbeat_ms = settings.heartbeat_ms
        """Our own interval; what a peer asks for is its liveness's."""
        self._links: dict[NodeId, Link] = {}
        self._record = Record(env.rng)
        self._stretched = False
        self._lull = Lull()
        """How long peers stood still of late, once there were enough of them; shared by all links."""
        self._stalls = Stalls(env.node_id, self._lull)
        self._strained = False
        """Heartbeats are slower on account of that."""
        self._lag = Lag()
        self._listening_since: Instant = 0
        """Until when lateness of our own is accounted for."""
        self._deadline: Instant | None = None

    # --- what the node asks -------------------------------------------------------------------------------

    def is_up(self, peer: NodeId) -> bool:
        link = self._links.get(peer)
        return link is not None and link.up

    def report(self) -> tuple[LinkReport, ...]:
        """Every connection with its liveness, sorted by peer."""
        return tuple(self._links[peer].report(peer) for peer in sorted(self._links))

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._listening_since = now
        self._record.start(now)
        return self._armed([])

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        link = self._links.get(link_peer)
        if link is None:
            return []
        liveness = link.liveness
        effects: list[Effect] = self._look_at_clock(now)
        if isinstance(message, Heartbeat):
            if message.poll:
                effects.append(Send(link_peer, Lane.DATAGRAM, HeartbeatAck(message.seq)))
            liveness.asked(message.every_ms * MILLISECOND)
            steps = liveness.beaten(now, message.seq, message.echo, message.held_us, ALL_HEARD ^ message.missed)
        else:
            assert isinstance(message, HeartbeatAck), f"link speaks no {type(message).__name__}"
            steps = liveness.answered(now, message.seq)
        if liveness.proved_at == now:
            self._stretched = False
            effects += self._follow(now, link_peer, link, steps)
            effects += self._measure(now, link_peer, link)
        if liveness.beat_due(now):  # the peer's heartbeat came, and ours goes with what this turn sends
            effects += self._follow(now, link_peer, link, liveness.tick(now))
        if self._links.get(link_peer) is not link:  # heard, but not answered, and its time was over
            return self._armed(effects)
        return self._rearmed(link, effects)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, Applied):
            if not isinstance(event.body, LinksRecord):
                return []
            if not event.ours:
                return self._named(now, event.author, event.body)
            self._record.recovered(now, event.body)
            return self._armed([])
        if isinstance(event, TransportUp):
            return self._armed(self._transport_up(now, event))
        if isinstance(event, TransportDown):
            return self._armed(self._transport_down(now, event))
        if isinstance(event, Late):
            return self._armed(self._was_late(now, event.by_us))
        if isinstance(event, NeighbourUp):
            return self._armed(self._stays(now, event.peer, self._links.get(event.peer)))
        if isinstance(event, LinkWanted):
            stays = self._trials.wanted(event)
            return self._armed(self._stays(now, event.peer, self._links.get(event.peer))) if stays else []
        if isinstance(event, OverlayRuns):
            return self._armed(self._overlay_runs(now, event))
        return self._armed([])

    def on_timer(self, now: Instant) -> list[Effect]:
        effects = self._look_at_clock(now)
        self._suspect_ourselves(now)
        if self._strained:
            self._pace(now)
        for peer, link in list(self._links.items()):
            liveness = link.liveness
            if now + liveness.interval_us // EARLY >= link.wakes_at:
                effects += self._follow(now, peer, link, liveness.tick(now))
        due = self._record.due
        if due is not None and now >= due:
            effects += self._record.publish(now, self._links)
        return self._armed(effects)

    def next_deadline(self) -> Instant | None:
        return self._deadline

    def _pace(self, now: Instant) -> None:
        """Heartbeats are most of what an idle node says. So they have a budget, which many links share, and a mesh that
        the overlay holds together beats slower; what the operator set slower still stays. Where the machines stand
        still now and then, heartbeats slow down with that: they wait for processor time that others need as well, and
        a node with many links would never catch up. So they do where our own timers are late as a rule (lag.py)."""
        settings = self._settings
        strained_us = min(self._lull.us(now) // STRAIN_SHARE, STRAINED_US_MAX)
        strained_ms = strained_us // STRAIN_STEP_US * STRAIN_STEP_US // MILLISECOND
        self._strained = strained_ms > 0
        share_ms = min(len(self._links) * 1_000 // settings.heartbeats_per_s_max, ASKED_US_MAX // MILLISECOND)
        lag_ms = min(self._lag.pace_us, ASKED_US_MAX) // MILLISECOND
        usual_ms = self._usual_ms()
        for link in self._links.values():
            link.liveness.usual_us = usual_ms * MILLISECOND
        heartbeat_ms = max(usual_ms, share_ms, strained_ms, lag_ms)
        if heartbeat_ms == self._heartbeat_ms:
            return
        self._heartbeat_ms = heartbeat_ms
        for link in self._links.values():
            link.liveness.pace(heartbeat_ms * MILLISECOND)

    def _usual_ms(self) -> int:
        """Where nobody is short of time."""
        return max(self._settings.heartbeat_ms, self._overlay_heartbeat_ms if self._trials.running else 0)

    # --- connections --------------------------------------------------------------------------------------

    def _transport_up(self, now: Instant, event: TransportUp) -> list[Effect]:
        told = self._record.says_up(event.peer) or not self._trials.includes(event.peer, outbound=event.outbound)
        known = self._links.get(event.peer)
        if known is not None:  # simultaneous dials collapsed to another connection: answers go on counting
            known.transport, known.outbound = event.transport, event.outbound
            known.liveness.follows = event.outbound
            if not known.fell:
                return []
            told = told or known.told
            del self._links[event.peer]  # but this one may lead to a new life, which counts from 1
        liveness = Liveness(
            interval_us=self._heartbeat_ms * MILLISECOND, misses=self._settings.misses, now=now, shared=self._lull
        )
        liveness.usual_us = self._usual_ms() * MILLISECOND
        liveness.follows = event.outbound  # who was dialled leads: a hub's heartbeats leave together
        link = self._links[event.peer] = Link(event.transport, event.outbound, now, liveness, told=told)
        self._pace(now)
        return self._follow(now, event.peer, link, liveness.tick(now))

    def _transport_down(self, now: Instant, event: TransportDown) -> list[Effect]:
        link = self._links.get(event.peer)
        return [] if link is None else self._take_down(now, event.peer, link, link.up, event.reason)

    def _follow(
        self, now: Instant, peer: NodeId, link: Link, steps: Sequence[Beat | Changed | Resumed]
    ) -> list[Effect]:
        """Perform what one link's liveness asks for."""
        effects: list[Effect] = []
        for step in steps:
            if isinstance(step, Beat):
                beat = Heartbeat(
                    step.seq, step.poll, step.echo, step.held_us, ALL_HEARD ^ step.mask, self._heartbeat_ms
                )
                effects.append(Send(peer, Lane.DATAGRAM, beat))
            elif isinstance(step, Resumed):
                effects += self._resumed(now, peer, link, step)
            elif step.new is LinkState.DOWN and step.old is LinkState.OPENING:
                effects += self._take_down(now, peer, link, False, step.reason)
                effects.append(Disconnect(peer, "liveness"))
            elif step.new is LinkState.DOWN:
                effects += self._lose(now, peer, link, step.reason)
                patience_us = self._reopening_us(link)
                link.liveness.reopen(now, patience_us if link.outbound else patience_us + DIALLED_LATER_US)
                link.fell = True
            elif step.new is LinkState.PROBING:
                link.told_at = link.measured_at = None  # the first answer is told at once
                effects.append(Emit(LinkSilent(peer, now - link.liveness.proved_at)))
            elif step.old is LinkState.OPENING:
                link.since = now
                link.told_at = None
                link.fell = False
                self._record.came_up(now, peer, self._reopening_us(link))
                if link.told:
                    self._record.tell(now, peer)
                effects.append(Emit(LinkUp(peer, link.transport)))
                if link.told and self._trials.running:
                    effects.append(Emit(LinkStays(peer)))
        return effects

    def _reopening_us(self, link: Link) -> int:
        return max(REOPENING_PATIENCE_US, REOPENING_BEATS * link.liveness.interval_us)

    def _take_down(self, now: Instant, peer: NodeId, link: Link, was_up: bool, reason: str) -> list[Effect]:
        del self._links[peer]
        self._pace(now)
        return self._lose(now, peer, link, reason) if was_up else []

    def _lose(self, now: Instant, peer: NodeId, link: Link, reason: str) -> list[Effect]:
        """A link that was up is down, whatever becomes of its connection."""
        if not link.told:
            return [Emit(LinkDown(peer, reason))]
        self._record.lost(now, peer, link, alone=not any(its.up for its in self._links.values()))
        return [Emit(LinkDown(peer, reason))]

    # --- patience with ourselves --------------------------------------------------------------------------

    def _look_at_clock(self, now: Instant) -> list[Effect]:
        """Whatever comes first after we stood still shows it: an answer that waited is not a peer's silence."""
        deadline = self._deadline
        if deadline is None or now < deadline:
            return []
        late_us = now - deadline
        if deadline > self._lag.at:  # else it is the lateness of a timer that waits while the inbox is read
            if self._lag.note(now, late_us):
                self._pace(now)
            self._record.lags(self._lag.us)
        return self._was_late(now, late_us) if late_us >= LATE_US else []

    def _was_late(self, now: Instant, by_us: int) -> list[Effect]:
        """We did not listen for `by_us`. Each stretch of time is accounted for once: the runtime tells of it, and our
        own deadline shows it again."""
        by_us = min(by_us, now - self._listening_since)
        if by_us < LATE_US:
            return []
        self._listening_since = now
        for link in self._links.values():
            link.liveness.extend(now, by_us)
        return self._stood_still(now, self._stalls.ours(now, by_us))

    def _resumed(self, now: Instant, peer: NodeId, link: Link, silence: Resumed) -> list[Effect]:
        """One peer alone says something of its own link only (liveness.py); with enough others it is the machines."""
        company: dict[NodeId, None] = {
            other: None
            for other, its in self._links.items()
            if its is not link and abs(its.liveness.silent_since - silence.since) <= silence.interval_us
        }
        return self._stood_still(now, self._stalls.theirs(now, peer, silence, company, len(self._links)))

    def _stood_still(self, now: Instant, for_us: int) -> list[Effect]:
        if not for_us:
            return []
        self._pace(now)
        return [Emit(StoodStill(for_us))]

    def _suspect_ourselves(self, now: Instant) -> None:
        """All links silent at once: one more interval, once until an answer comes. Many of many: they have one cause,
        and it is more likely the machines or us than a death of each, so they have as long again, once."""
        links = self._links.values()
        if self._stretched or not any(link.wakes_at <= now and link.liveness.verdict_due(now) for link in links):
            return
        up = [link.liveness for link in self._links.values() if link.up]
        silent = [liveness for liveness in up if liveness.silent(now)]
        together = len(silent) >= TOGETHER_MIN and len(silent) * TOGETHER_SHARE >= len(up)
        if together or (len(up) >= 2 and len(silent) == len(up)):
            self._stretched = True
            for liveness in silent:
                liveness.await_others(now, liveness.patience_us if together else 0)

    # --- figures ------------------------------------------------------------------------------------------

    def _measure(self, now: Instant, peer: NodeId, link: Link) -> list[Effect]:
        if not link.up or (link.measured_at is not None and now - link.measured_at < MEASURED_EVERY_US):
            return []
        rtt = link.liveness.rtt
        link.measured_at = now
        link.loss_ppm = link.liveness.loss_ppm(now)
        self._record.measured(now, link, only=len(self._links) == 1)
        stays = self._stays(now, peer, link) if not link.told and now - link.since >= STOOD_US else []
        if link.told_at is not None and now - link.told_at < TOLD_EVERY_US and not link.noticeable:
            return stays
        link.told_at, link.told_rtt_us, link.told_loss_ppm = now, rtt.srtt_us, link.loss_ppm
        return [Emit(LinkMeasured(peer, rtt.srtt_us, rtt.rttvar_us, link.loss_ppm)), *stays]

    # --- links that stay -----------------------------------------------------------------------------------

    def _overlay_runs(self, now: Instant, event: OverlayRuns) -> list[Effect]:
        self._trials.runs(event)
        self._pace(now)
        if not event.running:
            return [effect for peer, link in self._links.items() for effect in self._stays(now, peer, link)]
        self._record.await_stays(now)
        return []

    def _named(self, now: Instant, author: NodeId, record: LinksRecord) -> list[Effect]:
        """A peer that tells everyone of our link knows that it stays."""
        link = self._links.get(author)
        if not self._trials.named(author, record) or link is None or link.told:
            return []
        return self._armed(self._stays(now, author, link))

    def _stays(self, now: Instant, peer: NodeId, link: Link | None) -> list[Effect]:
        """It is none of those that the overlay opens for a moment."""
        if link is None or link.told:
            return []
        link.told = True
        if not link.up:
            return []
        self._record.tell(now, peer)
        return [Emit(LinkStays(peer))]

    def _armed(self, effects: list[Effect]) -> list[Effect]:
        """Set the deadline after something that may have concerned any link."""
        deadline = self._record.due
        for link in self._links.values():
            wakes_at = link.liveness.next_wakeup()
            assert wakes_at is not None, "a link that is down is not kept"
            link.wakes_at = wakes_at
            if deadline is None or wakes_at < deadline:
                deadline = wakes_at
        self._deadline = deadline
        return effects

    def _rearmed(self, changed: Link, effects: list[Effect]) -> list[Effect]:
        """The same after something that concerned one link alone: the others are not asked. Most answers leave the
        deadline as it is, because the next heartbeat comes first."""
        before, after = changed.wakes_at, changed.liveness.next_wakeup()
        assert after is not None, "a link that is down is not kept"
        changed.wakes_at = after
        deadline, due = self._deadline, self._record.due
        if due is not None and (deadline is None or due < deadline):
            deadline = due
        if deadline is None or after < deadline:
            deadline = after
        elif before == deadline and after > before:
            deadline = min(link.wakes_at for link in self._links.values())
            deadline = deadline if due is None else min(deadline, due)
        self._deadline = deadline
        return effects
