"""Membership: who of the roster is alive? SWIM with Lifeguard, over signed records.

The failure detector only decides whom *we* accuse. What others know travels as records: a member's own NODE record says
that it lives (at an incarnation) or leaves; each member's ACCUSATIONS record says whom it holds suspect or dead right
now. States are derived from these (member.py), so every node that has the same records and the same verdicts sees the
same states, and a relay can neither forge a refutation nor an accusation.

Rules that are easy to get wrong, and where they live here:

- Only the subject raises its incarnation, by one, and the new one is on disk before it is published (`_raise`).
- Another's `dead` is not adopted: it shortens our own suspicion to the minimum, and our own timer decides (`_weigh`).
- A process that was not listening convicts nobody: lateness postpones all that is pending (`_was_late`).
- A node without a single link accuses in private, and takes it back when the first link comes (`_isolation_ended`).
- A suspect that answers us ourselves is given its time again, a bounded number of times (`_expire`).

Sources: SWIM (Das, Gupta, Motivala, DSN 2002); Lifeguard (Dadgar, Phillips, Currey, DSN-W 2018); hashicorp/memberlist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Dropped,
    Fault,
    Late,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    Persisted,
    Publish,
    Withdrawn,
)
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
    Put,
    Send,
)
from arqonmesh.core.membership.awareness import Awareness
from arqonmesh.core.membership.member import Member, Verdict
from arqonmesh.core.membership.probe import ERRANDS_MAX, PROBES_MAX, Errand, Probe, Probes
from arqonmesh.core.membership.rotation import Rotation
from arqonmesh.core.membership.suspicion import Suspicion, confirmations_wanted, minimum_us
from arqonmesh.ids import NodeId, short
from arqonmesh.wire.messages import Ack, Nack, Ping, PingReq, WireMessage
from arqonmesh.wire.statement import Accusation, Accusations, Kind, NodeRecord

ACCUSATIONS_MAX: Final = 64
"""As many as an ACCUSATIONS record carries."""
EARLY_MAX: Final = 4_096
"""Records of nodes whose admission is on its way: at a start, those of everyone who was admitted since we joined. As
many as gossip takes authors (gossip/limits.py), for only members' records come here."""
RESTARTS_MAX: Final = 3
LATE_SHARE: Final = 4
"""Lateness beyond a quarter of the probe timeout counts."""


@dataclass(frozen=True, slots=True)
class MemberReport:
    """One member as this node sees it, for screens."""

    node: NodeId
    cluster: str
    role: str
    region: str
    state: str
    incarnation: int
    addresses: tuple[str, ...]
    software: str
    capabilities: tuple[str, ...]
    since: Instant
    accusers: tuple[NodeId, ...]


