"""Asking: our own probes, the errands that we run for others, and the answers to both.

A relay or a helper can hold an answer back; it can neither make one up nor refute anything in another's name: what
came through other hands counts when its subject signed it (proof.py), and a plain Ack comes from a linked peer alone.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import Dropped
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Env, Instant, Lane, Send
from arqonmesh.core.membership.awareness import Awareness
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.core.membership.hearing import Hearing
from arqonmesh.core.membership.member import Member
from arqonmesh.core.membership.members import Members
from arqonmesh.core.membership.probe import PROBES_MAX, Errand, Probe, Probes
from arqonmesh.core.membership.proof import proves, signed_ack
from arqonmesh.core.membership.rotation import Rotation
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Ack, Nack, Ping, PingFor, PingReq, SignedAck

DEAF_US_MAX: Final = 10 * SECOND
"""So long a probe waits at most while nothing can be heard: a link is down before that, however slow its heartbeats
are. A peer that kept its answers back at just the right moments would else keep its neighbour from any verdict."""
BETWEEN_LINKS_US_MAX: Final = 10 * SECOND
"""So long a member may be between links after it last said something new of itself: by then its new one is told of.
Only a newer word of its own renews that."""
NACK_SHARE: Final = (4, 5)
"""A helper says Nack after so much of the probe timeout: in time for the asker's verdict."""


