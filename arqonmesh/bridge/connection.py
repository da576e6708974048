"""One client's connection: its frames read and handed over in batches, its end said and awaited."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from arqonmesh.bridge import closing
from arqonmesh.bridge.assembly import Assembly, BrokenRule
from arqonmesh.bridge.encoding import encoding_of
from arqonmesh.bridge.framing import append_text_frames
from arqonmesh.bridge.handshake import Admitted
from arqonmesh.bridge.heartbeat import Heartbeat
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.bus.limits import TOO_MUCH
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.bridge.server import BusServer
    from arqonmesh.bridge.slow.backlog import Backlog

TURN_NS: Final = 3_000_000
"""What the frames of one read may take before other connections have their turn: a flood costs them no more."""
PIECE_FRAMES: Final = 128
"""Frames that are handed over at a time, when there are many."""

_log = logging.getLogger(__name__)


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


class Connection(WSListener):  # type: ignore[misc]  # an extension class
    """As picows drives it."""

    def __init__(self, server: BusServer, admitted: Admitted) -> None:
        self.client = ClientId("")
        self.unsent = 0
        self.backlog: Backlog | None = None
        """What waits beside the transport's own buffer; None for a client that keeps up."""
        self.slow_since_s: float | None = None
        """Since when something waits in `backlog`."""
        self.lost = 0
        """Messages dropped because the client was too slow, since it came."""
        self.bytes_out = 0
        self.address = ""
        self.closing = False
        self.raw: Any = None
        self.encoding = encoding_of(admitted.subprotocol, admitted.compressed)
        self._server = server
        self._admitted = admitted
        self._cbor = self.encoding is not None and self.encoding.cbor
        self._takes = WSMsgType.BINARY if self._cbor else WSMsgType.TEXT
        self._transport: WSTransport | None = None
        now_s = asyncio.get_running_loop().time()
        self._heartbeat = Heartbeat(now_s)
        self._frames_in = 0
        self._mark = (now_s, 0, 0)
        """(loop time, frames_in, bytes_out) at the last look: rates are counted from there."""
        self._batch: list[bytes] = []
        self._assembly: Assembly | None = None
        self._paused = False
        self._deferred = False
        """Some of what was read waits for the loop's next turn, and nothing more is read until then."""
        self._grave: asyncio.TimerHandle | None = None

    # --- from picows -----------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.raw = transport.underlying_transport
        peer = self.raw.get_extra_info("peername")
        address = self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        hold_bytes = self._server.outgoing.slow.hold_bytes
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
        plain = not (frame.rsv1 or frame.rsv2 or frame.rsv3 or self._assembly or self.closing)
        if plain and frame.fin and kind == self._takes:
            self._take(frame.get_payload_as_bytes())
        else:
            self._unusual(kind, frame)
        if frame.last_in_buffer:
            self._heartbeat.heard = True
            self._hand_over(turn_ns=TURN_NS)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._grave is not None:
            self._grave.cancel()
        handshake = transport.close_handshake
        if not self.closing and handshake is not None and handshake.sent is not None:
            reason = closing.PICOWS_CLOSES.get(handshake.sent.code)
            if reason is not None:
                self._server.refused(reason, self.client)
        self._hand_over()
        self.closing = True
        self._server.outgoing.slow.let_go(self)
        self._server.disconnected(self)

    def pause_writing(self) -> None:
        """Not needed: the server looks at the buffer after each write."""

    def resume_writing(self) -> None:
        self._server.outgoing.drain(self)

    # --- from the server -------------------------------------------------------------------------------------

    @property
    def round_trip_us(self) -> int:
        return self._heartbeat.round_trip_us

    def waiting_bytes(self) -> int:
        own = 0 if self.backlog is None else self.backlog.bytes
        return own if self.raw is None else own + int(self.raw.get_write_buffer_size())

    def look(self, now_s: float) -> ClientLook:
        """As it is now; rates since the last sweep."""
        at_s, frames_in, bytes_out = self._mark
        passed_s = max(now_s - at_s, 0.001)
        spilled = 0 if self.backlog is None else self.backlog.spilled_bytes
        slow_since_s = self.slow_since_s
        return ClientLook(
            client=self.client,
            address=self.address,
            in_per_s=(self._frames_in - frames_in) / passed_s,
            out_bytes_per_s=(self.bytes_out - bytes_out) / passed_s,
            queue_bytes=self.waiting_bytes() + spilled,
            lost=self.lost,
            slow_ms=0 if slow_since_s is None else max(1, int((time.monotonic() - slow_since_s) * 1_000)),
        )

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
            self._heartbeat.heard = True
            if not self._deferred:
                self.raw.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Say why, and leave at the latest after `CLOSE_GRACE_S`."""
        if self.closing:
            return
        self.closing = True
        self._batch.clear()
        self._assembly = None
        self._server.outgoing.slow.let_go(self)
        assert self._transport is not None
        if code == TOO_MUCH:
            self.raw.pause_reading()  # whatever it still sends costs us nothing more
        elif self._paused or self._deferred:
            self.raw.resume_reading()
        self._transport.send_close(code, closing.fitting(reason))
        self.leave_within(closing.CLOSE_GRACE_S)

    def leave_within(self, grace_s: float) -> None:
        """Be gone by then, whether the client has read its close frame or not."""
        if self._grave is not None:
            self._grave.cancel()
        self._grave = asyncio.get_running_loop().call_later(grace_s, self.abort)

    def abort(self) -> None:
        if self.raw is not None:
            self.raw.abort()

    def sweep(self, now_s: float) -> None:
        """Every half ping interval: is anyone there? Rates are counted anew."""
        assert self._transport is not None
        self._mark = (now_s, self._frames_in, self.bytes_out)
        if self.closing:
            return
        pulse = self._server.pulse
        if self._transport.is_close_frame_sent:  # picows closed it for a protocol error and waits politely
            self._leave_politely()
        elif self._heartbeat.is_gone(self._transport, now_s, pulse, paused=self._paused):
            sentence = f"no answer to a ping within {pulse.timeout_s:g} s"
            self._server.cut_off(self, "half-open", WSCloseCode.INTERNAL_ERROR, sentence)

    # --- inside ----------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """A whole message."""
        if data.isascii() or self._cbor or _is_utf8(data):
            self._batch.append(data)
        else:
            self._stop("not-utf8", WSCloseCode.INVALID_TEXT, "a text frame is not UTF-8")

    def _hand_over(self, *, turn_ns: int = 0) -> None:
        """What was read; with `turn_ns` no more of it than that takes, and the rest when others had their turn."""
        batch = self._batch
        if not batch or self.closing:
            return
        self._batch = []
        assert self._transport is not None
        if self._transport.is_close_frame_sent:  # picows refused a frame for its size, and goes on reading
            bytes_max = self._server.settings.frame_bytes_max
            batch = batch[: next((at for at, frame in enumerate(batch) if len(frame) > bytes_max), len(batch))]
            if not batch:
                return
        if not turn_ns or len(batch) <= PIECE_FRAMES:
            self._give(batch)
            return
        until_ns = time.perf_counter_ns() + turn_ns
        for at in range(0, len(batch), PIECE_FRAMES):
            if at and time.perf_counter_ns() >= until_ns:
                self._batch = batch[at:]
                self._defer()
                return
            self._give(batch[at : at + PIECE_FRAMES])

    def _defer(self) -> None:
        self._server.counters["turns_cut"] += 1
        self._deferred = True
        self.raw.pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._deferred = False
        if self.closing:
            return
        self._hand_over(turn_ns=TURN_NS)
        if not (self._paused or self._deferred or self.closing):
            self.raw.resume_reading()

    def _give(self, batch: list[bytes]) -> None:
        if self.closing:
            return
        server, outgoing = self._server, self._server.outgoing
        server.counters["frames_in"] += len(batch)
        self._frames_in += len(batch)
        if outgoing.nothing_waits:
            outgoing.read_at_ns = time.perf_counter_ns()
        try:
            server.port.client_frames(self.client, batch)
        except Exception:
            _log.exception("the bus failed on frames of %s", self.client)
            self.close(WSCloseCode.INTERNAL_ERROR, "the node failed on this client's frames; its log has the trace")
        if outgoing.nothing_waits:
            outgoing.read_at_ns = 0

    def _unusual(self, kind: WSMsgType, frame: WSFrame) -> None:
        """Anything but a whole frame of the kind that was agreed."""
        assert self._transport is not None
        begins = kind in (WSMsgType.TEXT, WSMsgType.BINARY)
        if (frame.rsv1 and not (begins and self._admitted.compressed)) or frame.rsv2 or frame.rsv3:
            self._stop("protocol-error", WSCloseCode.PROTOCOL_ERROR, "a reserved bit is set that was not agreed on")
        elif kind == WSMsgType.CLOSE:
            self._answer_close(frame.get_payload_as_bytes())
        elif self.closing:
            return
        elif kind == WSMsgType.PONG:
            self._heartbeat.pong(frame.get_payload_as_bytes(), self._server.pulse)
        elif kind == WSMsgType.PING:
            self._transport.send_pong(frame.get_payload_as_bytes())
        elif begins and kind != self._takes:
            if self._cbor:
                self._stop("text-frame", WSCloseCode.UNSUPPORTED_DATA, "arqon.v1.cbor was agreed: binary frames, CBOR")
            else:
                self._stop("binary-frame", WSCloseCode.UNSUPPORTED_DATA, "the bus takes text frames, JSON in UTF-8")
        else:
            self._assemble(kind, frame)

    def _answer_close(self, payload: bytes) -> None:
        assert self._transport is not None
        code = int.from_bytes(payload[:2], "big") if payload else WSCloseCode.OK
        if not closing.may_be_sent(code):
            self._stop("protocol-error", WSCloseCode.PROTOCOL_ERROR, f"{code} is no code that may be sent")
            return
        self._hand_over()
        if not self._transport.is_close_frame_sent:
            self._transport.send_close(code)
        self.closing = True
        self._transport.disconnect()
        self._leave_politely()

    def _leave_politely(self) -> None:
        self._grave = self._grave or asyncio.get_running_loop().call_later(closing.CLOSE_GRACE_S, self.abort)

    def _assemble(self, kind: WSMsgType, frame: WSFrame) -> None:
        if self._assembly is None:
            self._assembly = Assembly()
        try:
            message = self._assembly.add(
                frame.get_payload_as_bytes(),
                continues=kind == WSMsgType.CONTINUATION,
                compressed=bool(frame.rsv1),
                fin=bool(frame.fin),
                bytes_max=self._server.settings.frame_bytes_max,
            )
        except BrokenRule as broken:
            self._stop(broken.reason, broken.code, broken.sentence)
            return
        if message is not None:
            self._take(message)

    def _stop(self, reason: str, code: int, sentence: str) -> None:
        """Cut off, after what came before was handed over."""
        self._hand_over()
        self._server.cut_off(self, reason, code, sentence)


def _is_utf8(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False
