"""The bus over WebSocket (RFC 6455): JSON in text frames, or CBOR in binary ones where `arqon.v1.cbor` was agreed.

Frames for clients are framed once per audience and tick into one buffer, and each client is written to once per
tick. What a client may do to others is bounded here: unsent bytes, frame size, silence, half-done handshakes.

| what a client does                     | what happens                        | reason in `Dropped` |
|----------------------------------------|-------------------------------------|---------------------|
| stops reading                          | `bus.slow.policy`, else 1008        | slow-client         |
| sends a giant frame                    | 1009                                | frame-too-large     |
| sends bytes that are no WebSocket      | 1002                                | protocol-error      |
| sends a binary frame, or text as CBOR  | 1003                                | binary-frame, text- |
| sends text that is not UTF-8           | 1007                                | not-utf8            |
| takes an encoding that fails           | 1011                                | unencodable         |
| vanishes without closing               | 1011 when a ping stays unanswered   | half-open           |
| does not finish its handshake          | HTTP 408 after 5 s                  | handshake-slow      |
| is one of too many in their handshake  | HTTP 503 for the oldest             | handshakes-max      |
| has too many connections already       | HTTP 429                            | connections         |
| is turned away at its handshake        | HTTP 4xx, see handshake.py          | auth, origin, ...   |
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.deflate import inflate
from arqonmesh.bridge.encoding import Encoding, encoding_of
from arqonmesh.bridge.framing import append_text_frames
from arqonmesh.bridge.handshake import Admitted, TurnedAway, judge
from arqonmesh.bridge.picows_server import Acceptor
from arqonmesh.bridge.port import BusPort
from arqonmesh.bridge.slow.backlog import Backlog
from arqonmesh.bridge.slow.keeper import SlowKeeper
from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.bus.limits import TOO_MUCH
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import Dropped
from arqonmesh.core.histogram import Histogram
from arqonmesh.errors import ConfigError
from arqonmesh.ids import ClientId

PING_INTERVAL_S: Final = 20.0
PONG_TIMEOUT_S: Final = 20.0
"""ArqonBus pings after 20 s and waits 20 s, and so do the `websockets` library's clients."""
MEASURE_EVERY_S: Final = 60.0
"""Clients that are heard anyway are pinged so often, for the round trip alone, and at most so many per sweep."""
MEASURED_PER_SWEEP_MAX: Final = 200
CLOSE_GRACE_S: Final = 2.0
"""How long a client has to read its close frame and answer it."""
SLOW_GRACE_S: Final = 20.0
"""The same for one that is cut off because it does not read: what is on its way to it comes before the frame."""
UNSENT_BYTES_MAX: Final = 256 << 20
"""Over all clients together; beyond it the slowest goes first."""
FRAGMENTS_MAX: Final = 1_024
"""Frames per message: an empty fragment costs its sender a few bytes and us an entry."""
_REASON_BYTES_MAX: Final = 123
_CLOSE_CODE_MIN: Final = 1_000
_NEVER_SENT: Final = (1_004, 1_005, 1_006, 1_015)
"""Close codes that only say something on the spot (RFC 6455, 7.4.1)."""
_PICOWS_CLOSES: Final = {
    WSCloseCode.MESSAGE_TOO_BIG: "frame-too-large",
    WSCloseCode.PROTOCOL_ERROR: "protocol-error",
    WSCloseCode.INVALID_TEXT: "protocol-error",
}

_log = logging.getLogger("arqonmesh.bridge.websocket")


@dataclass(frozen=True, slots=True)
class ClientLook:
    """One client as the server sees it."""

    client: ClientId
    address: str
    in_per_s: float
    out_bytes_per_s: float
    queue_bytes: int
    lost: int
    slow_ms: int


