"""One QUIC connection as the driver sees it: feed, drain, flush, and one deadline.

Sans-IO. `now` is seconds on the caller's monotonic clock; nothing here reads a clock or sends.

    HANDSHAKING --HandshakeCompleted--> OPEN --close, peer's close, silence--> ENDING --quiet time--> GONE

The loop that its user writes:

    connection.receive(datagram, path, now)      # any number of them
    arrived = connection.drain()                 # what they brought
    ...                                          # write(), send_datagram(), close()
    send(connection.flush(now))                  # once per tick
    wake_me_at(connection.deadline())            # then connection.on_timer(now), and flush again
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aioquic.quic import events

from arqonmesh.net.quic_core import MeshQuic
from arqonmesh.net.udp import PathAddr

KEEPALIVE_S: Final = 10.0
"""After this much silence a PING is sent, so that an idle link does not meet QUIC's idle timeout."""
KEY_UPDATE_PACKETS: Final = 4_000_000
"""Packets under one key. AES-GCM is good for 2^23 (RFC 9001, 6.6), and aioquic does not count."""
HAND_OVER_BYTES: Final = 128 << 10
"""Most bytes handed to QUIC ahead of what it could put into packets: two batches."""
REASSEMBLY_BYTES_MAX: Final = 8 << 20
"""Most bytes kept behind a gap in a stream: four of our largest windows. A peer that wants more means harm."""
ACK_PACKETS: Final = 16
"""So many packets of one tick are acknowledged in its flush; fewer wait for company."""
CLOSE_CODE: Final = 0x41
"""Application error code of every close that we send; the reason phrase says the rest."""
REASON_BYTES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a connection ended. `code` is QUIC's error code; `reason` the phrase, of either side."""

    code: int
    reason: str
    by_peer: bool


@dataclass(slots=True)
class Arrived:
    """What one round of datagrams brought."""

    handshake: bool = False
    """The TLS handshake is complete as of now."""
    streams: dict[int, list[bytes]] = field(default_factory=dict)
    """In-order bytes per stream."""
    ended: list[int] = field(default_factory=list)
    """Streams whose peer's side ended or was reset."""
    datagrams: list[bytes] = field(default_factory=list)
    issued: list[bytes] = field(default_factory=list)
    """Connection ids that now lead here, to be routed."""
    retired: list[bytes] = field(default_factory=list)
    closed: Closed | None = None
    """Set once, in the first drain after the end."""


