"""Sends ten times what anyone may send, of something that costs an answer."""

from __future__ import annotations

from typing import ClassVar, Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Lane
from arqonmesh.ids import NodeId
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import Ack, Ping

TIMES_THE_LIMIT: Final = 10
TARGETS: Final = 2
NUMBER: Final = 0xFFFF_FFFF
"""Of all its pings; no probe of its node comes so far."""
ANSWER: Final = encode_message(Ack(NUMBER))


class Flooder(Adversary):
    """Pings, to two victims, whenever there is a link to them."""

    NAME: ClassVar[str] = "flooder"
    EVERY_US: ClassVar[int] = 20 * MILLISECOND

    def __init__(self, process: Corrupted) -> None:
        super().__init__(process)
        self.answered: dict[NodeId, int] = {}
        """How many of its pings each victim took the trouble to answer."""

    def hears(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        if data == ANSWER:
            self.answered[peer] = self.answered.get(peer, 0) + 1

    def attack(self) -> None:
        per_s = self.process.config.peers.rate_per_s * TIMES_THE_LIMIT
        ping = encode_message(Ping(NUMBER, -1))
        for peer in [peer for peer in self.linked() if peer in self.victims[:TARGETS]]:
            for _ in range(max(1, per_s * self.EVERY_US // SECOND)):
                self.send_bytes(peer, Lane.DATAGRAM, ping)
