"""A short way through aioquic for the packet that is nearly all traffic: 1-RTT, stream data, nothing else.

Wire format, recovery and state are aioquic's. Received packets with only STREAM frames (and padding) of open
streams, and outgoing packets with only stream data, are read and built here in one pass; everything else (long
headers, ACK frames, key updates, FIN, resets, control frames, migration, garbage) goes to the inherited method,
before any state has changed. Measured: about a third of the CPU per packet (bench/link.py).

Like quic_core.py this touches private names; `self_check` runs its handshake over this class, too, and tests hold it
equal to the plain class under loss, reordering, duplication and key updates.
"""

from __future__ import annotations

from typing import Any, Final

import aioquic
from aioquic import tls
from aioquic._crypto import CryptoError
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnectionState
from aioquic.quic.packet import QuicPacketType, QuicStreamFrame, decode_packet_number
from aioquic.quic.recovery import MAX_ACK_RANGES
from aioquic.quic.stream import QuicStream

from arqonmesh.net.quic_core import MeshQuic, NetworkAddress
from arqonmesh.net.quic_datagrams import DatagramQuic

TESTED_VERSIONS: Final = ("1.7.2",)
"""The releases of aioquic whose own methods these were written beside; with others the plain class is used."""
TAG_BYTES: Final = 16
_ONE_RTT: Final = tls.Epoch.ONE_RTT
_RANGES: Final = "_RangeSet__ranges"
_VARINT_BYTES: Final = (1, 2, 4, 8)
_VARINT_MASK: Final = (0x3F, 0x3FFF, 0x3FFF_FFFF, 0x3FFF_FFFF_FFFF_FFFF)


class _Sent:
    """What recovery keeps of a packet in flight: aioquic's QuicSentPacket with the constant fields on the class."""

    __slots__ = ("delivery_handlers", "packet_number", "sent_bytes", "sent_time")

    epoch = _ONE_RTT
    in_flight = True
    is_ack_eliciting = True
    is_crypto_packet = False
    packet_type = QuicPacketType.ONE_RTT
    quic_logger_frames = ()

    def __init__(self, number: int, now: float, size: int, handlers: list[Any]) -> None:
        self.packet_number = number
        self.sent_time = now
        self.sent_bytes = size
        self.delivery_handlers = handlers


