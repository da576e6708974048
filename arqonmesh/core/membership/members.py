"""The members as this node sees them: what the records say, what we conclude, and when a suspect's time is over.

    admissions, NODE, ACCUSATIONS, LINKS records ─▶ Members ─▶ MemberDescribed, MemberChanged
    our own failed probes and lost links         ─▶         ─▶ our ACCUSATIONS record

What is published as our accusation rests on our own evidence: a probe that failed, a link that fell silent. A verdict
that we reached on others' word alone is kept and not repeated: it would confirm nothing, and n nodes that all repeat
one death cost n floods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import Dropped, Fault, MemberChanged, Publish
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Instant
from arqonmesh.core.lull import Lull
from arqonmesh.core.membership.awareness import Awareness
from arqonmesh.core.membership.census import Census
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.core.membership.member import UNKNOWN, Member, MemberReport, Verdict
from arqonmesh.core.membership.rotation import Rotation
from arqonmesh.core.membership.suspicion import Suspicion, confirmations_wanted, minimum_us
from arqonmesh.core.membership.timing import ACCUSERS_ENOUGH, Timing
from arqonmesh.ids import NodeId, short
from arqonmesh.wire.statement import Accusation, Accusations, Kind, NodeRecord
from arqonmesh.wire.statement import Links as LinksRecord

ACCUSATIONS_MAX: Final = 64
"""As many as an ACCUSATIONS record carries."""
EARLY_MAX: Final = 4_096
"""Records of nodes whose admission is on its way: at a start, those of everyone who was admitted since we joined. As
many as gossip takes authors (gossip/limits.py), for only members' records come here."""
RESTARTS_MAX: Final = 3
VAIN_PROBES: Final = 3
"""So many probes in a row have to fail before we suspect a member to whom others have a link and we have none: their
heartbeats, answered many times a second, outweigh one message that was lost or late on its way through them."""


