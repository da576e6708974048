"""One telemetry client's connection.

    {"type": "subscribe", "eventTypes": ["door.*"], "sources": [], "streams": ["dashboard-events"], "batch": true}
    {"type": "unsubscribe"}                                  nothing more, until the next subscribe
    {"type": "telemetry", "eventType": "x", "payload": {}}   an event of the client's own
    {"type": "ping"}                                         pong

A client that has said nothing gets every event, one per frame, as with ArqonBus 1.0; one that sends events and never
subscribed is a source and gets none. A client that does not read misses events instead of keeping them here: it is told
how many with the next that it gets, and is cut off when nothing moves for `STUCK_S`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from arqonmesh.bridge.framing import append_text_frames
from arqonmesh.bridge.telemetry.events import FRAME_BYTES_MAX, STREAMS, Inbound, TelemetryRefusal, event_of, parse
from arqonmesh.bridge.telemetry.filters import Filter, filter_of
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.ratelimit import TokenBucket

if TYPE_CHECKING:
    from arqonmesh.bridge.telemetry.server import TelemetryServer

CLOSE_GRACE_S: Final = 2.0
STUCK_S: Final = 30.0
BAD_FRAMES_MAX: Final = 100
"""Frames that make no sense, one after the other, after which a client is cut off."""


class Feed(WSListener):  # type: ignore[misc]  # an extension class
    """What one client wants, and what it missed."""

    def __init__(self, server: TelemetryServer, wanted: Filter | None, batch: bool, identity: Identity) -> None:
        self.address = ""
        self.identity = identity
        """As whom it came; looked at again with every sweep."""
        self.wanted = wanted or Filter()
        """Which events it gets, while `listening`."""
        self.listening = True
        self.batch = batch
        self.missed = 0
        """Events that were not sent since it last read."""
        self.raw: Any = None
        self.heard = True
        self._explicit = wanted is not None
        self._may_send = identity.at_least("user")
        self._server = server
        self._transport: WSTransport | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._bad_in_a_row = 0
        self._stuck_since_s: float | None = None
        self._bucket: TokenBucket | None = None
        self._grave: asyncio.TimerHandle | None = None
        self.closing = False

    # --- from picows -----------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.raw = transport.underlying_transport
        peer = self.raw.get_extra_info("peername")
        self.address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        rate_per_s = self._server.settings.rate_per_s
        self._bucket = TokenBucket(self._server.now(), rate_per_s) if rate_per_s else None
        self._server.joined(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard = True
        if frame.msg_type == WSMsgType.CLOSE:
            self.close(WSCloseCode.OK, "")
            transport.disconnect()
        if self.closing:
            return
        match frame.msg_type:
            case WSMsgType.TEXT | WSMsgType.CONTINUATION:
                self._text(frame)
            case WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            case WSMsgType.BINARY:
                self.cut_off("binary-frame", WSCloseCode.UNSUPPORTED_DATA, "telemetry is JSON in text frames")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closing = True
        if self._grave is not None:
            self._grave.cancel()
        self._server.left(self)

    def pause_writing(self) -> None:
        """Not needed: the buffer is looked at before each write."""

    def resume_writing(self) -> None:
        """As above."""

    # --- out -------------------------------------------------------------------------------------------------

    def send(self, frames: list[bytes], events: int) -> None:
        """These frames, which are `events` events; or none of them, when too much waits already."""
        if self.closing:
            return
        if self.unsent_bytes() > self._server.settings.buffer_bytes_max:
            self.missed += events
            self._server.counters["missed"] += events
            return
        if self.missed:
            frames = [b'{"type":"telemetry_missed","count":%d}' % self.missed, *frames]
            self.missed = 0
        parts: list[bytes] = []
        append_text_frames(parts, frames)
        self.raw.write(b"".join(parts))
        self._server.counters["sent"] += events

    def say(self, kind: str, **fields: Any) -> None:
        """An answer. One more who reads none of them is cut off."""
        if not self.closing and self.unsent_bytes() <= 2 * self._server.settings.buffer_bytes_max:
            self.send_one(msgspec.json.encode({"type": kind, **fields}))

    def send_one(self, frame: bytes) -> None:
        parts: list[bytes] = []
        append_text_frames(parts, (frame,))
        self.raw.write(b"".join(parts))

    def unsent_bytes(self) -> int:
        return 0 if self.raw is None else int(self.raw.get_write_buffer_size())

    def look_after(self, now_s: float) -> None:
        """Every few seconds: does it read, is it there?"""
        assert self._transport is not None
        if self.closing:
            return
        if self.unsent_bytes() <= self._server.settings.buffer_bytes_max:
            self._stuck_since_s = None
        elif self._stuck_since_s is None:
            self._stuck_since_s = now_s
        elif now_s - self._stuck_since_s >= STUCK_S:
            self.cut_off("slow-client", WSCloseCode.POLICY_VIOLATION, f"nothing was read for {STUCK_S:g} s")
            return
        if not self.heard and self._stuck_since_s is None:
            self.cut_off("half-open", WSCloseCode.INTERNAL_ERROR, "no answer to a ping")
            return
        self.heard = False
        self._transport.send_ping()

    def cut_off(self, reason: str, code: int, sentence: str) -> None:
        if not self.closing:
            self._server.refused(reason, self.address)
            self.close(code, sentence)

    def close(self, code: int, sentence: str) -> None:
        if not self.closing and self._transport is not None:
            self.closing = True
            self._transport.send_close(code, sentence.encode()[:123])
            self._grave = asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self.raw.abort)

    # --- in --------------------------------------------------------------------------------------------------

    def _text(self, frame: WSFrame) -> None:
        """A text frame, or a part of one (RFC 6455, 5.4)."""
        if (frame.msg_type == WSMsgType.CONTINUATION) is not bool(self._parts):
            self.cut_off("protocol-error", WSCloseCode.PROTOCOL_ERROR, "a fragment is out of place")
            return
        data = frame.get_payload_as_bytes()
        if frame.fin and not self._parts:
            self._message(data)
            return
        self._parts.append(data)
        self._parts_bytes += len(data) + 64
        if self._parts_bytes > FRAME_BYTES_MAX:
            self.cut_off("frame-too-large", WSCloseCode.MESSAGE_TOO_BIG, f"{FRAME_BYTES_MAX} bytes are the most")
        elif frame.fin:
            whole = b"".join(self._parts)
            self._parts, self._parts_bytes = [], 0
            self._message(whole)

    def _message(self, data: bytes) -> None:
        try:
            self._act(data)
            self._bad_in_a_row = 0
        except TelemetryRefusal as refusal:
            self._server.counters["refused"] += 1
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= BAD_FRAMES_MAX:
                sentence = f"{self._bad_in_a_row} frames in a row made no sense"
                self.cut_off("client-rubbish", WSCloseCode.POLICY_VIOLATION, sentence)
                return
            told = {"code": refusal.code, "message": refusal.sentence, "field": refusal.field, "hint": refusal.hint}
            self.say("error", error=told)

    def _act(self, data: bytes) -> None:
        message = parse(data)
        match message.type:
            case "telemetry" | "event" | "telemetry_event":
                self._event(message)
            case "subscribe":
                self.wanted = filter_of(message.eventTypes + message.events, message.sources, message.streams)
                self.listening, self.batch, self._explicit = True, message.batch, True
                self.say("subscribed", batch=self.batch, **self.wanted._asdict())
            case "unsubscribe":
                self.listening, self._explicit = False, True
                self.say("unsubscribed")
            case "ping":
                self.say("pong", id=message.id)
            case other:
                raise TelemetryRefusal(
                    "telemetry.type",
                    f"type is {other[:64]!r}; a telemetry client may send telemetry, subscribe, unsubscribe and ping",
                    field="type",
                    hint='{"type": "subscribe", "eventTypes": ["agent_activity"]}',
                )

    def _event(self, message: Inbound) -> None:
        if not self._may_send:
            raise TelemetryRefusal("telemetry.role", "guests may read telemetry and send none", field="type")
        event_type, payload = event_of(message)
        if self._bucket is not None and not self._bucket.take(self._server.now(), 1):
            self._server.refused("rate-limited", self.address)
            raise TelemetryRefusal(
                "telemetry.rate-limited",
                f"the event was dropped; telemetry.rate_per_s is {self._server.settings.rate_per_s}",
                hint="send more slowly, or put several measurements into one event",
            )
        if not self._explicit:
            self.listening = False
        source = message.source or self.address
        self._server.take(event_type, payload, source=source, stream=message.stream or STREAMS[0])
