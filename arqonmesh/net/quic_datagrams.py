"""A short way through aioquic for the packet that is nearly all of an idle link: an ACK, DATAGRAM frames, nothing else.

Two rules beside speed, both about what a lost heartbeat is worth, which is nothing: the next one is under way.

* Such a packet is counted in flight and arms no probe: nothing of it would be sent again (RFC 9221, 5.2). It gives no
  round trip either, because
* its ACK waits for the next packet that leaves anyway, up to `DATAGRAM_ACK_DELAY_S`. On an idle link every heartbeat
  carries the ACK of the other side's, where each used to be followed by a packet of its own.

The second rule deviates from RFC 9000, 13.2.1: no ACK may wait longer than the advertised max_ack_delay, and ours is
25 ms. To advertise 300 ms would hold for stream data, too, and make each probe for its last packet so much later. So
ACKs wait that long only at peers that have said in their Hello (`NO_PROBES`) that they keep the first rule and miss no
ACK; at others, `PLAIN_ACK_DELAY_S`: they would probe for each heartbeat.

Stream data is acknowledged as soon as ever, and an ACK on its behalf takes those that wait along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aioquic import tls
from aioquic._buffer import Buffer, BufferReadError
from aioquic.quic.events import DatagramFrameReceived
from aioquic.quic.packet import QuicPacketType, pull_ack_frame, push_ack_frame
from aioquic.quic.rangeset import RangeSet

from arqonmesh.net.quic_core import ACK_DELAY_S, MeshQuic, NetworkAddress

DATAGRAM_ACK_DELAY_S: Final = 0.3
"""Longer than the pause between heartbeats on any link but the slowest."""
PLAIN_ACK_DELAY_S: Final = 0.02
"""The same for a peer that probes for datagrams: less than the 25 ms that we advertise."""
DATAGRAMS_UNACKED_MAX: Final = 8
"""So many packets of datagrams are acknowledged together, whatever the delay: the sender's window must not fill."""
ACK_BYTES_MAX: Final = 128
ACK_RANGES_MAX: Final = 4
"""More gaps than that take the long way, which tells them all."""
TAG_BYTES: Final = 16
_ONE_RTT: Final = tls.Epoch.ONE_RTT
_PADDING, _ACK, _DATAGRAM, _DATAGRAM_WITH_LENGTH = 0x00, 0x02, 0x30, 0x31


class _Beat:
    """What recovery keeps of a packet of datagrams: in flight, and not worth a probe."""

    __slots__ = ("delivery_handlers", "packet_number", "sent_bytes", "sent_time")

    epoch = _ONE_RTT
    in_flight = True
    is_ack_eliciting = False
    is_crypto_packet = False
    packet_type = QuicPacketType.ONE_RTT
    quic_logger_frames = ()

    def __init__(self, number: int, now: float, size: int, handlers: Sequence[Any]) -> None:
        self.packet_number = number
        self.sent_time = now
        self.sent_bytes = size
        self.delivery_handlers = handlers


class DatagramQuic(MeshQuic):
    """MeshQuic that reads and builds packets of datagrams in one pass."""

    spares_probes = True
    _unacked_datagrams = 0

    def _take_datagrams(self, plain: bytes, now: float) -> float | None:
        """Take a packet of at most one ACK frame and DATAGRAM frames; the time for which its own ACK may wait.

        None, with nothing changed, when it holds anything else or nothing to acknowledge.
        """
        buffer = Buffer(data=plain)
        acked: tuple[RangeSet, int] | None = None
        datagrams: list[bytes] = []
        try:
            while not buffer.eof():
                kind = buffer.pull_uint8()
                if kind == _DATAGRAM_WITH_LENGTH:
                    datagrams.append(buffer.pull_bytes(buffer.pull_uint_var()))
                elif kind == _DATAGRAM:
                    datagrams.append(buffer.pull_bytes(len(plain) - buffer.tell()))
                elif kind == _ACK and acked is None:
                    acked = pull_ack_frame(buffer)
                elif kind != _PADDING:
                    return None
        except (BufferReadError, ValueError):
            return None
        if not datagrams:
            return None
        space = self._spaces[_ONE_RTT]
        if acked is not None:
            ranges, delay = acked
            self._loss.on_ack_received(
                ack_rangeset=ranges,
                ack_delay=(delay << self._remote_ack_delay_exponent) / 1_000_000,
                now=now,
                space=space,
            )
        self._events.extend(DatagramFrameReceived(data=data) for data in datagrams)
        self._unacked_datagrams = 1 if space.ack_at is None else self._unacked_datagrams + 1
        if self._unacked_datagrams >= DATAGRAMS_UNACKED_MAX:
            return ACK_DELAY_S
        return DATAGRAM_ACK_DELAY_S if self.peer_spares_probes else PLAIN_ACK_DELAY_S

    def _send_datagrams(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """All waiting datagrams in one packet, with the ACK that waits; empty, with nothing changed, when they do not
        fit one or may not leave now. The caller has seen that nothing else is to be sent."""
        loss, space, path = self._loss, self._spaces[_ONE_RTT], self._network_paths[0]
        keys = self._cryptos[_ONE_RTT].send
        head = bytes((0x40 | self._spin_bit << 5 | keys.key_phase << 2 | 1,)) + self._peer_cid.cid
        room = self._max_datagram_size - len(head) - 2 - TAG_BYTES
        frames = b"".join(_datagram_frame(data) for data in self._datagrams_pending)
        handlers: tuple[Any, ...] = ()
        if space.ack_at is not None and len(space.ack_queue):
            if len(space.ack_queue) > ACK_RANGES_MAX:
                return []
            buffer = Buffer(capacity=ACK_BYTES_MAX)
            buffer.push_uint8(_ACK)
            waited_us = int((now - space.largest_received_time) * 1_000_000)  # type: ignore[operator]
            push_ack_frame(buffer, space.ack_queue, waited_us >> self._local_ack_delay_exponent, ACK_BYTES_MAX)
            frames = buffer.data + frames
            handlers = ((self._on_ack_delivery, (space, space.largest_received_packet)),)
        size = len(head) + 2 + len(frames) + TAG_BYTES
        if len(frames) > room or loss.congestion_window - loss.bytes_in_flight < size:
            return []
        self._pacing_at = None
        if self.pacer.next_send_time(now) is not None:
            return []
        number = self._packet_number
        header = head + (number & 0xFFFF).to_bytes(2, "big")
        datagram = keys.hp.apply(header, keys.aead.encrypt(frames, header, number))  # type: ignore[union-attr]
        packet = _Beat(number, now, size, handlers)
        space.sent_packets[number] = packet  # type: ignore[assignment]
        loss._cc.on_packet_sent(packet=packet)  # type: ignore[arg-type]
        self.pacer.update_after_send(now)
        self._packet_number = number + 1
        self._datagrams_pending.clear()
        if handlers:
            space.ack_at = None
        path.bytes_sent += size
        if not self._ack_eliciting_sent_since_receipt:
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = True
        return [(datagram, path.addr)]


def _datagram_frame(data: bytes) -> bytes:
    """With its length (RFC 9221, 4)."""
    size = len(data)
    length = bytes((size,)) if size < 0x40 else (size | 0x4000).to_bytes(2, "big")
    return b"\x31" + length + data
