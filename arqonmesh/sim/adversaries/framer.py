"""Has honest relays carry its rubbish, so that whoever finds out blames the relay."""

from __future__ import annotations

from typing import ClassVar

from arqonmesh.core.gossip.core import TOPIC as STATEMENTS
from arqonmesh.core.kernel import MILLISECOND, Lane
from arqonmesh.core.user_events.core import TOPIC as EVENTS
from arqonmesh.core.user_events.signed import sign
from arqonmesh.ids import NodeId
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.pen import alone
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import BroadcastPayload, Heartbeat, Relay, SignedAck
from arqonmesh.wire.statement import Accusations, Kind


class Framer(Adversary):
    """Everything it sends is well formed and well routed where it leaves: a payload named by its right hash, a relay on
    a path that exists. What is wrong lies inside: a signature that does not hold, a message that may not travel so."""

    NAME: ClassVar[str] = "framer"
    EVERY_US: ClassVar[int] = 250 * MILLISECOND

    def attack(self) -> None:
        peers = self.linked()
        for index, relay in enumerate(peers):
            victim = peers[(index + 1) % len(peers)]
            if victim != relay:
                kind = (self.attacks + index) % 4
                (self._event, self._statement, self._answer, self._smuggled)[kind](relay, victim)

    def _event(self, relay: NodeId, victim: NodeId) -> None:
        """A user event "of" the victim, of now: nobody looks who signed an old one."""
        sent_ms = self.process.wall_ms()
        forged = sign(self.pen.crypto, self.plane.mesh.mesh_id, victim, self.attacks, "deploy", b"", sent_ms)
        self._spread(relay, EVENTS, forged)

    def _statement(self, relay: NodeId, victim: NodeId) -> None:
        """A statement "of" the victim, as gossip pushes them."""
        _, epoch, seq, _, _ = self.plane.gossip.entry(victim)
        forged = self.pen.write(
            (epoch, seq + 1), Kind.ACCUSATIONS, Accusations(()), key=str(self.attacks), author=victim
        )
        self._spread(relay, STATEMENTS, encode_message(alone(forged)))

    def _answer(self, relay: NodeId, victim: NodeId) -> None:
        """A sign of life of somebody else, which only the asker can see to be forged."""
        others = [node for node in self.victims if node not in (relay, victim)]
        signature = self.pen.crypto.sign(b"alive")
        forged = SignedAck(others[0] if others else relay, victim, self.dice.getrandbits(16), signature)
        self.send(relay, Relay((self.node, relay, victim), 1, int(Lane.DATAGRAM), encode_message(forged)))

    def _smuggled(self, relay: NodeId, victim: NodeId) -> None:
        """A heartbeat of a link that does not exist: it must not travel by relay."""
        inner = encode_message(Heartbeat(1, False, 0, 0, 0, 100))
        self.send(relay, Relay((self.node, relay, victim), 1, int(Lane.DATAGRAM), inner))

    def _spread(self, relay: NodeId, topic: str, data: bytes) -> None:
        self.send(relay, BroadcastPayload(1, 0, topic, data))