class Connection:
    """A QuicConnection with its counters."""

    __slots__ = (
        "_acked_packets",
        "_broken",
        "_close_packets",
        "_closed_told",
        "_key_packets",
        "_late_datagrams",
        "_pinged_at",
        "bytes_received",
        "bytes_sent",
        "connection_ids",
        "more",
        "opened_at",
        "outbound",
        "packets_received",
        "packets_sent",
        "path",
        "quic",
    )

    def __init__(self, quic: MeshQuic, path: PathAddr, *, outbound: bool, now: float) -> None:
        self.quic = quic
        self.path = path
        self.outbound = outbound
        self.opened_at = now
        self.connection_ids: set[bytes] = {quic.host_cid}
        self.more = False
        """The last flush was cut at a batch; flush again in the next tick."""
        self.bytes_sent = self.bytes_received = 0
        self.packets_sent = self.packets_received = 0
        self._pinged_at = now
        self._acked_packets = 0
        self._key_packets = 0
        self._closed_told = False
        self._close_packets: list[tuple[PathAddr, list[bytes]]] = []
        self._late_datagrams = 0
        self._broken = ""

    # --- in -----------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, path: PathAddr, now: float) -> None:
        """Take one datagram. Garbage is dropped by QUIC; what breaks QUIC itself ends this connection only."""
        self.packets_received += 1
        self.bytes_received += len(datagram)
        if self.quic.ending:
            self._late_datagrams += 1
            return
        try:
            self.quic.receive_datagram(datagram, path, now)
        except Exception as error:  # one peer's bytes must not end the loop that serves all others
            self.close(f"link.quic-error: {type(error).__name__}")

    def drain(self) -> Arrived:
        """What came since the last call."""
        if not self.quic.ending and self.quic.reassembly_bytes() > REASSEMBLY_BYTES_MAX:
            self.close(f"link.reassembly: more than {REASSEMBLY_BYTES_MAX} bytes behind a gap in a stream")
        arrived = Arrived()
        if self.quic.brought:
            arrived.streams, self.quic.brought = self.quic.brought, {}
        next_event = self.quic.next_event
        while (event := next_event()) is not None:
            if isinstance(event, events.StreamDataReceived):
                self._take_stream(arrived, event)
            elif isinstance(event, events.DatagramFrameReceived):
                arrived.datagrams.append(event.data)
            elif isinstance(event, events.HandshakeCompleted):
                arrived.handshake = True
            elif isinstance(event, events.ConnectionIdIssued):
                self.connection_ids.add(event.connection_id)
                arrived.issued.append(event.connection_id)
            elif isinstance(event, events.ConnectionIdRetired):
                self.connection_ids.discard(event.connection_id)
                arrived.retired.append(event.connection_id)
            elif isinstance(event, events.StreamReset | events.StopSendingReceived):
                arrived.ended.append(event.stream_id)
        if self._broken and not self._closed_told:
            self._closed_told = True
            arrived.closed = Closed(0, self._broken, False)
        elif not self._closed_told and (why := self.quic.close_event) is not None:
            self._closed_told = True
            arrived.closed = Closed(why.error_code, why.reason_phrase, self.quic.closed_by_peer)
        return arrived

    @staticmethod
    def _take_stream(arrived: Arrived, event: events.StreamDataReceived) -> None:
        if event.data:
            chunks = arrived.streams.get(event.stream_id)
            if chunks is None:
                arrived.streams[event.stream_id] = [event.data]
            else:
                chunks.append(event.data)
        if event.end_stream:
            arrived.ended.append(event.stream_id)

    # --- out ----------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Stream bytes worth handing over now: what the window takes, less what QUIC already holds unsent.

        Nothing waits inside QUIC while the window is full, so a control frame that comes later still leaves first.
        """
        quic = self.quic
        if quic.ending:
            return 0
        return min(quic.room_bytes, HAND_OVER_BYTES) - quic.unsent_bytes()

    def has_stream(self, stream_id: int) -> bool:
        return self.quic.has_stream(stream_id)

    def datagrams_waiting(self) -> int:
        return self.quic.datagrams_waiting

    def write(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        if not self.quic.ending:
            self.quic.send_stream_data(stream_id, data, end)

    def send_datagram(self, data: bytes) -> None:
        """The caller has checked the size: one that fits no packet would block all later ones for ever."""
        if not self.quic.ending:
            self.quic.send_datagram_frame(data)

    def flush(self, now: float) -> list[tuple[PathAddr, list[bytes]]]:
        """The datagrams of this tick by destination, nearly always one; at most one batch."""
        quic = self.quic
        closing = quic.close_pending
        self.more = False  # what the last flush left no longer counts when the end came in between
        if quic.ending and not closing:
            return self._repeat_close()
        if self.packets_received - self._acked_packets >= ACK_PACKETS:
            self._acked_packets = self.packets_received
            quic.hasten_ack(now)
        quic.pacer.open_batch()
        try:
            built: list[tuple[bytes, PathAddr]] = quic.datagrams_to_send(now)
        except Exception as error:  # the same: it can build nothing more, the others can
            self._broken = f"link.quic-error: {type(error).__name__}: {error}"
            return []
        self.more = quic.pacer.cut and not closing
        if not built:
            return []
        groups: list[tuple[PathAddr, list[bytes]]] = []
        path: PathAddr | None = None
        run: list[bytes] = []
        size = 0
        for datagram, to in built:
            if to is not path:
                path, run = to, []
                groups.append((path, run))
            run.append(datagram)
            size += len(datagram)
        self.packets_sent += len(built)
        self.bytes_sent += size
        self._count_for_key(len(built))
        if closing:
            self._close_packets = groups
        return groups

    def close(self, reason: str) -> None:
        """End it with a reason that the other side shows. Repeats are harmless."""
        self.quic.close(error_code=CLOSE_CODE, reason_phrase=_cut(reason))

    def _repeat_close(self) -> list[tuple[PathAddr, list[bytes]]]:
        """Who still sends did not get our close: say it again for the 1st, 2nd, 4th, 8th ... of its datagrams."""
        late, self._late_datagrams = self._late_datagrams, 0
        if not late or not self._close_packets or self.quic.closed_by_peer:
            return []
        before = self.packets_received - late
        if before.bit_length() == self.packets_received.bit_length():
            return []
        return self._close_packets

    def _count_for_key(self, packets: int) -> None:
        self._key_packets += packets
        # Only the dialling side asks, so that the two do not update at the same moment.
        if self._key_packets >= KEY_UPDATE_PACKETS and self.outbound:
            self._key_packets = 0
            self.quic.request_key_update()
            # The packet that carries the new phase must be repeated when it is lost; an ACK would not be.
            self.quic.send_ping(0)

    # --- time ---------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_timer` wants to be called, in seconds on the caller's clock; None once it is gone."""
        at = self.quic.get_timer()
        if at is None or self.quic.ending or self._broken:
            return at
        return min(at, self._quiet_since() + KEEPALIVE_S)

    def on_timer(self, now: float) -> None:
        """The deadline passed. Harmless when early or repeated."""
        at = self.quic.get_timer()
        if at is not None and now >= at:
            self.quic.handle_timer(now)
        if not self.quic.ending and now - self._quiet_since() >= KEEPALIVE_S:
            self._pinged_at = now
            self.quic.send_ping(0)

    def _quiet_since(self) -> float:
        # Only what could be decrypted counts: after a key update that the peer has not seen, nothing can be.
        return max(self.quic.heard_at, self._pinged_at)

    @property
    def untold_end(self) -> bool:
        """It has ended, and no drain has said so yet."""
        return (self.quic.ending or bool(self._broken)) and not self._closed_told

    @property
    def gone(self) -> bool:
        """Nothing will come of it any more: forget it and its connection ids."""
        return self.quic.terminated or bool(self._broken)


def _cut(reason: str) -> str:
    return reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