class Members:
    """The table, and the one door (`weigh`) through which a state changes."""

    def __init__(
        self, own: NodeId, settings: MembershipSettings, awareness: Awareness, rotation: Rotation, evidence: Evidence
    ) -> None:
        self._me = own
        self._settings = settings
        self._period_us = settings.probe_interval_ms * MILLISECOND
        self._awareness = awareness
        self._rotation = rotation
        self._evidence = evidence
        self._early: dict[NodeId, NodeRecord] = {}
        self._accusations_by: dict[NodeId, dict[NodeId, tuple[int, str]]] = {}
        self._remembered: dict[NodeId, Verdict] = {}
        self._accused: tuple[Accusation, ...] = ()
        self.suspects: dict[NodeId, Member] = {}
        self.changed = False
        """Whether our verdicts may differ from what our ACCUSATIONS record says."""
        self.of: dict[NodeId, Member] = {}
        self._census = Census()
        self._lull = Lull()
        """How long everyone stands still now and then, and goes on, by the word of our links."""
        self._timing = Timing(self.of, self._census, settings, awareness, evidence, self._lull)
        self._unseen: dict[NodeId, None] = {}
        """About whom the links said something new since `look_at_links`."""

    # --- questions ----------------------------------------------------------------------------------------

    def is_alive(self, node: NodeId) -> bool:
        return self.of[node].state == "alive"

    def is_dead(self, node: NodeId) -> bool:
        return self.of[node].state == "dead"

    def is_severed(self, now: Instant, member: Member) -> bool:
        """Whether all who had a link to it say that they lost it (timing.py)."""
        return bool(self._timing.severed(now, member))

    def report(self) -> tuple[MemberReport, ...]:
        return tuple(self.of[node].report() for node in sorted(self.of))

    def heard(self, now: Instant, node: NodeId) -> None:
        """It gave us a sign of life that nobody else can give in its name."""
        member = self.of.get(node)
        if member is not None:
            member.heard_at = now
            member.vain_probes = 0

    # --- the roster ---------------------------------------------------------------------------------------

    def admit(self, now: Instant, node: NodeId, public_key: bytes, cluster: str, role: str) -> list[Effect]:
        """New on the roster, or in another place on it."""
        known = self.of.get(node)
        if known is not None:
            moved = (known.cluster, known.role) != (cluster, role)
            known.cluster, known.role, known.expelled = cluster, role, False
            told: list[Effect] = [known.described()] if moved and known.record is not None else []
            return told + self.weigh(now, known, "admitted again")
        member = self.of[node] = Member(node, cluster, role, public_key=public_key, since=now, told_at=now)
        self._census.came()
        if node != self._me:
            self._rotation.add(node)
        for accuser, accused in self._accusations_by.items():
            if node in accused:
                member.accused_by(accuser, accused[node])
        member.verdict = self._remembered.pop(node, None)
        record = self._early.pop(node, None)
        return [] if record is None else self.described(now, member, record)

    def expel(self, now: Instant, node: NodeId, reason: str) -> list[Effect]:
        """Whoever listens to members follows: to all of them it has left. Here it is forgotten; should it be admitted
        again, its record comes again, too."""
        member = self.of.get(node)
        if member is None or node == self._me:
            return []
        member.expelled = True
        effects = self.weigh(now, member, reason)
        self._rotation.remove(node)
        self.acquit(member)
        self._census.went(member.state)
        del self.of[node]
        return effects

    # --- the records --------------------------------------------------------------------------------------

    def node_record(self, now: Instant, author: NodeId, record: NodeRecord) -> list[Effect]:
        member = self.of.get(author)
        if member is not None:
            return self.described(now, member, record)
        if len(self._early) >= EARLY_MAX and author not in self._early:
            return [Emit(Dropped("membership", "early-full"))]
        self._early[author] = record
        return []

    def described(self, now: Instant, member: Member, record: NodeRecord) -> list[Effect]:
        """A member's own record came: new, or newer."""
        old, member.record = member.record, record
        if old is None or old.incarnation != record.incarnation:
            member.told_at = now
        if old is None and member.state == UNKNOWN and member.verdict is None and member.derive() == "alive":
            return self._first_heard(now, member)
        effects: list[Effect] = []
        if old is None or old.leaving or _description(old) != _description(record):  # who returns is dialled again
            effects.append(member.described())
        if old is not None and old.incarnation != record.incarnation:
            self.acquit(member)
        if member.verdict is not None and member.verdict.incarnation != record.incarnation:
            member.verdict = None
            self.changed = True
        reason = "left" if record.leaving else "joined" if old is None else f"incarnation {record.incarnation}"
        return effects + self.weigh(now, member, reason)

    def _first_heard(self, now: Instant, member: Member) -> list[Effect]:
        """What `described` and `weigh` come to for one that nobody had heard of, and of whom nobody says anything bad:
        at a start, that is everyone."""
        member.state, member.since = "alive", now
        self._census.moved(UNKNOWN, "alive")
        self._evidence.vouches(member.node, counts=True)
        changed = MemberChanged(member.node, UNKNOWN, "alive", member.incarnation, "joined")
        return [member.described(), Emit(changed)]

    def accused_by(self, now: Instant, author: NodeId, body: Accusations) -> tuple[list[Effect], int | None]:
        """An author's present list came; what is not on it any more is taken back. Also: at which incarnation it newly
        accuses ourselves."""
        before = self._accusations_by.get(author, {})
        present = {NodeId(a.target): (a.incarnation, a.level) for a in body.accusations if a.target != author}
        if present:
            self._accusations_by[author] = present
        else:
            self._accusations_by.pop(author, None)
        effects: list[Effect] = []
        ourselves: int | None = None
        for target in sorted(before.keys() | present.keys()):
            accusation = present.get(target)
            if accusation == before.get(target):
                continue
            if target == self._me:
                ourselves = None if accusation is None else accusation[0]
                continue
            member = self.of.get(target)
            if member is None:
                continue
            member.accused_by(author, accusation)
            told = "taken back by" if accusation is None else f"{accusation[1]} for"
            effects += self.weigh(now, member, f"{told} {short(author)}")
        return effects, ourselves

    def remember(self, now: Instant, body: Accusations) -> list[Effect]:
        """Our own record came back from disk: whom we held dead, we still do; suspicions begin anew."""
        self._accused = body.accusations
        effects: list[Effect] = []
        for accusation in body.accusations:
            if accusation.level != "dead":
                continue
            verdict = Verdict("dead", accusation.incarnation, private=False, hearsay=False)
            member = self.of.get(NodeId(accusation.target))
            if member is None:
                self._remembered[NodeId(accusation.target)] = verdict
            elif member.node != self._me:
                member.verdict = verdict
                effects += self.weigh(now, member, "dead before our restart")
        return effects

    # --- the links ----------------------------------------------------------------------------------------

    def links_record(self, now: Instant, author: NodeId, body: LinksRecord) -> None:
        self._told(now, author)
        self._unseen.update(dict.fromkeys(self._evidence.advertised(now, author, body)))

    def links_records(self, now: Instant, records: Iterable[tuple[NodeId, LinksRecord]]) -> None:
        """Of many others at once."""

        def noted() -> Iterator[tuple[NodeId, LinksRecord]]:
            for author, body in records:
                self._told(now, author)
                yield author, body

        self._unseen.update(self._evidence.advertised_together(now, noted()))

    def _told(self, now: Instant, author: NodeId) -> None:
        member = self.of.get(author)
        if member is not None:
            member.told_at = now

    def link_up(self, now: Instant, peer: NodeId) -> None:
        self._evidence.link_up(now, peer)
        self._unseen[peer] = None

    def link_down(self, now: Instant, peer: NodeId) -> None:
        self._evidence.link_down(now, peer)
        self._unseen[peer] = None

    def look_at_links(self, now: Instant) -> list[Effect]:
        """Of some members somebody gained or lost a link, or who vouched for them died: once for all that came
        together, and everyone who is reached or not because of it. A cut concerns half of the mesh, and each of
        hundreds of records that tell of it would otherwise make us look at that half again."""
        effects: list[Effect] = []
        if self._timing.may_shorten:
            self._unseen.update(self._evidence.turned())
        while self._unseen:
            unseen, self._unseen = self._unseen, {}
            for node in unseen:
                member = self.of.get(node)
                if member is not None and node != self._me and member.probed:
                    effects += self._look_at_links(now, member)
        return effects

    def _look_at_links(self, now: Instant, member: Member) -> list[Effect]:
        node = member.node
        if not self._evidence.was_lost(node) and member.suspicion is None and member.verdict is None:
            member.losing_since = member.severed_since = None  # it is as with most: nobody complains of it
            return []
        self._timing.count_losses(now, member)
        if member.suspicion is not None:
            self._timing.reckon(now, member)
        verdict = member.verdict
        unjudged = verdict is None or verdict.incarnation != member.incarnation
        if unjudged and self._timing.severed(now, member) and self._evidence.tells(now, node, ACCUSERS_ENOUGH):
            reason = "nobody has a link to it any more"
            return self.convict(
                now, member, Verdict("suspect", member.incarnation, private=False, hearsay=False), reason
            )
        return []

    # --- states -------------------------------------------------------------------------------------------

    def weigh(self, now: Instant, member: Member, reason: str) -> list[Effect]:
        """Derive the state anew; the one door through which it changes."""
        new = member.derive()
        effects: list[Effect] = []
        old = member.state
        if new != old:
            was_probed, member.state, member.since = member.probed, new, now
            self._census.moved(old, new)
            if member.probed != was_probed:
                self._evidence.vouches(member.node, counts=member.probed)
            if new != "suspect":
                self.acquit(member)
            if member.node != self._me and "left" in (old, new):
                if new == "left":
                    self._rotation.remove(member.node)
                elif not member.expelled:
                    self._rotation.add(member.node)
            if new:
                effects.append(Emit(MemberChanged(member.node, old, new, member.incarnation, reason)))
            if new in ("dead", "left"):  # its record vouches for nobody from now on
                self._unseen.update(dict.fromkeys(self._evidence.vouched_by(member.node)))
        if new == "suspect":
            self._suspect(now, member)
        return effects

    def _suspect(self, now: Instant, member: Member) -> None:
        """Start the suspicion's timer, or count who confirms it."""
        settings = self._settings
        accusers = member.standing_accusers()
        if member.suspicion is None:
            size = self._census.staying
            min_us = minimum_us(settings.suspicion_mult, size, self._period_us)
            first = self._me if member.verdict is not None or not accusers else accusers[0][0]
            dynamic = settings.lifeguard.suspicion
            member.suspicion = Suspicion(
                now,
                first,
                wanted=confirmations_wanted(settings.suspicion_mult, size) if dynamic else 0,
                min_us=min_us,
                max_us=min_us * settings.suspicion_max_mult,
            )
            self.suspects[member.node] = member
            self._rotation.hurry(member.node)
        suspicion = member.suspicion
        if member.verdict is not None:
            suspicion.confirm(self._me)
        for accuser, level in accusers:
            suspicion.confirm(accuser)
            if level == "dead":
                if settings.lifeguard.suspicion:
                    suspicion.hasten()
                else:
                    suspicion.adopt()
        self._timing.reckon(now, member)

    def acquit(self, member: Member) -> None:
        member.suspicion = member.severed_since = member.losing_since = None
        self.suspects.pop(member.node, None)

    def convict(self, now: Instant, member: Member, verdict: Verdict, reason: str) -> list[Effect]:
        member.verdict = verdict
        self.changed = True
        return self.weigh(now, member, reason)

    def probe_failed(self, now: Instant, member: Member, reason: str) -> list[Effect]:
        """Our own probe of it failed: we suspect it, in private while we have no link at all. While others vouch for
        it, it is probed again first: on a machine that is too busy, hundreds of relayed probes are late, and if each
        became an accusation for all to verify and to refute, it would stay too busy."""
        verdict = member.verdict
        if verdict is not None and verdict.incarnation == member.incarnation:
            return []
        if self._timing.reached_by_others(member):
            member.vain_probes += 1
            if member.vain_probes < VAIN_PROBES:
                self._rotation.hurry(member.node)
                return []
        private = not self._evidence.links
        # of a severed one, four accuse as soon as they know (look_at_links): a probe in vain is no news then
        accusers = len(member.standing_accusers())
        enough = accusers >= (1 if self._timing.severed(now, member) else ACCUSERS_ENOUGH)
        blamed: list[Effect] = [] if private else [Emit(Fault(member.node, "timeout"))]
        verdict = Verdict("suspect", member.incarnation, private=private, hearsay=enough)
        return blamed + self.convict(now, member, verdict, reason)

    def is_given_time_again(self, now: Instant, member: Member) -> bool:
        """Its time is over, but it answered us ourselves meanwhile: the same once more, a bounded number of times."""
        suspicion = member.suspicion
        assert suspicion is not None
        heard = member.heard_at is not None and member.heard_at >= suspicion.started_at
        if not heard or suspicion.restarts >= RESTARTS_MAX or not self._settings.lifeguard.suspicion:
            return False
        suspicion.restart(now)
        return True

    def expire(self, now: Instant, member: Member) -> list[Effect]:
        """A suspicion's time is over: dead to us."""
        suspicion = member.suspicion
        assert suspicion is not None
        lasted_ms = (now - suspicion.started_at) // MILLISECOND
        reason = f"no refutation in {lasted_ms} ms, {suspicion.confirmations + 1} accusers"
        own = member.verdict
        hearsay = bool(member.standing_accusers()) if own is None else own.hearsay
        verdict = Verdict("dead", member.incarnation, private=not self._evidence.links, hearsay=hearsay)
        return self.convict(now, member, verdict, reason)

    def isolated(self, now: Instant) -> None:
        """Our last link is gone: what we were about to conclude from lost links, we shall not tell anyone."""
        for member in self.of.values():
            member.severed_since = member.losing_since = None
        for member in self.suspects.values():
            if member.suspicion is not None:
                member.suspicion.mend()
                member.suspicion.reopen()
            if member.verdict is not None and member.verdict.told:
                member.verdict = replace(member.verdict, private=True)
                self.changed = True

    def isolation_ended(self, now: Instant) -> list[Effect]:
        """What we concluded with no link at all says more about us than about others."""
        effects: list[Effect] = []
        for member in self.of.values():
            if member.verdict is not None and member.verdict.private:
                member.verdict = None
                effects += self.weigh(now, member, "judged while we had no link")
                self._rotation.hurry(member.node)
        for member in self.suspects.values():
            self._timing.reckon(now, member)
        return effects

    def stood_still(self, now: Instant, for_us: int) -> None:
        """Everyone does now and then, for so long: whoever is suspected already is given as much. The first of all
        pauses on a machine that has just become busy would otherwise be judged by how it was before."""
        self._lull.note(now, for_us)
        for member in self.suspects.values():
            self._timing.reckon(now, member)

    def postpone(self, now: Instant, by_us: int) -> None:
        """We were not listening: every suspect gets that time again."""
        for member in self.suspects.values():
            if member.suspicion is not None:
                member.suspicion.postpone(now, by_us, 2 * self._period_us)

    def verdicts(self) -> list[Effect]:
        """Our present accusations, when they changed. Suspects first, then the newest dead, at most 64."""
        self.changed = False
        verdicts = [
            (member.verdict.level == "dead", -member.since, member.node, member.verdict)
            for member in self.of.values()
            if member.verdict is not None and member.verdict.told and member.state in ("suspect", "dead")
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


def _description(record: NodeRecord) -> tuple[object, ...]:
    return (record.region, record.addresses, record.software)
