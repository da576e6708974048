"""Membership: who of the roster is alive? SWIM with Lifeguard, over signed records.

The failure detector only decides whom *we* accuse. What others know travels as records: a member's own NODE record says
that it lives (at an incarnation) or leaves; each member's ACCUSATIONS record says whom it holds suspect or dead right
now. States are derived from these (member.py), so every node that has the same records and the same verdicts sees the
same states, and a relay can neither forge a refutation nor an accusation.

    core.py ─▶ members.py     states and suspicions out of records and verdicts; our accusations
            ─▶ prober.py      our probes, errands for others, answers (probe.py, proof.py, rotation.py)
            ─▶ own_record.py  our incarnation and its refutations
            ─▶ evidence.py    who says to have a link to whom (reach.py, islands.py)
            ─▶ timing.py      what shortens a suspicion: lost links, enough others' verdicts

Rules that are easy to get wrong, and where they live here:

- Only the subject raises its incarnation, by one, and the new one is on disk before it is published (own_record.py).
- Another's `dead` is not adopted: it shortens our own suspicion to the minimum, and our own timer decides (members.py).
  Four others' leave a moment, unless anybody may vouch for the suspect (timing.py).
- A process that was not listening convicts nobody: lateness, which the runtime tells of (`Late`), postpones all that is
  pending (`_was_late`).
- A node without a single link accuses in private, and takes it back when the first link comes (`isolation_ended`).
- A suspect that answers us ourselves is given its time again, a bounded number of times (`is_given_time_again`).
- The dead are pinged for ever, at a low rate, and told that they are held dead (`rounds`).

Beyond SWIM: lost links as evidence
-----------------------------------
A crash cuts all links of its node within one heartbeat timeout, and each neighbour signs that (its LINKS record). When
nobody who may vouch has a link to a member any more, four of those who lost theirs accuse it at once, without a probe:
no probe could reach it. The others need not say it again: what n nodes accuse of costs n floods. And its suspicion
lasts `link_evidence_ms` instead of 4 log10(n) periods, for those neighbours; the others wait for all of these, or for
more than may lie, to hold it dead. Why that is safe:

- Time to refute is worth something only to a member that can speak. Without a link it cannot; with its first new link
  the evidence is gone, the suspicion has its usual length again, and the peer's first ping makes it refute.
- It takes all of its neighbours to say so, each under its own signature, and none may disagree: a lone slanderer, a
  neighbour that is itself slow (it gives patience to all its links first), or a cut that leaves the member one living
  link changes nothing.
- Records of the far side of a cut stay as they were, and vouch for each other there: after a partition everyone gets
  the long suspicion. Only who is cut off *alone* is held dead early, and is as unreachable as if it were.
- The time counts from when most of its neighbours had said so. The last of them decides whether, and not when: on a
  busy machine some neighbour always notices late, and everyone would wait for it twice.
- Where enough stood still and went on, by the word of our links, we wait for longer than that took (timing.py): never
  by the word of a single peer, or of few of many, who could keep us waiting for others.
- Who lost a link itself, but knows much less than others who did, waits for most of these: up to three times as long.
- Whoever has no link at all uses none of this. A node that ran late waits longer: a quarter of the time is left after
  each such stretch, for what lies unread, and half is added while its local health is bad.
- Where nobody stood still of late, a process that stops for longer than heartbeat timeout plus `link_evidence_ms` is
  held dead until it runs again: that is what it is to others. It comes back with its first link, by a raised
  incarnation.

Sources: SWIM (Das, Gupta, Motivala, DSN 2002); Lifeguard (Dadgar, Phillips, Currey, DSN-W 2018); hashicorp/memberlist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Late,
    LinkDown,
    LinkMeasured,
    LinkSilent,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    Persisted,
    StoodStill,
    Withdrawn,
)
from arqonmesh.core.kernel import MILLISECOND, Durable, Effect, Emit, Env, Event, Instant
from arqonmesh.core.membership.awareness import Awareness
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.core.membership.hearing import Hearing
from arqonmesh.core.membership.member import MemberReport
from arqonmesh.core.membership.members import ACCUSATIONS_MAX, Members
from arqonmesh.core.membership.own_record import OwnRecord
from arqonmesh.core.membership.prober import Prober
from arqonmesh.core.membership.rotation import Rotation
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Ack, Nack, Ping, PingFor, PingReq, SignedAck, WireMessage
from arqonmesh.wire.statement import Accusations, Kind, NodeRecord
from arqonmesh.wire.statement import Links as LinksRecord

__all__ = ["ACCUSATIONS_MAX", "MemberReport", "Membership"]

LATE_SHARE: Final = 4
"""Lateness beyond a quarter of the probe timeout counts."""


class Membership:
    """Construct, optionally `describe`, then drive as a Core. `leave` says goodbye."""

    NAME: ClassVar[str] = "membership"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (Ping, Ack, PingReq, Nack, SignedAck, PingFor)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberExpelled,
        Applied,
        Withdrawn,
        LinkUp,
        LinkSilent,
        LinkMeasured,
        LinkDown,
        StoodStill,
        Late,
    )
    KINDS: ClassVar[tuple[Kind, ...]] = (Kind.NODE, Kind.ACCUSATIONS, Kind.LINKS)

    def __init__(self, env: Env, settings: MembershipSettings) -> None:
        self._env = env
        self._me = env.node_id
        self._settings = settings
        self._timeout_us = settings.probe_timeout_ms * MILLISECOND
        self._awareness = Awareness(enabled=settings.lifeguard.local_health)
        self._evidence = Evidence(env.node_id)
        self._own = OwnRecord(env, self.NAME)
        rotation = self.rotation = Rotation(env.rng)
        self._members = Members(env.node_id, settings, self._awareness, rotation, self._evidence)
        self._hearing = Hearing(self._evidence.links)
        self._prober = Prober(env, settings, self._members, self._awareness, rotation, self._evidence, self._hearing)
        self._listening_since: Instant = 0
        self._deadline: Instant | None = None
        self._moved = True
        """Something happened that may have moved the deadline."""

    # --- what the node asks -------------------------------------------------------------------------------

    @property
    def local_health(self) -> int:
        """0 is well, 7 the worst: how little this node trusts its own probes."""
        return self._awareness.score

    @property
    def incarnation(self) -> int:
        return self._own.incarnation

    def state_of(self, node: NodeId) -> str:
        """alive, suspect, dead, left, or "" for a node that is unknown or has not spoken yet."""
        member = self._members.of.get(node)
        return "" if member is None else member.state

    def report(self) -> tuple[MemberReport, ...]:
        """Every member of the roster, ourselves included, sorted by id."""
        return self._members.report()

    def describe(self, addresses: tuple[str, ...], software: str, capabilities: tuple[str, ...] = ()) -> list[Effect]:
        """What our own record says: where we listen, what we run. Before `start` it is only noted."""
        return self._own.describe(addresses, software, capabilities)

    def leave(self, now: Instant) -> list[Effect]:
        """Say goodbye: our record says that we leave. Leaving is not failing; nobody will accuse us."""
        effects = self._own.leave()
        self._prober.stop()
        for member in list(self._members.suspects.values()):
            self._members.acquit(member)
        return self._done(now, effects)

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        env = self._env
        self._listening_since = now
        self._members.admit(now, self._me, env.public_key, env.cluster, env.role)
        self._prober.start(now)
        return self._done(now, self._own.load(durable))

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        """`link_peer` is the author: the neighbour itself, or who claims to be the origin of a relay."""
        effects: list[Effect] = []
        if isinstance(message, Ping):
            effects = [self._prober.pinged(link_peer, message), *self._refuted(now, message.accused)]
        elif isinstance(message, Ack):
            self._prober.acked(now, link_peer, message.seq)
        elif isinstance(message, PingReq):
            effects = self._prober.asked(now, link_peer, message)
        elif isinstance(message, PingFor):
            effects = [self._prober.pinged_for(link_peer, message), *self._refuted(now, message.accused)]
        elif isinstance(message, SignedAck):
            effects = self._prober.signed_acked(now, link_peer, message)
        else:
            assert isinstance(message, Nack), f"membership speaks no {type(message).__name__}"
            self._prober.nacked(link_peer, message.seq)
        return self._done(now, effects)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        effects: list[Effect] = []
        if isinstance(event, LinkMeasured):  # by far the most frequent, and nothing follows from it
            self._hearing.heard(event.peer)
            return []
        if isinstance(event, LinkSilent):
            self._hearing.silent(event.peer)
            return []
        if isinstance(event, Applied):
            effects = self._applied(now, event)
        elif isinstance(event, MemberAdmitted):
            effects = self._members.admit(now, event.node, event.public_key, event.cluster, event.role)
        elif isinstance(event, MemberExpelled):
            effects = self._members.expel(now, event.node, event.reason)
        elif isinstance(event, Withdrawn):
            effects = self._withdrawn(now, event)
        elif isinstance(event, LinkUp):
            effects = self._link_up(now, event.peer)
        elif isinstance(event, LinkDown):
            effects = self._link_down(now, event.peer)
        elif isinstance(event, StoodStill):
            self._members.stood_still(now, event.for_us)
        elif isinstance(event, Late):
            self._was_late(now, event.by_us)
        elif isinstance(event, Persisted):
            effects = self._own.persisted(event.token)
            self._members.changed = True
        return self._done(now, effects)

    def on_events(self, now: Instant, events: Sequence[Event]) -> list[Effect]:
        """What members say of themselves is told before how they are, so that others may take each together, too."""
        effects: list[Effect] = []
        first = events[0]
        if isinstance(first, Applied) and first.kind == Kind.LINKS:
            records = ((e.author, e.body) for e in events if isinstance(e, Applied) and isinstance(e.body, LinksRecord))
            self._members.links_records(now, (said for said in records if said[0] != self._me))
            events = ()
        for event in events:
            if isinstance(event, Applied):
                effects += self._applied(now, event)
            elif isinstance(event, MemberAdmitted):
                effects += self._members.admit(now, event.node, event.public_key, event.cluster, event.role)
            else:
                effects += self.on_event(now, event)
        effects += self._members.look_at_links(now)
        effects.sort(key=_turn)
        return self._done(now, effects)

    def on_timer(self, now: Instant) -> list[Effect]:
        effects = self._own.on_timer(now) + self._prober.on_timer(now)
        members = self._members
        for member in [m for m in members.suspects.values() if m.suspicion and m.suspicion.expires_at <= now]:
            if member.suspicion is None or member.suspicion.expires_at > now:
                continue  # another's verdict changed it meanwhile
            if members.is_given_time_again(now, member):
                effects.append(self._prober.greet(member))
            else:
                effects += members.expire(now, member)
        return self._done(now, effects + self._prober.rounds(now))

    def next_deadline(self) -> Instant | None:
        """In the past where news shortened a suspicion: it is due now, and says nothing about us."""
        if self._moved:
            due, refute_at = self._prober.next_due(), self._own.refute_at
            if refute_at is not None and (due is None or refute_at < due):
                due = refute_at
            for member in self._members.suspects.values():
                suspicion = member.suspicion
                if suspicion is not None and (due is None or suspicion.expires_at < due):
                    due = suspicion.expires_at
            self._deadline = due
            self._moved = False
        return self._deadline

    # --- private ------------------------------------------------------------------------------------------

    def _applied(self, now: Instant, event: Applied) -> list[Effect]:
        body = event.body
        if isinstance(body, NodeRecord) and event.kind == Kind.NODE:
            effects: list[Effect] = []
            own = self._own
            if event.author == self._me:
                unknown = own.published is None or body.incarnation > own.incarnation
                if unknown and body.incarnation >= own.incarnation:  # an earlier life got further than our disk
                    effects = own.raise_to(body.incarnation + 1)
            return effects + self._members.node_record(now, event.author, body)
        if isinstance(body, Accusations) and event.kind == Kind.ACCUSATIONS:
            if event.author == self._me:
                return self._members.remember(now, body) if self._own.published is None else []
            effects, ourselves = self._members.accused_by(now, event.author, body)
            return effects if ourselves is None else effects + self._refuted(now, ourselves)
        if isinstance(body, LinksRecord) and event.kind == Kind.LINKS and event.author != self._me:
            self._members.links_record(now, event.author, body)
        return []

    def _withdrawn(self, now: Instant, event: Withdrawn) -> list[Effect]:
        """Who forked accuses nobody, and vouches for nobody."""
        if event.author == self._me:
            return []
        if event.kind == Kind.ACCUSATIONS:
            return self._members.accused_by(now, event.author, Accusations(()))[0]
        if event.kind == Kind.LINKS:
            self._members.links_record(now, event.author, LinksRecord(()))
        return []

    def _refuted(self, now: Instant, accused_at: int) -> list[Effect]:
        if not self._own.accused(now, accused_at):
            return []
        self._awareness.adjust(1)
        return self._own.refute(now)

    def _link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        was_isolated = not self._evidence.links
        self._hearing.heard(peer)
        self._members.link_up(now, peer)
        effects = self._members.isolation_ended(now) if was_isolated else []
        effects += self._members.look_at_links(now)
        member = self._members.of.get(peer)
        if member is not None and member.state in ("suspect", "dead"):
            effects.append(self._prober.greet(member))
        return effects

    def _link_down(self, now: Instant, peer: NodeId) -> list[Effect]:
        self._hearing.heard(peer)
        self._members.link_down(now, peer)
        if not self._evidence.links:
            self._members.isolated(now)
        return self._members.look_at_links(now) + self._prober.probe(now, peer)

    def _was_late(self, now: Instant, by_us: int) -> None:
        """We did not listen for `by_us`. Each stretch of time is accounted for once."""
        by_us = min(by_us, now - self._listening_since)
        if by_us < self._timeout_us // LATE_SHARE or not self._awareness.enabled:
            return
        self._listening_since = now
        if by_us >= self._timeout_us // 2:
            self._awareness.adjust(1)
        self._prober.postpone(now, by_us)
        self._members.postpone(now, by_us)

    def _done(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        """Look at what links say anew, publish what changed; the deadline is reckoned when it is asked for."""
        members = self._members
        effects += members.look_at_links(now)
        if members.changed and self._own.published is not None:
            effects += members.verdicts()
        self._moved = True
        return effects


def _turn(effect: Effect) -> int:
    kind = type(effect.event) if type(effect) is Emit else None
    return 0 if kind is MemberDescribed else 1 if kind is MemberChanged else 2
