"""What a packet meter would read on the simulated network: messages, what wraps them, and the transport's own answers.

A model: messages that leave for one peer at one instant share packets, as many as their bytes fill; each packet has
`PACKET_BYTES` around it; packets with stream data are acknowledged, every second one of a burst at once (RFC 9000,
13.2.2) and a single one by a packet of its own unless something leaves for that peer within `ACK_DELAY_US` anyway; and
each connection that comes up cost each end `HANDSHAKE_BYTES`. Lost packets, path probes and acknowledgements of
datagrams alone are not in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from arqonmesh.core.kernel import MILLISECOND, Lane
from arqonmesh.ids import NodeId
from arqonmesh.sim.network import End
from arqonmesh.wire.codec import MESSAGE_TYPES

QUIC_BYTES: Final = 27
"""A short header with its connection id and packet number, and the tag of the AEAD."""
PACKET_BYTES: Final = 28 + QUIC_BYTES
"""With IPv4 and UDP (20 + 8)."""
FRAME_BYTES: Final = 5
"""Type, stream, offset and length of a STREAM frame; a DATAGRAM's is shorter. The length in front of a message is
another one."""
ACK_FRAME_BYTES: Final = 6
ACK_DELAY_US: Final = 2 * MILLISECOND
"""As the driver's (net/quic_core.py, `ACK_DELAY_S`)."""
PACKET_MAX: Final = 1_200
"""What UDP carries of one packet; the driver finds out about longer ones only on some paths."""
ROOM_BYTES: Final = PACKET_MAX - QUIC_BYTES
HANDSHAKE_BYTES: Final = 3_500
"""Per end: padded first packets, a certificate, the first words on each stream."""
ACKS: Final = "acknowledgements"
HANDSHAKES: Final = "handshakes"


@dataclass(slots=True)
class _Burst:
    """What leaves for one peer at one instant."""

    at: int
    filled: int = 0
    """Bytes in its newest packet."""
    stream: bool = False
    """There is stream data in that."""


class Meter:
    """Counts what leaves at its sender, and for its receiver too. `latency_us`: one way, the same for all."""

    def __init__(self, latency_us: int) -> None:
        self.sent: Counter[NodeId] = Counter()
        self.received: Counter[NodeId] = Counter()
        self.bytes: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.inside = 0
        """Bytes of the messages alone, without what wraps them."""
        self._latency_us = latency_us
        self._bursts: dict[tuple[NodeId, NodeId], _Burst] = {}
        """The newest, by (from, to)."""
        self._unanswered: dict[tuple[NodeId, NodeId], int] = {}
        """When the acknowledgement that one owes the other leaves at the latest, by (who owes, to whom)."""

    def note(self, end: End, lane: Lane, data: bytes, now: int) -> None:
        here, there = end.endpoint.node_id, end.peer
        burst = self._bursts.get((here, there))
        began = burst is None or burst.at != now
        if burst is None or began:
            burst = self._bursts[here, there] = _Burst(now)
            self._answer(here, there, now)
        size = wanted = len(data) + FRAME_BYTES
        opened = int(began)
        stream = lane is not Lane.DATAGRAM
        if not stream and burst.filled + wanted > ROOM_BYTES:  # a datagram is not cut in two
            burst.filled, burst.stream = 0, False
            opened = 1
        touched = opened + (not opened and not burst.stream)
        burst.filled += wanted
        while burst.filled > ROOM_BYTES:
            burst.filled += FRAME_BYTES - ROOM_BYTES
            size += FRAME_BYTES
            opened += 1
            touched += 1
        size += opened * PACKET_BYTES
        tag = data[1] if data[1] < 24 else data[2]
        kind = MESSAGE_TYPES[tag].__name__
        self.inside += len(data)
        self.messages[kind] += 1
        self._count(kind, here, there, size)
        if stream:
            burst.stream = True
            for _ in range(touched):
                self._wants_answer(here, there, now + self._latency_us)

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

    def _wants_answer(self, here: NodeId, there: NodeId, arrives: int) -> None:
        """A packet with stream data. The second one is not waited with."""
        due = self._unanswered.get((there, here))
        if due is not None:
            self._alone(there, here)
        if due is not None and due >= arrives:
            del self._unanswered[there, here]
        else:
            self._unanswered[there, here] = arrives + ACK_DELAY_US

    def _alone(self, here: NodeId, there: NodeId) -> None:
        self.messages[ACKS] += 1
        self._count(ACKS, here, there, PACKET_BYTES + ACK_FRAME_BYTES)

    def _count(self, kind: str, here: NodeId, there: NodeId, size: int) -> None:
        self.sent[here] += size
        self.received[there] += size
        self.bytes[kind] += size