class FastQuic(DatagramQuic):
    """MeshQuic with short paths. Same wire, same events, less CPU."""

    def __init__(
        self,
        *,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self._id_end = 1 + configuration.connection_id_length
        self._idle_at = -1.0
        self.fast_received = 0
        self.fast_sent = 0
        """Packets that took the short way."""

    # --- receiving ----------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        if not (
            data[0] & 0x80 == 0
            and self._handshake_confirmed
            and self._state is QuicConnectionState.CONNECTED
            and not self._close_pending
            and len(data) >= self._id_end + 4 + TAG_BYTES
            and data[1 : self._id_end] == self.host_cid
            and self._receive_fast(data, addr, now)
        ):
            super().receive_datagram(data, addr, now)
            if self._handshake_confirmed:  # what this may have brought does not wait as an ACK of datagrams does
                ack_at = self._spaces[_ONE_RTT].ack_at
                if ack_at is not None and ack_at > now + self._ack_delay:
                    self._spaces[_ONE_RTT].ack_at = now + self._ack_delay

    def _receive_fast(self, data: bytes, addr: NetworkAddress, now: float) -> bool:
        """Take a packet of stream data or of datagrams; False, with nothing changed, when it is neither."""
        path = self._network_paths[0]
        if path.addr != addr or not path.is_validated or self._quic_logger is not None:
            return False
        keys = self._cryptos[_ONE_RTT].recv
        space = self._spaces[_ONE_RTT]
        try:
            header, truncated = keys.hp.remove(data, self._id_end)  # type: ignore[union-attr]
            first = header[0]
            if first & 0x18 or (first & 4) >> 2 != keys.key_phase:
                return False
            number = decode_packet_number(truncated, 8 * ((first & 3) + 1), space.expected_packet_number)
            plain = keys.aead.decrypt(data[len(header) :], header, number)  # type: ignore[union-attr]
        except CryptoError:
            return False
        if number in space.received_packets or not plain:
            return False
        frames = self._read_stream_frames(plain)
        if frames:
            self._take_frames(frames)
            ack_delay_s = self._ack_delay
        else:
            may_wait_s = self._take_datagrams(plain, now)
            if may_wait_s is None:
                return False
            ack_delay_s = may_wait_s

        # From here on as in the inherited method, for a packet that elicits an ACK on the active path.
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > self._spin_highest_pn:
            self._spin_bit = bool(first & 0x20) != self._is_client
            self._spin_highest_pn = number
        if now != self._idle_at:
            self._idle_at = now
            self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False
        if number > space.largest_received_packet:
            space.largest_received_packet = number
            space.largest_received_time = now
        ranges: list[range] = getattr(space.ack_queue, _RANGES)
        if ranges and ranges[-1].stop == number:
            ranges[-1] = range(ranges[-1].start, number + 1)
        else:
            space.ack_queue.add(number)
            if len(ranges) > MAX_ACK_RANGES:
                space.ack_queue.shift()
        space.received_packets.add(number)
        if space.ack_at is None or space.ack_at > now + ack_delay_s:
            space.ack_at = now + ack_delay_s
        self.fast_received += 1
        return True

    def _read_stream_frames(self, plain: bytes) -> list[tuple[QuicStream, int, bytes]]:
        """(stream, offset, data) of each frame; empty when there is any other kind of frame, or any doubt."""
        frames: list[tuple[QuicStream, int, bytes]] = []
        at, end = 0, len(plain)
        fresh = self._local_max_data.value - self._local_max_data.used
        try:
            while at < end:
                kind = plain[at]
                at += 1
                if kind == 0:
                    continue
                if kind & 0xF9 != 0x08:  # STREAM without FIN
                    return []
                size = _VARINT_BYTES[plain[at] >> 6]
                stream_id = int.from_bytes(plain[at : at + size], "big") & _VARINT_MASK[plain[at] >> 6]
                at += size
                offset = 0
                if kind & 4:
                    size = _VARINT_BYTES[plain[at] >> 6]
                    offset = int.from_bytes(plain[at : at + size], "big") & _VARINT_MASK[plain[at] >> 6]
                    at += size
                stop = end
                if kind & 2:
                    size = _VARINT_BYTES[plain[at] >> 6]
                    length = int.from_bytes(plain[at : at + size], "big") & _VARINT_MASK[plain[at] >> 6]
                    at += size
                    stop = at + length
                stream = self._streams.get(stream_id)
                fresh -= stop - at
                if (
                    stop > end
                    or stream is None
                    or fresh < 0
                    or offset + stop - at > stream.max_stream_data_local
                    or stream.receiver._final_size is not None
                    or stream.receiver.is_finished
                ):
                    return []
                frames.append((stream, offset, plain[at:stop]))
                at = stop
        except IndexError:
            return []
        return frames

    def _take_frames(self, frames: list[tuple[QuicStream, int, bytes]]) -> None:
        for stream, offset, data in frames:
            receiver = stream.receiver
            stop = offset + len(data)
            if stop > receiver.highest_offset:
                self._local_max_data.used += stop - receiver.highest_offset
            if offset == receiver._buffer_start and data and not receiver._buffer:
                receiver._buffer_start = stop
                if stop > receiver.highest_offset:
                    receiver.highest_offset = stop
            else:
                event = receiver.handle_frame(QuicStreamFrame(data=data, offset=offset))
                if event is None:
                    continue
                data = event.data
            self._bring(stream.stream_id or 0, data)

    # --- sending ------------------------------------------------------------------------------------------

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        ready = self._only_data(now)
        if ready is not None:
            if ready and not self._datagrams_pending:
                return self._send_fast(ready, now)
            if self._datagrams_pending and not ready:
                sent = self._send_datagrams(now)
                self.fast_sent += len(sent)
                if sent:
                    return sent
        if all(stream.sender.buffer_is_empty for stream in self._streams_queue):
            return super().datagrams_to_send(now)
        return self._send_first_slowly(now)

    def _send_first_slowly(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """One packet the long way, with the ACK, the datagrams or the control frames that stood in the way of a batch
        of stream data; the rest of the batch the short way. The long way packet by packet cost the most of a batch."""
        kept = self.pacer.hold(1)
        built = super().datagrams_to_send(now)
        self.pacer.release(kept)
        if not built or not kept:
            return built
        ready = None if self._datagrams_pending else self._only_data(now)
        return built + (self._send_fast(ready, now) if ready else super().datagrams_to_send(now))

    def _only_data(self, now: float) -> list[QuicStream] | None:
        """The streams with data to send, or none of them; None when there is anything but data to send: a control
        frame, or an ACK that no datagram takes along."""
        if (
            not self._handshake_confirmed
            or self._state is not QuicConnectionState.CONNECTED
            or self._close_pending
            or self._probe_pending
            or self._ping_pending
            or self._handshake_done_pending
            or self._retire_connection_ids
            or self._streams_blocked_pending
            or self._quic_logger is not None
            or len(self._network_paths) != 1
        ):
            return None
        path = self._network_paths[0]
        space = self._spaces[_ONE_RTT]
        crypto = self._cryptos[_ONE_RTT]
        data_limit = self._local_max_data
        if (
            not path.is_validated
            or path.remote_challenges
            or crypto._update_key_requested
            or (not self._datagrams_pending and space.ack_at is not None and space.ack_at <= now)
            or data_limit.used * 2 > data_limit.value
            or data_limit.value != data_limit.sent
            or not self._crypto_streams[_ONE_RTT].sender.buffer_is_empty
            or any(not connection_id.was_sent for connection_id in self._host_cids)
        ):
            return None
        ready: list[QuicStream] = []
        for stream in self._streams_queue:
            sender, receiver = stream.sender, stream.receiver
            if (
                stream.is_blocked
                or sender._buffer_fin is not None
                or sender.reset_pending
                or receiver.stop_pending
                or receiver.is_finished
                or receiver.highest_offset * 2 > stream.max_stream_data_local
                or stream.max_stream_data_local_sent != stream.max_stream_data_local
            ):
                return None
            if not sender.buffer_is_empty:
                ready.append(stream)
        return ready

    def _send_fast(self, ready: list[QuicStream], now: float) -> list[tuple[bytes, NetworkAddress]]:
        self._pacing_at = None
        loss, control = self._loss, self._loss._cc
        path, space, keys = self._network_paths[0], self._spaces[_ONE_RTT], self._cryptos[_ONE_RTT].send
        pacer, size_max = self.pacer, self._max_datagram_size
        encrypt, protect = keys.aead.encrypt, keys.hp.apply  # type: ignore[union-attr]
        address, in_flight = path.addr, space.sent_packets
        head = bytes((0x40 | self._spin_bit << 5 | keys.key_phase << 2 | 1,)) + self._peer_cid.cid
        room = size_max - len(head) - 2 - TAG_BYTES
        number = self._packet_number
        datagrams: list[tuple[bytes, NetworkAddress]] = []
        while ready and loss.congestion_window - loss.bytes_in_flight >= size_max:
            self._pacing_at = pacer.next_send_time(now)
            if self._pacing_at is not None:
                break
            payload, handlers = self._fill(ready, room)
            if not payload:
                break
            header = head + (number & 0xFFFF).to_bytes(2, "big")
            datagram = protect(header, encrypt(payload, header, number))
            size = len(datagram)
            packet = _Sent(number, now, size, handlers)
            in_flight[number] = packet  # type: ignore[assignment]
            control.on_packet_sent(packet=packet)  # type: ignore[arg-type]
            pacer.update_after_send(now)
            datagrams.append((datagram, address))
            path.bytes_sent += size
            number += 1
        if datagrams:
            self._packet_number = number
            space.ack_eliciting_in_flight += len(datagrams)
            loss._time_of_last_sent_ack_eliciting_packet = now
            if not self._ack_eliciting_sent_since_receipt:
                self._close_at = now + self._idle_timeout()
                self._ack_eliciting_sent_since_receipt = True
            self.fast_sent += len(datagrams)
        return datagrams

    def _fill(self, ready: list[QuicStream], room: int) -> tuple[bytes, list[Any]]:
        """The payload of one packet, streams in turn, and who is told of its delivery."""
        parts: list[bytes | bytearray] = []
        handlers: list[Any] = []
        for stream in list(ready) if len(ready) > 1 else ready[:1]:
            sender = stream.sender
            ranges: list[range] = getattr(sender._pending, _RANGES)
            if not ranges:
                sender.buffer_is_empty = True
                ready.remove(stream)
                continue
            pending = ranges[0]
            start = pending.start
            head = _stream_head(stream.stream_id or 0, start)
            limit = min(
                sender.highest_offset + self._remote_max_data - self._remote_max_data_used,
                stream.max_stream_data_remote,
            )
            stop = min(pending.stop, start + room - len(head) - 2, limit)
            if stop <= start:
                ready.remove(stream)
                continue
            base = sender._buffer_start
            parts += (head, (stop - start | 0x4000).to_bytes(2, "big"), sender._buffer[start - base : stop - base])
            handlers.append((sender.on_data_delivery, (start, stop, False)))
            if stop == pending.stop:
                del ranges[0]
                if not ranges:
                    sender.buffer_is_empty = True
                    ready.remove(stream)
            else:
                ranges[0] = range(stop, pending.stop)
            if stop > sender.highest_offset:
                self._remote_max_data_used += stop - sender.highest_offset
                sender.highest_offset = stop
            room -= len(head) + 2 + stop - start
            if room < 64:
                break
        if len(ready) > 1:
            ready.append(ready.pop(0))
        return b"".join(parts), handlers


def _stream_head(stream_id: int, offset: int) -> bytes:
    """Type, stream id and offset of a STREAM frame with a length (RFC 9000, 19.8)."""
    if not offset:
        return b"\x0a" + _varint(stream_id)
    return b"\x0e" + _varint(stream_id) + _varint(offset)


def _varint(value: int) -> bytes:
    if value < 0x40:
        return bytes((value,))
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value < 0x4000_0000:
        return (value | 0x8000_0000).to_bytes(4, "big")
    return (value | 0xC000_0000_0000_0000).to_bytes(8, "big")


def quic_class(*, fast: bool) -> type[MeshQuic]:
    """The class for new connections: the fast one where it is wanted and aioquic is a release it was tested with."""
    return FastQuic if fast and aioquic.__version__ in TESTED_VERSIONS else MeshQuic