class Membership:
    """Construct, optionally `describe`, then drive as a Core. `leave` says goodbye."""

    NAME: ClassVar[str] = "membership"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = (Ping, Ack, PingReq, Nack)
    EVENTS: ClassVar[tuple[type[Event], ...]] = (
        MemberAdmitted,
        MemberExpelled,
        Applied,
        Withdrawn,
        LinkUp,
        LinkDown,
        Late,
    )

    def __init__(self, env: Env, settings: MembershipSettings) -> None:
        self._env = env
        self._me = env.node_id
        self._settings = settings
        self._period_us = settings.probe_interval_ms * MILLISECOND
        self._timeout_us = settings.probe_timeout_ms * MILLISECOND
        self._members: dict[NodeId, Member] = {}
        self._early: dict[NodeId, NodeRecord] = {}
        self._accusations_by: dict[NodeId, dict[NodeId, tuple[int, str]]] = {}
        self._suspects: dict[NodeId, Member] = {}
        self._links: dict[NodeId, None] = {}
        self._rotation = Rotation(env.rng)
        self._probes = Probes(env.rng.getrandbits(32))
        self._awareness = Awareness()
        self._addresses: tuple[str, ...] = ()
        self._software = ""
        self._capabilities: tuple[str, ...] = ()
        self._incarnation = 0
        self._published_incarnation: int | None = None
        self._token = 0
        self._leaving = False
        self._accused: tuple[Accusation, ...] = ()
        self._remembered: dict[NodeId, Verdict] = {}
        self._verdicts_changed = False
        self._next_probe_at: Instant | None = None
        self._listening_since: Instant = 0
        self._deadline: Instant | None = None

    # --- what the node asks -------------------------------------------------------------------------------

    @property
    def local_health(self) -> int:
        """0 is well, 7 the worst: how little this node trusts its own probes."""
        return self._awareness.score

    @property
    def incarnation(self) -> int:
        return self._incarnation

    def state_of(self, node: NodeId) -> str:
        """alive, suspect, dead, left, or "" for a node that is unknown or has not spoken yet."""
        member = self._members.get(node)
        return "" if member is None else member.state

    def report(self) -> tuple[MemberReport, ...]:
        """Every member of the roster, ourselves included, sorted by id."""
        return tuple(self._report(self._members[node]) for node in sorted(self._members))

    def describe(self, addresses: tuple[str, ...], software: str, capabilities: tuple[str, ...] = ()) -> list[Effect]:
        """What our own record says: where we listen, what we run. Before `start` it is only noted."""
        if (addresses, software, capabilities) == (self._addresses, self._software, self._capabilities):
            return []
        self._addresses, self._software, self._capabilities = addresses, software, capabilities
        return [] if self._published_incarnation is None else [self._own_record()]

    def leave(self, now: Instant) -> list[Effect]:
        """Say goodbye: our record says that we leave. Leaving is not failing; nobody will accuse us."""
        self._leaving = True
        self._probes.ours.clear()
        self._next_probe_at = None
        for member in list(self._suspects.values()):
            self._acquit(member)
        return self._done(now, [self._own_record()])

    # --- Core ---------------------------------------------------------------------------------------------

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        stored = 0
        for core, name, value in durable.get("scalars", ()):
            if core == self.NAME and name == "incarnation" and isinstance(value, bytes):
                stored = int.from_bytes(value, "big")
        self._listening_since = now
        self._admit(now, self._me, self._env.cluster, self._env.role)
        self._next_probe_at = now + self._env.rng.randrange(0, self._period_us)
        return self._done(now, self._raise(stored + 1))

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        """`link_peer` is the author: the neighbour itself, or the origin of a relay."""
        if isinstance(message, Ping):
            effects = self._pinged(now, link_peer, message)
        elif isinstance(message, Ack):
            effects = self._acked(now, link_peer, message.seq)
        elif isinstance(message, PingReq):
            effects = self._asked(now, link_peer, message)
        else:
            assert isinstance(message, Nack), f"membership speaks no {type(message).__name__}"
            probe = self._probes.ours.get(message.seq)
            if probe is not None and link_peer in probe.helpers:
                probe.helpers[link_peer] = True
            effects = []
        return self._done(now, effects)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        effects: list[Effect] = []
        if isinstance(event, Applied):
            effects = self._applied(now, event)
        elif isinstance(event, MemberAdmitted):
            effects = self._admit(now, event.node, event.cluster, event.role)
        elif isinstance(event, MemberExpelled):
            effects = self._expel(now, event.node, event.reason)
        elif isinstance(event, Withdrawn):
            if event.kind == Kind.ACCUSATIONS and event.author != self._me:  # who forked accuses nobody
                effects = self._accused_by(now, event.author, Accusations(()))
        elif isinstance(event, LinkUp):
            effects = self._link_up(now, event.peer)
        elif isinstance(event, LinkDown):
            self._links.pop(event.peer, None)
            effects = self._probe(now, event.peer)
        elif isinstance(event, Late):
            self._was_late(now, event.by_us)
        elif isinstance(event, Persisted) and event.token == self._token:
            self._published_incarnation = self._incarnation
            self._verdicts_changed = True
            effects = [self._own_record()]
        return self._done(now, effects)

    def on_timer(self, now: Instant) -> list[Effect]:
        if self._deadline is not None:
            self._was_late(now, now - self._deadline)
        effects: list[Effect] = []
        for probe in self._probes.due(now):
            effects += self._advance(now, probe)
        for errand in self._probes.expired_errands(now):
            effects.append(Send(errand.asker, Lane.DATAGRAM, Nack(errand.asker_seq)))
        for member in [m for m in self._suspects.values() if m.suspicion and m.suspicion.expires_at <= now]:
            effects += self._expire(now, member)
        if self._next_probe_at is not None and now >= self._next_probe_at:
            self._next_probe_at = now + self._awareness.scale(self._period_us)
            target = self._rotation.next(self._may_probe)
            if target is not None:
                effects += self._probe(now, target)
        return self._done(now, effects)

    def next_deadline(self) -> Instant | None:
        return self._deadline

    # --- the roster and the records -----------------------------------------------------------------------

    def _admit(self, now: Instant, node: NodeId, cluster: str, role: str) -> list[Effect]:
        known = self._members.get(node)
        if known is not None:
            known.expelled = False
            return self._weigh(now, known, "admitted again")
        member = self._members[node] = Member(node, cluster, role, since=now)
        if node != self._me:
            self._rotation.add(node)
        for accuser, accused in self._accusations_by.items():
            if node in accused:
                member.accusers[accuser] = accused[node]
        member.verdict = self._remembered.pop(node, None)
        record = self._early.pop(node, None)
        return [] if record is None else self._described(now, member, record)

    def _expel(self, now: Instant, node: NodeId, reason: str) -> list[Effect]:
        """Whoever listens to members follows: to all of them it has left."""
        member = self._members.get(node)
        if member is None or node == self._me:
            return []
        member.expelled = True
        return self._weigh(now, member, reason)

    def _applied(self, now: Instant, event: Applied) -> list[Effect]:
        body = event.body
        if isinstance(body, NodeRecord) and event.kind == Kind.NODE:
            member = self._members.get(event.author)
            if member is not None:
                return self._described(now, member, body)
            if len(self._early) >= EARLY_MAX and event.author not in self._early:
                return [Emit(Dropped("membership", "early-full"))]
            self._early[event.author] = body
        elif isinstance(body, Accusations) and event.kind == Kind.ACCUSATIONS:
            if event.author == self._me:
                return self._remember(now, body)
            return self._accused_by(now, event.author, body)
        return []

    def _described(self, now: Instant, member: Member, record: NodeRecord) -> list[Effect]:
        """A member's own record came: new, or newer."""
        old, member.record = member.record, record
        effects: list[Effect] = []
        if old is None or old.leaving or _description(old) != _description(record):  # who returns is dialled again
            effects.append(
                Emit(
                    MemberDescribed(
                        member.node,
                        member.cluster,
                        member.role,
                        record.region,
                        record.addresses,
                        record.software,
                    )
                )
            )
        if old is not None and old.incarnation != record.incarnation:
            self._acquit(member)
        if member.node == self._me:
            unknown = self._published_incarnation is None or record.incarnation > self._incarnation
            if unknown and record.incarnation >= self._incarnation:  # an earlier life got further than our disk
                effects += self._raise(record.incarnation + 1)
        elif member.verdict is not None and member.verdict.incarnation != record.incarnation:
            member.verdict = None
            self._verdicts_changed = True
        reason = "left" if record.leaving else "joined" if old is None else f"incarnation {record.incarnation}"
        return effects + self._weigh(now, member, reason)

    def _accused_by(self, now: Instant, author: NodeId, body: Accusations) -> list[Effect]:
        """An author's present list came; what is not on it any more is taken back."""
        before = self._accusations_by.get(author, {})
        present = {NodeId(a.target): (a.incarnation, a.level) for a in body.accusations if a.target != author}
        if present:
            self._accusations_by[author] = present
        else:
            self._accusations_by.pop(author, None)
        effects: list[Effect] = []
        for target in sorted(before.keys() | present.keys()):
            accusation = present.get(target)
            if accusation == before.get(target):
                continue
            if target == self._me:
                effects += [] if accusation is None else self._refute(accusation[0])
                continue
            member = self._members.get(target)
            if member is None:
                continue
            if accusation is None:
                member.accusers.pop(author, None)
            else:
                member.accusers[author] = accusation
            told = "taken back by" if accusation is None else f"{accusation[1]} for"
            effects += self._weigh(now, member, f"{told} {short(author)}")
        return effects

    def _remember(self, now: Instant, body: Accusations) -> list[Effect]:
        """Our own record came back from disk: whom we held dead, we still do; suspicions begin anew."""
        if self._published_incarnation is not None:
            return []
        self._accused = body.accusations
        effects: list[Effect] = []
        for accusation in body.accusations:
            if accusation.level != "dead":
                continue
            verdict = Verdict("dead", accusation.incarnation, private=False)
            member = self._members.get(NodeId(accusation.target))
            if member is None:
                self._remembered[NodeId(accusation.target)] = verdict
            elif member.node != self._me:
                member.verdict = verdict
                effects += self._weigh(now, member, "dead before our restart")
        return effects

    # --- states -------------------------------------------------------------------------------------------

    def _weigh(self, now: Instant, member: Member, reason: str) -> list[Effect]:
        """Derive the state anew; the one door through which it changes."""
        new = member.derive()
        effects: list[Effect] = []
        old = member.state
        if new != old:
            member.state = new
            member.since = now
            if new != "suspect":
                self._acquit(member)
            if new:
                effects.append(Emit(MemberChanged(member.node, old, new, member.incarnation, reason)))
        if new == "suspect":
            self._suspect(now, member)
        return effects

    def _suspect(self, now: Instant, member: Member) -> None:
        """Start the suspicion's timer, or count who confirms it."""
        accusers = member.standing_accusers()
        if member.suspicion is None:
            size = sum(1 for other in self._members.values() if other.state != "left")
            min_us = minimum_us(self._settings.suspicion_mult, size, self._period_us)
            first = self._me if member.verdict is not None or not accusers else accusers[0][0]
            member.suspicion = Suspicion(
                now,
                first,
                wanted=confirmations_wanted(self._settings.suspicion_mult, size),
                min_us=min_us,
                max_us=min_us * self._settings.suspicion_max_mult,
            )
            self._suspects[member.node] = member
            self._rotation.hurry(member.node)
        suspicion = member.suspicion
        if member.verdict is not None:
            suspicion.confirm(self._me)
        for accuser, level in accusers:
            suspicion.confirm(accuser)
            if level == "dead":
                suspicion.hasten()

    def _acquit(self, member: Member) -> None:
        member.suspicion = None
        self._suspects.pop(member.node, None)

    def _convict(self, now: Instant, member: Member, verdict: Verdict, reason: str) -> list[Effect]:
        member.verdict = verdict
        self._verdicts_changed = True
        return self._weigh(now, member, reason)

    def _expire(self, now: Instant, member: Member) -> list[Effect]:
        """A suspicion's time is over: dead to us, unless the suspect answered us itself meanwhile."""
        suspicion = member.suspicion
        assert suspicion is not None
        heard = member.heard_at is not None and member.heard_at >= suspicion.started_at
        if heard and suspicion.restarts < RESTARTS_MAX:
            suspicion.restart(now)
            return [self._ping(member, self._probes.next_seq())]
        lasted_ms = (now - suspicion.started_at) // MILLISECOND
        reason = f"no refutation in {lasted_ms} ms, {suspicion.confirmations + 1} accusers"
        return self._convict(now, member, Verdict("dead", member.incarnation, not self._links), reason)

    # --- our own record -----------------------------------------------------------------------------------

    def _raise(self, to: int) -> list[Effect]:
        """Our incarnation is `to` from now on: on disk first, published when it is there."""
        self._incarnation = to
        self._token += 1
        row = (self.NAME, "incarnation", to.to_bytes(8, "big"))
        return [Persist(self._token, (Put("scalars", row),))]

    def _refute(self, accused_at: int) -> list[Effect]:
        """Someone accuses our present incarnation. An older one is refuted already, a newer one was never ours."""
        if self._leaving or accused_at != self._incarnation or self._published_incarnation != accused_at:
            return []
        self._awareness.adjust(1)
        return self._raise(accused_at + 1)

    def _own_record(self) -> Effect:
        env, published = self._env, self._published_incarnation
        record = NodeRecord(
            node_key=env.public_key,
            cluster=env.cluster,
            role=env.role,
            region=env.region,
            addresses=self._addresses,
            incarnation=self._incarnation if published is None else published,
            leaving=self._leaving,
            software=self._software,
            capabilities=self._capabilities,
        )
        return Emit(Publish(Kind.NODE, "", record))

    def _publish_verdicts(self) -> list[Effect]:
        """Our present accusations, when they changed. Suspects first, then the newest dead, at most 64."""
        self._verdicts_changed = False
        verdicts = [
            (member.verdict.level == "dead", -member.since, member.node, member.verdict)
            for member in self._members.values()
            if member.verdict is not None and not member.verdict.private and member.state in ("suspect", "dead")
        ]
        verdicts.sort(key=lambda verdict: verdict[:3])
        accused = tuple(
            Accusation(target=node, incarnation=verdict.incarnation, level=verdict.level)
            for _, _, node, verdict in sorted(verdicts[:ACCUSATIONS_MAX], key=lambda verdict: verdict[2])
        )
        effects: list[Effect] = []
        if len(verdicts) > ACCUSATIONS_MAX:
            effects.append(Emit(Dropped("membership", "accusations-full", len(verdicts) - ACCUSATIONS_MAX)))
        if accused != self._accused:
            self._accused = accused
            effects.append(Emit(Publish(Kind.ACCUSATIONS, "", Accusations(accused))))
        return effects

    # --- probing ------------------------------------------------------------------------------------------

    def _may_probe(self, node: NodeId) -> bool:
        return self._members[node].probed and self._probes.of(node) is None

    def _probe(self, now: Instant, target: NodeId) -> list[Effect]:
        """Begin a probe of `target`, unless one is under way."""
        member = self._members.get(target)
        if member is None or target == self._me or self._leaving or not self._may_probe(target):
            return []
        if len(self._probes.ours) >= PROBES_MAX:
            self._rotation.hurry(target)
            return []
        period_us = max(self._awareness.scale(self._period_us), 2 * self._timeout_us)
        seq = self._probes.next_seq()
        self._probes.ours[seq] = Probe(
            seq,
            target,
            now,
            next_ping_at=now + self._timeout_us // 2,
            ask_at=now + self._timeout_us,
            verdict_at=now + period_us,
        )
        return [self._ping(member, seq)]

    def _ping(self, member: Member, seq: int) -> Effect:
        """A suspect is told so in the ping, that it can refute at once (Lifeguard's buddy)."""
        accused = member.incarnation if member.state in ("suspect", "dead") else -1
        return Send(member.node, Lane.DATAGRAM, Ping(seq, accused))

    def _advance(self, now: Instant, probe: Probe) -> list[Effect]:
        """A probe's next step is due: ping again, ask others, or give the verdict."""
        member = self._members[probe.target]
        if not member.probed:
            del self._probes.ours[probe.seq]
            return []
        if probe.asked and now >= probe.verdict_at:
            return self._failed(now, probe, member)
        effects: list[Effect] = []
        if now >= probe.next_ping_at:
            probe.next_ping_at = now + self._timeout_us // 2
            effects.append(self._ping(member, probe.seq))
        if not probe.asked and now >= probe.ask_at:
            probe.asked = True
            wanted = self._settings.indirect_checks
            helpers = self._rotation.some(wanted, lambda node: node != probe.target and self._is_alive(node))
            probe.helpers = dict.fromkeys(helpers, False)
            effects += [Send(node, Lane.DATAGRAM, PingReq(probe.seq, probe.target)) for node in helpers]
        return effects

    def _failed(self, now: Instant, probe: Probe, member: Member) -> list[Effect]:
        del self._probes.ours[probe.seq]
        missing = sum(1 for said_nack in probe.helpers.values() if not said_nack)
        self._awareness.adjust(missing if probe.helpers else 1)
        verdict = member.verdict
        if verdict is not None and verdict.incarnation == member.incarnation:
            return []
        waited_ms = (now - probe.started_at) // MILLISECOND
        reason = f"no answer in {waited_ms} ms, also not through {len(probe.helpers)} others"
        suspicion = Verdict("suspect", member.incarnation, private=not self._links)
        blamed: list[Effect] = [] if suspicion.private else [Emit(Fault(member.node, "timeout"))]
        return blamed + self._convict(now, member, suspicion, reason)

    def _is_alive(self, node: NodeId) -> bool:
        return self._members[node].state == "alive"

    # --- messages -----------------------------------------------------------------------------------------

    def _pinged(self, now: Instant, author: NodeId, ping: Ping) -> list[Effect]:
        self._heard(now, author)
        answer: list[Effect] = [Send(author, Lane.DATAGRAM, Ack(ping.seq))]
        return answer if ping.accused < 0 else answer + self._refute(ping.accused)

    def _acked(self, now: Instant, author: NodeId, seq: int) -> list[Effect]:
        errand = self._probes.errands.get(seq)
        if errand is not None and errand.target == author:
            self._heard(now, author)
            del self._probes.errands[seq]
            return [Send(errand.asker, Lane.DATAGRAM, Ack(errand.asker_seq))]
        probe = self._probes.ours.get(seq)
        if probe is not None and author in (probe.target, *probe.helpers):
            del self._probes.ours[seq]
            self._awareness.adjust(-1)
        self._heard(now, author)
        return []

    def _asked(self, now: Instant, asker: NodeId, request: PingReq) -> list[Effect]:
        target = NodeId(request.target)
        if target == self._me:
            return [Send(asker, Lane.DATAGRAM, Ack(request.seq))]
        member = self._members.get(target)
        if member is None or asker not in self._members:
            return [Send(asker, Lane.DATAGRAM, Nack(request.seq))]
        if len(self._probes.errands) >= ERRANDS_MAX:
            return [Emit(Dropped("membership", "errands-full"))]
        seq = self._probes.next_seq()
        self._probes.errands[seq] = Errand(asker, request.seq, target, now + self._timeout_us * 4 // 5)
        return [self._ping(member, seq)]

    def _heard(self, now: Instant, author: NodeId) -> None:
        member = self._members.get(author)
        if member is not None:
            member.heard_at = now

    # --- links and ourselves ------------------------------------------------------------------------------

    def _link_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        was_isolated = not self._links
        self._links[peer] = None
        effects = self._isolation_ended(now) if was_isolated else []
        member = self._members.get(peer)
        if member is not None and member.state in ("suspect", "dead"):
            effects.append(self._ping(member, self._probes.next_seq()))
        return effects

    def _isolation_ended(self, now: Instant) -> list[Effect]:
        """What we concluded with no link at all says more about us than about others."""
        effects: list[Effect] = []
        for member in self._members.values():
            if member.verdict is not None and member.verdict.private:
                member.verdict = None
                effects += self._weigh(now, member, "judged while we had no link")
                self._rotation.hurry(member.node)
        return effects

    def _was_late(self, now: Instant, by_us: int) -> None:
        """We did not listen for `by_us`. Each stretch of time is accounted for once."""
        by_us = min(by_us, now - self._listening_since)
        if by_us < self._timeout_us // LATE_SHARE:
            return
        self._listening_since = now
        if by_us >= self._timeout_us // 2:
            self._awareness.adjust(1)
        for probe in self._probes.ours.values():
            probe.postpone(by_us)
        for member in self._suspects.values():
            if member.suspicion is not None:
                member.suspicion.postpone(now, by_us, 2 * self._period_us)

    def _done(self, now: Instant, effects: list[Effect]) -> list[Effect]:
        """Publish what changed and set the next deadline."""
        if self._verdicts_changed and self._published_incarnation is not None:
            effects += self._publish_verdicts()
        dues = [m.suspicion.expires_at for m in self._suspects.values() if m.suspicion is not None]
        if self._next_probe_at is not None:
            dues.append(self._next_probe_at)
        probing = self._probes.next_due()
        if probing is not None:
            dues.append(probing)
        self._deadline = min(dues, default=None)
        return effects

    def _report(self, member: Member) -> MemberReport:
        record = member.record
        return MemberReport(
            node=member.node,
            cluster=member.cluster,
            role=member.role,
            region="" if record is None else record.region,
            state=member.state,
            incarnation=member.incarnation,
            addresses=() if record is None else record.addresses,
            software="" if record is None else record.software,
            capabilities=() if record is None else record.capabilities,
            since=member.since,
            accusers=tuple(accuser for accuser, _ in member.standing_accusers()),
        )


def _description(record: NodeRecord) -> tuple[object, ...]:
    return (record.region, record.addresses, record.software)