class Prober:
    def __init__(
        self,
        env: Env,
        settings: MembershipSettings,
        members: Members,
        awareness: Awareness,
        rotation: Rotation,
        evidence: Evidence,
        hearing: Hearing,
    ) -> None:
        self._env = env
        self._me = env.node_id
        self._settings = settings
        self._period_us = settings.probe_interval_ms * MILLISECOND
        self._timeout_us = settings.probe_timeout_ms * MILLISECOND
        self._dead_every_us = settings.dead_probe_interval_ms * MILLISECOND
        self._members = members
        self._awareness = awareness
        self._rotation = rotation
        self._evidence = evidence
        self._hearing = hearing
        self._probes = Probes(env.rng)
        self._next_probe_at: Instant | None = None
        self._next_dead_at: Instant | None = None

    # --- life and time ------------------------------------------------------------------------------------

    def start(self, now: Instant) -> None:
        self._next_probe_at = now + self._env.rng.randrange(0, self._period_us)
        self._next_dead_at = now + self._env.rng.randrange(0, self._dead_every_us)

    def stop(self) -> None:
        self._probes.ours.clear()
        self._next_probe_at = self._next_dead_at = None

    def on_timer(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for probe in self._probes.due(now):
            effects += self._advance(now, probe)
        for errand in self._probes.expired_errands(now):
            effects.append(Send(errand.asker, Lane.DATAGRAM, Nack(errand.seq)))
        return effects

    def rounds(self, now: Instant) -> list[Effect]:
        """The next member's turn, and now and then that of a dead one."""
        effects: list[Effect] = []
        if self._next_probe_at is not None and now >= self._next_probe_at:
            self._next_probe_at = now + self._awareness.scale(self._period_us)
            target = self._rotation.next(self._may_probe)
            if target is not None:
                effects += self.probe(now, target)
        if self._next_dead_at is not None and now >= self._next_dead_at:
            self._next_dead_at = now + self._dead_every_us
            for node in self._rotation.some(1, self._members.is_dead):
                effects.append(self.greet(self._members.of[node]))
        return effects

    def postpone(self, now: Instant, by_us: int) -> None:
        """We were not listening for `by_us`: each probe has that time again, as far as it was under way then."""
        for probe in self._probes.ours.values():
            probe.postpone(min(by_us, now - probe.started_at))

    def next_due(self) -> Instant | None:
        deadline = self._next_probe_at
        for due in (self._next_dead_at, self._probes.next_due()):
            if due is not None and (deadline is None or due < deadline):
                deadline = due
        return deadline

    # --- our probes ---------------------------------------------------------------------------------------

    def probe(self, now: Instant, target: NodeId) -> list[Effect]:
        """Begin a probe of `target`, unless one is under way."""
        member = self._members.of.get(target)
        if member is None or target == self._me or self._next_probe_at is None or not self._may_probe(target):
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

    def greet(self, member: Member) -> Effect:
        """A ping outside of any probe: an answer is a sign of life, silence says nothing."""
        return self._ping(member, self._probes.loose(member.node))

    def _may_probe(self, node: NodeId) -> bool:
        member = self._members.of.get(node)
        return member is not None and member.probed and self._probes.of(node) is None

    def _ping(self, member: Member, seq: int) -> Effect:
        return Send(member.node, Lane.DATAGRAM, Ping(seq, self._told(member)))

    def _told(self, member: Member) -> int:
        """A suspect is told so in the ping, that it can refute at once (Lifeguard's buddy); a dead one always is."""
        told = member.state == "dead" or (member.state == "suspect" and self._settings.lifeguard.buddy)
        return member.incarnation if told else -1

    def _advance(self, now: Instant, probe: Probe) -> list[Effect]:
        """A probe's next step is due: ping again, ask others, or give the verdict."""
        member = self._members.of.get(probe.target)
        if member is None or not member.probed:
            del self._probes.ours[probe.seq]
            return []
        if self._waits(now, probe, member):
            if self._hearing.deaf:
                probe.waited_us += self._timeout_us // 2
            probe.postpone(self._timeout_us // 2)
            return []
        if probe.asked and now >= probe.verdict_at:
            return self._failed(now, probe, member)
        effects: list[Effect] = []
        if now >= probe.next_ping_at:
            probe.next_ping_at = now + self._timeout_us // 2
            effects.append(self._ping(member, probe.seq))
        if not probe.asked and now >= probe.ask_at:
            probe.asked = True
            helpers = self._helpers(now, member)
            probe.helpers = dict.fromkeys(helpers, False)
            effects += [Send(node, Lane.DATAGRAM, PingReq(probe.seq, probe.target)) for node in helpers]
        return effects

    def _waits(self, now: Instant, probe: Probe, member: Member) -> bool:
        """Silence says nothing: no answer could reach us, or no ping its target. That is how a newcomer begins, and a
        member that lost its only link and has another by now. Who has no link at all judges in private, and at once."""
        if not self._awareness.enabled:
            return False
        if self._hearing.deaf and probe.waited_us < DEAF_US_MAX:
            return True
        return now - member.told_at < BETWEEN_LINKS_US_MAX and self._is_between_links(member)

    def _is_between_links(self, member: Member) -> bool:
        evidence = self._evidence
        return self._settings.link_evidence_ms > 0 and bool(evidence.links) and evidence.is_between_links(member.node)

    def _helpers(self, now: Instant, member: Member) -> list[NodeId]:
        """Whom to ask: some of its neighbours. Everyone else's pings go through one of these: in a star, through the
        hub, to which ours went, and three others who ask it for the same are a dozen relayed messages for nothing,
        when it is late already. Where the neighbours are not known, or for plain SWIM, anybody."""
        target, wanted = member.node, self._settings.indirect_checks
        if self._members.is_severed(now, member):
            return []  # nobody has a link to it: asking others would bring n probes of n nodes, and no answer
        neighbours = self._evidence.neighbours(target) if self._awareness.enabled else None
        if neighbours is None:
            return self._rotation.some(wanted, lambda node: node != target and self._members.is_alive(node))
        members = self._members.of  # whoever was expelled, or is not admitted yet, may have a record all the same
        alive = [node for node in neighbours if node in members and self._members.is_alive(node)]
        self._env.rng.shuffle(alive)
        return alive[:wanted]

    def _failed(self, now: Instant, probe: Probe, member: Member) -> list[Effect]:
        del self._probes.ours[probe.seq]
        # that others signed why it is silent, or that no ping could reach it, says nothing about us
        if not self._members.is_severed(now, member) and not self._is_between_links(member):
            missing = sum(1 for said_nack in probe.helpers.values() if not said_nack)
            self._awareness.adjust(missing if probe.helpers else 1)
        waited_ms = (now - probe.started_at) // MILLISECOND
        reason = f"no answer in {waited_ms} ms, also not through {len(probe.helpers)} others"
        return self._members.probe_failed(now, member, reason)

    # --- what comes in ------------------------------------------------------------------------------------

    def pinged(self, author: NodeId, ping: Ping) -> Effect:
        return self._answer(author, author, ping.seq)

    def pinged_for(self, author: NodeId, ping: PingFor) -> Effect:
        return self._answer(author, NodeId(ping.asker), ping.seq)

    def acked(self, now: Instant, author: NodeId, seq: int) -> None:
        """By the linked peer `author` itself: no relay carries a plain Ack."""
        if self._probes.target_of(seq) == author:
            self._came_back(now, author, seq)

    def signed_acked(self, now: Instant, author: NodeId, ack: SignedAck) -> list[Effect]:
        """An answer through other hands: to us, or to pass on to whom we asked for."""
        if ack.asker != self._me:
            errand = self._probes.errands.get((NodeId(ack.asker), ack.seq))
            if errand is None or errand.target != ack.target:
                return []
            del self._probes.errands[(errand.asker, errand.seq)]
            return [Send(errand.asker, Lane.DATAGRAM, ack)]
        member = self._members.of.get(NodeId(ack.target))
        if member is None or self._probes.target_of(ack.seq) != ack.target:
            return []
        if not proves(self._env.crypto, self._env.mesh_id, member.public_key, ack):
            return [Emit(Dropped("membership", "forged-ack", 1, author))]
        self._came_back(now, member.node, ack.seq)
        return []

    def nacked(self, author: NodeId, seq: int) -> None:
        probe = self._probes.ours.get(seq)
        if probe is not None and author in probe.helpers:
            probe.helpers[author] = True

    def asked(self, now: Instant, asker: NodeId, request: PingReq) -> list[Effect]:
        target = NodeId(request.target)
        if target == self._me:
            return [self._answer(asker, asker, request.seq)]
        member = self._members.of.get(target)
        if member is None or asker not in self._members.of:
            return [Send(asker, Lane.DATAGRAM, Nack(request.seq))]
        if (asker, request.seq) not in self._probes.errands and not self._probes.room_for(asker):
            return [
                Emit(Dropped("membership", "errands-full", 1, asker)),
                Send(asker, Lane.DATAGRAM, Nack(request.seq)),
            ]
        patience_us = self._timeout_us * NACK_SHARE[0] // NACK_SHARE[1]
        self._probes.errands[(asker, request.seq)] = Errand(asker, request.seq, target, now + patience_us)
        return [Send(target, Lane.DATAGRAM, PingFor(request.seq, self._told(member), asker))]

    # --- private ------------------------------------------------------------------------------------------

    def _answer(self, to: NodeId, asker: NodeId, seq: int) -> Effect:
        """A link says who speaks; anywhere else a signature has to. Should the link be gone meanwhile, the answer is
        dropped, and the next ping of the probe finds us without it."""
        if to == asker and to in self._evidence.links:
            return Send(to, Lane.DATAGRAM, Ack(seq))
        return Send(to, Lane.DATAGRAM, signed_ack(self._env.crypto, self._env.mesh_id, self._me, asker, seq))

    def _came_back(self, now: Instant, target: NodeId, seq: int) -> None:
        if self._probes.settle(seq) is not None:
            self._awareness.adjust(-1)
        self._members.heard(now, target)
