"""Says again what was said before: old frames, on the link they came by and on others, before and after restarts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

from arqonmesh.core.kernel import MILLISECOND, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import BusBatch

MEMORY: Final = 2_000
PER_ATTACK: Final = 8


class Replayer(Adversary):
    """Frames go out again byte for byte; batches of the bus are given the next number of the link and a path that leads
    over the replayer, which is all of them that their origin did not sign."""

    NAME: ClassVar[str] = "replayer"
    EVERY_US: ClassVar[int] = 20 * MILLISECOND

    def __init__(self, process: Corrupted) -> None:
        super().__init__(process)
        self._heard: deque[tuple[Lane, bytes]] = deque(maxlen=MEMORY)
        self._batches: deque[BusBatch] = deque(maxlen=MEMORY)
        self._numbers: dict[NodeId, int] = {}

    def hears(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        if lane in (Lane.DATAGRAM, Lane.CONTROL):
            self._heard.append((lane, data))
            return
        message = decode_message(data)
        if isinstance(message, BusBatch) and self.node not in message.via:
            self._batches.append(message)

    def says(self, send: Send) -> Iterable[Send]:
        """Numbers of batches have to follow each other: only replayed ones leave."""
        return () if isinstance(send.message, BusBatch) else (send,)

    def attack(self) -> None:
        for peer in self.linked():
            for _ in range(min(PER_ATTACK, len(self._heard))):
                lane, data = self._heard[self.dice.randrange(0, len(self._heard))]
                self.send_bytes(peer, lane, data)
            for _ in range(min(PER_ATTACK, len(self._batches))):
                self._again(peer, self._batches[self.dice.randrange(0, len(self._batches))])

    def _again(self, peer: NodeId, batch: BusBatch) -> None:
        if peer in batch.via:
            return
        self._numbers[peer] = number = self._numbers.get(peer, 0) + 1
        forged = msgspec.structs.replace(batch, link_seq=number, via=(*batch.via, self.node))
        self.send_bytes(peer, Lane.BULK, encode_message(forged))