class _Segment:
    """Frames of one audience and tick: the parts, joined once when the first client is written to."""

    __slots__ = ("_encoded", "_joined", "audience", "parts")

    def __init__(self, audience: tuple[ClientId, ...]) -> None:
        self.audience = audience
        self.parts: list[bytes] = []
        self._joined: bytes | None = None
        self._encoded: dict[Encoding, bytes] | None = None

    @property
    def messages(self) -> int:
        return len(self.parts) >> 1

    def data(self) -> bytes:
        if self._joined is None:
            self._joined = b"".join(self.parts)
        return self._joined

    def data_as(self, encoding: Encoding) -> bytes:
        """For clients that take something else than JSON in plain text frames; made once for all of them."""
        if self._encoded is None:
            self._encoded = {}
        if encoding not in self._encoded:
            self._encoded[encoding] = encoding.frames(self.parts[1::2])
        return self._encoded[encoding]


class BusServer:
    """All bus clients of a node. `deliver`, `throttle` and `close_client` perform the bus core's effects."""

    def __init__(
        self,
        port: BusPort,
        settings: BusSettings,
        *,
        authenticator: Authenticator | None = None,
        ping_interval_s: float = PING_INTERVAL_S,
        pong_timeout_s: float = PONG_TIMEOUT_S,
        unsent_bytes_max: int = UNSENT_BYTES_MAX,
        spill_folder: Path | None = None,
    ) -> None:
        self.port = port
        self.counters: Counter[str] = Counter()
        """frames_in, frames_out, bytes_out, and one per reason of the table above."""
        self.written = Histogram()
        """Microseconds from reading clients' frames to having written what they caused; once per tick."""
        self.round_trips = Histogram()
        """Microseconds from a ping to its pong."""
        self.read_at_ns = 0
        """When the first of the frames was read that wait to be written; 0 when none wait."""
        self._measures_left = 0
        self._settings = settings
        self._authenticator = authenticator or Authenticator(settings)
        self._ping_interval_s = ping_interval_s
        self._pong_timeout_s = pong_timeout_s
        self._unsent_bytes_max = unsent_bytes_max
        self._unsent_bytes = 0
        self._slow = SlowKeeper(
            settings,
            self.counters,
            clock_s=time.monotonic,
            cut_off=self._too_slow,
            dropped=port.dropped,
            spill_folder=spill_folder,
        )
        self._acceptor = Acceptor(
            self._accept, self._refused, settings.frame_bytes_max, per_address_max=settings.connections_per_address_max
        )
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[ClientId, _Connection] = {}
        self._dirty: list[_Connection] = []
        self._open_segment: _Segment | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._closing = False

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises ConfigError when the address cannot be had, or would let anyone in by accident."""
        self._authenticator.check_listen(host, "listen.bus")
        self._loop = asyncio.get_running_loop()
        try:
            self._server = await self._acceptor.listen(host, port)
        except OSError as wrong:
            raise ConfigError(
                "bus.listen",
                f"the bus cannot listen on {host}:{port}: {wrong.strerror or wrong}",
                hint="set listen.bus in arqon.yaml to a free HOST:PORT",
            ) from wrong
        self._sweep_later()

    def adopt(self, settings: BusSettings) -> None:
        """Other settings from now on, the hot ones; origins and compression count from the next handshake."""
        self._settings = settings
        self._acceptor.per_address_max = settings.connections_per_address_max
        self._slow.adopt(settings)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; the port that was taken when 0 was asked for."""
        assert self._server is not None
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    @property
    def client_count(self) -> int:
        return len(self._connections)

    def unsent_bytes(self) -> int:
        """Bytes waiting for clients to read, all together."""
        return sum(connection.waiting_bytes() for connection in self._connections.values())

    async def close(self, reason: str = "the node stops") -> None:
        """Say 1001 to everyone, give them a moment, and be gone."""
        self._closing = True  # a handshake that is under way would make a client that nobody waits to be rid of
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._flush()
        for connection in list(self._connections.values()):
            connection.close(WSCloseCode.GOING_AWAY, reason)
            connection.leave_within(CLOSE_GRACE_S)  # whoever is closing already, too
        if self._connections:
            self._emptied = asyncio.Event()
            await self._emptied.wait()  # each connection aborts itself after CLOSE_GRACE_S

    # --- effects ---------------------------------------------------------------------------------------------

    def deliver(self, clients: tuple[ClientId, ...], frames: tuple[bytes, ...]) -> None:
        """Queue these frames for these clients; written at the end of the tick, in the order of the calls."""
        segment = self._open_segment
        if segment is None or (segment.audience is not clients and segment.audience != clients):
            segment = self._open_segment = _Segment(clients)
            find = self._connections.get
            for client in clients:
                connection = find(client)
                if connection is not None and not connection.closing:
                    if not connection.out:
                        if not self._dirty:
                            assert self._loop is not None
                            self._loop.call_soon(self._flush)
                        self._dirty.append(connection)
                    connection.out.append(segment)
        append_text_frames(segment.parts, frames)
        self.counters["frames_out"] += len(frames) * len(clients)

    @property
    def nothing_waits(self) -> bool:
        """Whether no client is to be written to at the end of this tick."""
        return not self._dirty

    def unsent_bytes_of(self, client: ClientId) -> int:
        """Bytes waiting for this client to read."""
        connection = self._connections.get(client)
        return 0 if connection is None else connection.waiting_bytes()

    def may_measure(self) -> bool:
        """A ping for the round trip alone is one of few, so that thousands of clients make no pause."""
        self._measures_left -= 1
        return self._measures_left >= 0

    def round_trip_us(self, client: ClientId) -> int:
        """Of the client's newest pong; 0 before the first."""
        connection = self._connections.get(client)
        return 0 if connection is None else connection.round_trip_us

    def looks(self) -> Iterator[ClientLook]:
        """Every client as the server sees it; rates since the last sweep."""
        assert self._loop is not None
        now_s = self._loop.time()
        for connection in self._connections.values():
            at_s, frames_in, bytes_out = connection.mark
            passed_s = max(now_s - at_s, 0.001)
            spilled = 0 if connection.backlog is None else connection.backlog.spilled_bytes
            slow_since_s = connection.slow_since_s
            yield ClientLook(
                client=connection.client,
                address=connection.address,
                in_per_s=(connection.frames_in - frames_in) / passed_s,
                out_bytes_per_s=(connection.bytes_out - bytes_out) / passed_s,
                queue_bytes=connection.waiting_bytes() + spilled,
                lost=connection.lost,
                slow_ms=0 if slow_since_s is None else max(1, int((time.monotonic() - slow_since_s) * 1_000)),
            )

    def throttle(self, clients: tuple[ClientId, ...], paused: bool) -> None:
        """Stop or go on reading from these clients."""
        for client in clients:
            connection = self._connections.get(client)
            if connection is not None:
                connection.pause(paused)

    def close_client(self, client: ClientId, code: int, reason: str) -> None:
        """Close with this code after what is queued has been written."""
        connection = self._connections.get(client)
        if connection is not None:
            self._flush()
            connection.close(code, reason)

    def _flush(self) -> None:
        """One write per client that something was queued for."""
        dirty, self._dirty = self._dirty, []
        self._open_segment = None
        slow, hold_bytes = self._slow, self._slow.hold_bytes
        written = 0
        for connection in dirty:
            segments, connection.out = connection.out, []
            if connection.closing:
                continue
            encoding = connection.encoding
            if encoding is not None:
                try:
                    data = b"".join([part.data_as(encoding) for part in segments])
                except Exception:
                    self._cannot_say(connection)
                    continue
            else:
                data = segments[0].data() if len(segments) == 1 else b"".join([part.data() for part in segments])
            if connection.backlog is not None:
                slow.hold(connection, data, sum([segment.messages for segment in segments]))
                self._recount_one(connection)
                continue
            raw = connection.raw
            raw.write(data)
            size = len(data)
            written += size
            connection.bytes_out += size
            unsent = raw.get_write_buffer_size()
            if unsent or connection.unsent:
                self._unsent_bytes += unsent - connection.unsent
                connection.unsent = unsent
                if unsent > hold_bytes:
                    slow.begin(connection, unsent)
        self.counters["bytes_out"] += written
        if self.read_at_ns:
            self.written.record((time.perf_counter_ns() - self.read_at_ns) // 1_000)
            self.read_at_ns = 0
        if self._unsent_bytes > self._unsent_bytes_max:
            self._recount()

    def _cannot_say(self, connection: _Connection) -> None:
        """The client is told to come back for it; the others of the tick get theirs."""
        _log.exception("a message cannot be written as %s takes it", connection.client)
        sentence = "the node failed to write a message as this client takes it; its log has the trace"
        self.cut_off(connection, "unencodable", WSCloseCode.INTERNAL_ERROR, sentence)

    def drain(self, connection: _Connection) -> None:
        """A client's transport is nearly empty again."""
        try:
            self.counters["bytes_out"] += self._slow.drain(connection)
        except OSError as failed:
            sentence = f"bus.slow-client: what waited on disk cannot be read: {failed.strerror or failed}"
            self.cut_off(connection, "spill-failed", WSCloseCode.INTERNAL_ERROR, sentence)
        self._recount_one(connection)

    def _recount_one(self, connection: _Connection) -> None:
        unsent = connection.waiting_bytes()
        self._unsent_bytes += unsent - connection.unsent
        connection.unsent = unsent

    def _too_slow(self, connection: _Connection, unsent: int) -> None:
        if connection.closing:
            return
        _log.warning(
            "client %s (%s) reads too slowly and is cut off: %d bytes wait; bus.slow.policy is %s",
            connection.client,
            connection.address,
            unsent,
            self._slow.policy,
        )
        self.cut_off(
            connection,
            "slow-client",
            WSCloseCode.POLICY_VIOLATION,
            f"bus.slow-client: {unsent} bytes wait to be read, more than bus.buffer_bytes_max allows",
        )
        connection.leave_within(SLOW_GRACE_S)

    def _recount(self) -> None:
        """Bring the sum of unsent bytes up to date, and cut off the slowest while it is too much."""
        by_unsent = []
        self._unsent_bytes = 0
        for connection in self._connections.values():
            connection.unsent = connection.waiting_bytes()
            self._unsent_bytes += connection.unsent
            if connection.unsent:
                by_unsent.append(connection)
        by_unsent.sort(key=lambda connection: connection.unsent)
        while by_unsent and self._unsent_bytes > self._unsent_bytes_max:
            slowest = by_unsent.pop()
            self._unsent_bytes -= slowest.unsent
            self._too_slow(slowest, slowest.unsent)
            slowest.abort()

    # --- connections -----------------------------------------------------------------------------------------

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Answer a handshake request."""
        if self._closing:
            return _answer_no(
                TurnedAway(503, "bus.stopping", "the node stops", "connect to another node of the cluster")
            )
        verdict = judge(request.path, request.headers, self._settings, self._authenticator)
        if isinstance(verdict, TurnedAway):
            if verdict.reason:
                self._refused(verdict.reason, "")
            return _answer_no(verdict)
        request.headers["Connection"] = "Upgrade"  # Firefox says "keep-alive, Upgrade", which picows would refuse
        connection = _Connection(self, verdict)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(verdict.headers()), connection)

    def _refused(self, reason: str, address: str) -> None:
        self.counters[reason] += 1
        self.port.dropped(Dropped("bridge", reason, 1, address))

    def connected(self, connection: _Connection, info: ClientInfo) -> ClientId:
        client = self.port.new_client_id()
        connection.client = client
        self._connections[client] = connection
        self.port.client_connected(client, info)
        return client

    def disconnected(self, connection: _Connection) -> None:
        if self._connections.pop(connection.client, None) is not None:
            self._unsent_bytes -= connection.unsent
            self.port.client_disconnected(connection.client)
            if self._emptied is not None and not self._connections:
                self._emptied.set()

    def cut_off(self, connection: _Connection, reason: str, code: int, sentence: str) -> None:
        """Close a client that broke a rule, and count it."""
        if not connection.closing:
            self._refused(reason, connection.client)
            connection.close(code, sentence)

    def _sweep_later(self) -> None:
        assert self._loop is not None
        self._sweeper = self._loop.call_later(self._ping_interval_s / 2, self._sweep)

    def _sweep(self) -> None:
        """Ping the silent, cut off those who did not answer, recount what waits."""
        assert self._loop is not None
        now_s = self._loop.time()
        self._measures_left = MEASURED_PER_SWEEP_MAX
        for connection in list(self._connections.values()):
            connection.look_after(now_s, self._ping_interval_s, self._pong_timeout_s)
            connection.mark = (now_s, connection.frames_in, connection.bytes_out)
        self._recount()
        self._sweep_later()


class _Connection(WSListener):  # type: ignore[misc]  # an extension class
    """One client's connection, as picows drives it."""

    def __init__(self, server: BusServer, admitted: Admitted) -> None:
        self.client = ClientId("")
        self.out: list[_Segment] = []
        self.unsent = 0
        self.backlog: Backlog | None = None
        """What waits beside the transport's own buffer; None for a client that keeps up."""
        self.slow_since_s: float | None = None
        """Since when something waits in `backlog`."""
        self.lost = 0
        """Messages dropped because the client was too slow, since it came."""
        self.frames_in = 0
        self.bytes_out = 0
        self.mark = (0.0, 0, 0)
        """(loop time, frames_in, bytes_out) at the last look: rates are counted from there."""
        self.address = ""
        self.closing = False
        self.raw: Any = None
        self._server = server
        self._admitted = admitted
        self.encoding = encoding_of(admitted.subprotocol, admitted.compressed)
        self._cbor = self.encoding is not None and self.encoding.cbor
        self._takes = WSMsgType.BINARY if self._cbor else WSMsgType.TEXT
        self._transport: WSTransport | None = None
        self._batch: list[bytes] = []
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._fragments_compressed = False
        self._paused = False
        self._heard = True
        self._heard_at_s = 0.0
        self._pinged_at_s: float | None = None
        self._measured_at_s = 0.0
        self._ping_ns = 0
        self.round_trip_us = 0
        self._grave: asyncio.TimerHandle | None = None

    # --- from picows -----------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.raw = transport.underlying_transport
        self._heard_at_s = asyncio.get_running_loop().time()
        self.mark = (self._heard_at_s, 0, 0)
        peer = self.raw.get_extra_info("peername")
        address = self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        hold_bytes = self._server._slow.hold_bytes
        self.raw.set_write_buffer_limits(high=hold_bytes, low=hold_bytes // 4)
        admitted = self._admitted
        query = admitted.query
        info = ClientInfo(
            address,
            admitted.subprotocol,
            query.get("screen_name", [admitted.name])[0],
            admitted.kind,
            query.get("personality", [""])[0],
            query.get("avatar", [""])[0],
            identity=admitted.identity,
        )
        for heads in (transport.request.headers, transport.response.headers):
            heads.clear()  # picows keeps them as long as the client; nobody reads them again
        self._server.connected(self, info)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        plain = not (frame.rsv1 or frame.rsv2 or frame.rsv3 or self._fragments or self.closing)
        if plain and frame.fin and kind == self._takes:
            data = frame.get_payload_as_bytes()
            if data.isascii() or self._cbor or _is_utf8(data):
                self._batch.append(data)
            else:
                self._not_utf8()
        else:
            self._unusual(kind, frame)
        if frame.last_in_buffer:
            self._heard = True
            self._hand_over()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._grave is not None:
            self._grave.cancel()
        handshake = transport.close_handshake
        if not self.closing and handshake is not None and handshake.sent is not None:
            reason = _PICOWS_CLOSES.get(handshake.sent.code)
            if reason is not None:
                self._server._refused(reason, self.client)
        self.closing = True
        self._server._slow.let_go(self)
        self._server.disconnected(self)

    def pause_writing(self) -> None:
        """Not needed: the server looks at the buffer after each write."""

    def resume_writing(self) -> None:
        self._server.drain(self)

    # --- from the server -------------------------------------------------------------------------------------

    def waiting_bytes(self) -> int:
        own = 0 if self.backlog is None else self.backlog.bytes
        return own if self.raw is None else own + int(self.raw.get_write_buffer_size())

    def notice(self, missing: int) -> bytes:
        """The framed notice that so many messages are missing here."""
        frames = (self._server.port.gap_notice(self.client, missing),)
        if self.encoding is not None:
            return self.encoding.frames(frames)
        parts: list[bytes] = []
        append_text_frames(parts, frames)
        return b"".join(parts)

    def pause(self, paused: bool) -> None:
        if self._paused is paused or self.closing:
            return
        self._paused = paused
        if paused:
            self.raw.pause_reading()
        else:
            self._heard = True
            self.raw.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Say why, and leave at the latest after `CLOSE_GRACE_S`."""
        if self.closing:
            return
        self.closing = True
        self._batch.clear()
        self._fragments.clear()
        self._server._slow.let_go(self)
        assert self._transport is not None
        if code == TOO_MUCH:
            self.raw.pause_reading()  # whatever it still sends costs us nothing more
        elif self._paused:
            self.raw.resume_reading()
        self._transport.send_close(code, _cut(reason))
        self.leave_within(CLOSE_GRACE_S)

    def leave_within(self, grace_s: float) -> None:
        """Be gone by then, whether the client has read its close frame or not."""
        if self._grave is not None:
            self._grave.cancel()
        self._grave = asyncio.get_running_loop().call_later(grace_s, self.abort)

    def abort(self) -> None:
        if self.raw is not None:
            self.raw.abort()

    def look_after(self, now_s: float, ping_interval_s: float, pong_timeout_s: float) -> None:
        """Every half `ping_interval_s`: is anyone there?"""
        assert self._transport is not None
        if self.closing:
            return
        if self._transport.is_close_frame_sent:  # picows closed it for a protocol error and waits politely
            self._grave = self._grave or asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.abort)
        elif self._heard or self._paused:
            if now_s - self._measured_at_s >= MEASURE_EVERY_S and not self._paused and self._server.may_measure():
                self._ping(now_s)
            self._heard = False
            self._heard_at_s = now_s
            self._pinged_at_s = None
        elif self._pinged_at_s is None:
            if now_s - self._heard_at_s >= ping_interval_s:
                self._pinged_at_s = now_s
                self._ping(now_s)
        elif now_s - self._pinged_at_s >= pong_timeout_s:
            sentence = f"no answer to a ping within {pong_timeout_s:g} s"
            self._server.cut_off(self, "half-open", WSCloseCode.INTERNAL_ERROR, sentence)

    # --- inside ----------------------------------------------------------------------------------------------

    def _ping(self, now_s: float) -> None:
        assert self._transport is not None
        self._measured_at_s = now_s
        self._ping_ns = time.perf_counter_ns()
        self._transport.send_ping(b"%d" % self._ping_ns)

    def _pong(self, payload: bytes) -> None:
        """Only the answer to the newest ping counts (RFC 6455, 5.5.3), and only once."""
        if self._ping_ns and payload == b"%d" % self._ping_ns:
            self.round_trip_us = (time.perf_counter_ns() - self._ping_ns) // 1_000
            self._server.round_trips.record(self.round_trip_us)
            self._ping_ns = 0

    def _hand_over(self) -> None:
        batch = self._batch
        if not batch or self.closing:
            return
        self._batch = []
        server = self._server
        assert self._transport is not None
        if self._transport.is_close_frame_sent:  # picows refused a frame for its size, and goes on reading
            bytes_max = server._settings.frame_bytes_max
            batch = batch[: next((at for at, frame in enumerate(batch) if len(frame) > bytes_max), len(batch))]
            if not batch:
                return
        server.counters["frames_in"] += len(batch)
        self.frames_in += len(batch)
        if server.nothing_waits:
            server.read_at_ns = time.perf_counter_ns()
        try:
            server.port.client_frames(self.client, batch)
        except Exception:
            _log.exception("the bus failed on frames of %s", self.client)
            self.close(WSCloseCode.INTERNAL_ERROR, "the node failed on this client's frames; its log has the trace")
        if server.nothing_waits:
            server.read_at_ns = 0

    def _unusual(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Anything but a whole frame of the kind that was agreed."""
        assert self._transport is not None
        begins = kind in (WSMsgType.TEXT, WSMsgType.BINARY)
        if (frame.rsv1 and not (begins and self._admitted.compressed)) or frame.rsv2 or frame.rsv3:
            self._stop("protocol-error", WSCloseCode.PROTOCOL_ERROR, "a reserved bit is set that was not agreed on")
        elif kind == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = int.from_bytes(payload[:2], "big") if payload else WSCloseCode.OK
            if code < _CLOSE_CODE_MIN or code in _NEVER_SENT:
                self._stop("protocol-error", WSCloseCode.PROTOCOL_ERROR, f"{code} is no code that may be sent")
                return
            self._hand_over()
            if not self._transport.is_close_frame_sent:
                self._transport.send_close(code)
            self.closing = True
            self._transport.disconnect()
            self._grave = self._grave or asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.abort)
        elif self.closing:
            return
        elif kind == WSMsgType.PONG:
            self._pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.PING:
            self._transport.send_pong(frame.get_payload_as_bytes())
        elif begins and kind != self._takes:
            if self._cbor:
                self._stop("text-frame", WSCloseCode.UNSUPPORTED_DATA, "arqon.v1.cbor was agreed: binary frames, CBOR")
            else:
                self._stop("binary-frame", WSCloseCode.UNSUPPORTED_DATA, "the bus takes text frames, JSON in UTF-8")
        else:
            self._fragment(kind, frame)

    def _fragment(self, kind: WSMsgType, frame: WSFrame) -> None:
        """A message in several frames (RFC 6455, 5.4)."""
        if (kind == WSMsgType.CONTINUATION) is not bool(self._fragments):
            self._stop("protocol-error", WSCloseCode.PROTOCOL_ERROR, "a fragment is out of place")
            return
        if not self._fragments:
            self._fragments_compressed = bool(frame.rsv1)
        data = frame.get_payload_as_bytes()
        self._fragments.append(data)
        self._fragments_bytes += len(data)
        bytes_max = self._server._settings.frame_bytes_max
        if self._fragments_bytes > bytes_max or len(self._fragments) > FRAGMENTS_MAX:
            self._stop("frame-too-large", WSCloseCode.MESSAGE_TOO_BIG, "the message is more than bus.frame_bytes_max")
        elif frame.fin:
            whole = b"".join(self._fragments)
            self._fragments = []
            self._fragments_bytes = 0
            self._message(whole, bytes_max)

    def _message(self, data: bytes, bytes_max: int) -> None:
        """A message that came in fragments or compressed, put together."""
        if self._fragments_compressed:
            try:
                data = inflate(data, bytes_max)
            except Refusal as refusal:
                self._stop("frame-too-large", WSCloseCode.MESSAGE_TOO_BIG, refusal.sentence)
                return
            except zlib.error:
                self._stop("protocol-error", WSCloseCode.PROTOCOL_ERROR, "a compressed message is not DEFLATE")
                return
        if self._cbor or data.isascii() or _is_utf8(data):
            self._batch.append(data)
        else:
            self._not_utf8()

    def _not_utf8(self) -> None:
        self._stop("not-utf8", WSCloseCode.INVALID_TEXT, "a text frame is not UTF-8")

    def _stop(self, reason: str, code: int, sentence: str) -> None:
        """Cut off, after what came before was handed over."""
        self._hand_over()
        self._server.cut_off(self, reason, code, sentence)


def _answer_no(refusal: TurnedAway) -> WSUpgradeResponseWithListener:
    extra = {"Content-Type": "application/json", **refusal.headers}
    response = WSUpgradeResponse.create_error_response(refusal.status, refusal.body(), extra)
    return WSUpgradeResponseWithListener(response, None)


def _is_utf8(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def _cut(reason: str) -> bytes:
    """A close reason that fits a control frame (RFC 6455, 5.5), cut between characters."""
    return reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore").encode()
