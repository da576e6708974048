"""What a packet meter would read on the simulated network: messages, what wraps them, and the transport's own answers.

A model, on the high side of what the driver does: messages that leave for one peer at one instant share a packet; each
packet has `PACKET_BYTES` around it; each packet with stream data is acknowledged, by a packet of its own unless
something leaves for that peer within `ACK_DELAY_US` anyway; and each connection that comes up cost each end
`HANDSHAKE_BYTES`. Lost packets and path probes are not in it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from arqonmesh.core.kernel import MILLISECOND, Lane
from arqonmesh.ids import NodeId
from arqonmesh.sim.network import End
from arqonmesh.wire.codec import MESSAGE_TYPES

PACKET_BYTES: Final = 28 + 27
"""IPv4 and UDP (20 + 8); a short header with its connection id and packet number, and the tag of the AEAD."""
FRAME_BYTES: Final = 5
"""Type, stream, offset and length of a STREAM frame; a DATAGRAM's is shorter. The length in front of a message is
another one."""
ACK_FRAME_BYTES: Final = 6
ACK_DELAY_US: Final = 2 * MILLISECOND
"""As the driver's (net/quic_core.py, `ACK_DELAY_S`)."""
PACKET_MAX: Final = 1_200
HANDSHAKE_BYTES: Final = 3_500
"""Per end: padded first packets, a certificate, the first words on each stream."""
ACKS: Final = "acknowledgements"
HANDSHAKES: Final = "handshakes"


class Meter:
    """Counts what leaves at its sender, and for its receiver too. `latency_us`: one way, the same for all."""

    def __init__(self, latency_us: int) -> None:
        self.sent: Counter[NodeId] = Counter()
        self.received: Counter[NodeId] = Counter()
        self.bytes: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self._latency_us = latency_us
        self._left: dict[tuple[NodeId, NodeId], int] = {}
        """When the last packet left, by (from, to)."""
        self._unanswered: dict[tuple[NodeId, NodeId], int] = {}
        """When the acknowledgement that one owes the other leaves at the latest, by (who owes, to whom)."""

    def note(self, end: End, lane: Lane, data: bytes, now: int) -> None:
        here, there = end.endpoint.node_id, end.peer
        size = len(data) + FRAME_BYTES
        if self._left.get((here, there)) != now:
            self._left[here, there] = now
            size += PACKET_BYTES
            self._answer(here, there, now)
        size += (len(data) // PACKET_MAX) * PACKET_BYTES
        tag = data[1] if data[1] < 24 else data[2]
        kind = MESSAGE_TYPES[tag].__name__
        self.messages[kind] += 1
        self._count(kind, here, there, size)
        if lane is not Lane.DATAGRAM:
            arrives = now + self._latency_us
            if self._unanswered.get((there, here), arrives) < arrives:
                self._alone(there, here)
            self._unanswered[there, here] = arrives + ACK_DELAY_US

    def came_up(self, here: NodeId, there: NodeId) -> None:
        """One end of a new connection; the other end says the same of itself."""
        self.messages[HANDSHAKES] += 1
        self._count(HANDSHAKES, here, there, HANDSHAKE_BYTES)

    def finish(self) -> None:
        """The acknowledgements that are still owed."""
        for here, there in self._unanswered:
            self._alone(here, there)
        self._unanswered.clear()

    def _answer(self, here: NodeId, there: NodeId, now: int) -> None:
        """A packet leaves: an acknowledgement that waits for company goes along."""
        due = self._unanswered.get((here, there))
        if due is None or now < due - ACK_DELAY_US:
            return
        del self._unanswered[here, there]
        if now <= due:
            self._count(ACKS, here, there, ACK_FRAME_BYTES)
        else:
            self._alone(here, there)

    def _alone(self, here: NodeId, there: NodeId) -> None:
        self.messages[ACKS] += 1
        self._count(ACKS, here, there, PACKET_BYTES + ACK_FRAME_BYTES)

    def _count(self, kind: str, here: NodeId, there: NodeId, size: int) -> None:
        self.sent[here] += size
        self.received[there] += size
        self.bytes[kind] += size
