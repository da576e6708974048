"""`BusClient`: connect, join, publish, receive, over one WebSocket in the canonical dialect.

    async with await BusClient.connect("ws://127.0.0.1:9100") as bus:
        await bus.join("telemetry:host")
        await bus.publish("telemetry:host", {"load": 0.5})
        async for message in bus.messages():
            print(message.channel, message.payload)

With `reconnect=True` a lost connection is dialled again, with back-off and for ever, and joins what was joined.
Events published meanwhile by others are not fetched; the `history` command has them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from picows.common import WSInvalidStatusError

from arqonmesh.errors import ArqonError, Denied, NotFound, PeerError, TimedOut

SUBPROTOCOL: Final = "arqon.v1"
CONNECT_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 5.0
RECONNECT_MIN_S: Final = 0.2
RECONNECT_MAX_S: Final = 15.0
PING_INTERVAL_S: Final = 20.0
QUEUE_MAX: Final = 10_000
"""Messages received and not yet taken; above it the connection is read no further, so that the bus holds them."""
FRAME_BYTES_MAX: Final = 16 << 20
_WRITE_HIGH_BYTES: Final = 1 << 20
_NULL: Final = Raw(b"null")


class Message(Struct, gc=False):
    """A frame from the bus. `body()` reads the payload; `raw` is the frame as it came."""

    type: str
    id: str = ""
    room: str = ""
    channel_: str = msgspec.field(name="channel", default="")
    from_: str = msgspec.field(name="from", default="")
    payload_: Raw = msgspec.field(name="payload", default=_NULL)
    metadata_: Raw = msgspec.field(name="metadata", default=_NULL)
    timestamp: str = ""
    request_id: str = ""
    correlation_id: str = ""
    status: str = ""
    raw: bytes = b""

    @property
    def channel(self) -> str:
        """The full `room:channel`; empty for a private message."""
        return f"{self.room}:{self.channel_}" if self.channel_ else ""

    @property
    def payload(self) -> Any:
        """The payload as plain Python values."""
        return msgspec.json.decode(self.payload_)

    @property
    def metadata(self) -> Any:
        return msgspec.json.decode(self.metadata_)


_quiet: Final = logging.getLogger("arqonmesh.client.picows")
_quiet.setLevel(logging.CRITICAL)  # what goes wrong is raised, and told once

_decode: Final = msgspec.json.Decoder(Message).decode
_encode: Final = msgspec.json.Encoder().encode


class BusClient:
    """One connection to a bus. Not for use from several threads."""

    def __init__(self, url: str, token: str | None, name: str, reconnect: bool) -> None:
        self.url = url
        self.client_id = ""
        """As the bus named this connection in its welcome."""
        self.reconnects = 0
        self._token = token
        self._name = name
        self._reconnect = reconnect
        self._transport: WSTransport | None = None
        self._closed: ArqonError | None = None
        self._closing = False
        self._welcome: asyncio.Future[None] | None = None
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._requests = 0
        self._joined: dict[str, None] = {}
        self._inbox: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._redial: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, url: str, token: str | None = None, *, name: str = "", reconnect: bool = False) -> BusClient:
        """Connect and wait for the welcome. Raises Denied (token), PeerError (unreachable) or TimedOut."""
        client = cls(url, token, name, reconnect)
        await client._dial()
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- doing -----------------------------------------------------------------------------------------------

    async def join(self, channel: str) -> Message:
        """Subscribe to `room:channel`, `room:*` or `*`; the bus's answer."""
        answer = await self.command("join_channel", channel=channel)
        self._joined[channel] = None
        return answer

    async def leave(self, channel: str) -> Message:
        self._joined.pop(channel, None)
        return await self.command("leave_channel", channel=channel)

    async def publish(self, channel: str, payload: Any, *, metadata: dict[str, Any] | None = None) -> None:
        """Publish any JSON value. Waits while the connection is backed up, or being dialled again."""
        frame: dict[str, Any] = {"type": "event", "channel": channel, "payload": payload, "v": 1}
        if metadata:
            frame["metadata"] = metadata
        await self.send_raw(_encode(frame))

    async def publish_raw(self, channel: str, payload: bytes) -> None:
        """As `publish`, with the payload already JSON."""
        await self.send_raw(b'{"type":"event","channel":%b,"payload":%b,"v":1}' % (_encode(channel), payload))

    async def private(self, to: str | list[str], payload: Any) -> None:
        """Send to these clients alone."""
        targets = [to] if isinstance(to, str) else to
        await self.send_raw(_encode({"type": "private", "to": targets, "payload": payload, "v": 1}))

    async def command(self, name: str, *, timeout_s: float = COMMAND_TIMEOUT_S, **args: Any) -> Message:
        """Run a command. Raises NotFound, Denied or PeerError with the bus's own code, or TimedOut."""
        self._requests += 1
        request_id = f"r{self._requests}"
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                frame = {"type": "command", "id": request_id, "command": name, "args": args, "v": 1}
                await self.send_raw(_encode(frame))
                message = await answer
        except TimeoutError:
            raise TimedOut(
                "bus.timeout", f"{self.url} did not answer {name} within {timeout_s:g} s", hint="arqon node status"
            ) from None
        finally:
            self._answers.pop(request_id, None)
        if message.type == "error":
            raise _error_of(message)
        return message

    async def send_raw(self, frame: bytes) -> None:
        """Send one frame as it is. Raises PeerError once the connection is over."""
        while not self._writable.is_set() or self._transport is None:
            if self._closed is not None:
                raise self._closed
            await self._writable.wait()
        if self._closed is not None:
            raise self._closed
        self._transport.send(WSMsgType.TEXT, frame)

    async def messages(self, *, all_types: bool = False) -> AsyncIterator[Message]:
        """Events and private messages as they come; with `all_types` also notices and errors.

        Ends when `close` was called; raises the reason when the connection is lost for good.
        """
        while True:
            while self._inbox:
                message = self._inbox.popleft()
                if not self._reading and len(self._inbox) <= QUEUE_MAX // 2:
                    self._read(True)
                if all_types or message.type in ("event", "telemetry", "private"):
                    yield message
            if self._closed is not None:
                if self._closing:
                    return
                raise self._closed
            self._arrived.clear()
            await self._arrived.wait()

    async def flush(self, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Wait until the bus has taken everything that was sent before. Raises as `command` does."""
        await self.command("ping", timeout_s=timeout_s)

    async def close(self) -> None:
        """Say goodbye; `messages` ends. Repeats are harmless."""
        self._closing = True
        if self._redial is not None:
            self._redial.cancel()
        transport, self._transport = self._transport, None
        self._writable.clear()  # who sends now waits for the end below
        if transport is not None and not transport.is_disconnected:
            transport.send_close(1000, b"")
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await transport.wait_disconnected()
            except Exception:
                transport.disconnect(False)  # late or broken, it ends here
        self._over(PeerError("bus.closed", "this client was closed"))

    # --- the connection --------------------------------------------------------------------------------------

    async def _dial(self) -> None:
        headers = [("Sec-WebSocket-Protocol", SUBPROTOCOL)]
        if self._token:
            headers.append(("Authorization", f"Bearer {self._token}"))
        url = self.url
        if self._name:
            url += ("&" if "?" in url else "?") + "name=" + quote(self._name, safe="")
        self._welcome = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):  # picows cleans up after its own timeout only
                transport, _ = await ws_connect(
                    lambda: _Listener(self),
                    url,
                    extra_headers=headers,
                    max_frame_size=FRAME_BYTES_MAX,
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=PING_INTERVAL_S,
                    auto_ping_reply_timeout=PING_INTERVAL_S,
                    max_redirects=0,
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    logger_name=_quiet,
                    use_aiofastnet=False,
                )
                transport.underlying_transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
                self._transport = transport
                await self._welcome
                if transport.is_disconnected:
                    raise PeerError("bus.closed", f"{url} took the connection and ended it at once")
        except TimeoutError:
            self._hang_up()
            raise TimedOut("bus.timeout", f"no welcome from {url} within {CONNECT_TIMEOUT_S:g} s") from None
        except WSInvalidStatusError as refused:
            status = refused.response.status if refused.response is not None else 0
            if status == 401:
                raise Denied(
                    "bus.auth", f"{url} asks for a bearer token, and this one does not fit", hint="--token TOKEN"
                ) from None
            raise PeerError("bus.unreachable", f"{url} answered with HTTP {int(status)}, not as a bus") from None
        except ArqonError:
            raise
        except Exception as wrong:
            raise PeerError(
                "bus.unreachable", f"no bus at {url}: {wrong}", hint="arqon node status  # shows where the bus listens"
            ) from None
        self._writable.set()

    def received(self, frame: bytes) -> None:
        """One text frame from the bus."""
        try:
            message = _decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # not an envelope of ours; the bus sends none
        message.raw = frame
        if message.request_id and (answer := self._answers.get(message.request_id)) is not None:
            if not answer.done():
                answer.set_result(message)
            return
        if self._welcome is not None and not self._welcome.done():
            payload = message.payload
            if isinstance(payload, dict) and "welcome" in payload:
                self.client_id = str(payload.get("client_id", ""))
                self._welcome.set_result(None)
                return
        self._inbox.append(message)
        self._arrived.set()
        if len(self._inbox) >= QUEUE_MAX and self._reading:
            self._read(False)

    def lost(self, transport: WSTransport) -> None:
        """The connection is gone."""
        handshake = transport.close_handshake
        said = handshake.recv if handshake is not None else None
        why = f"closed with {int(said.code)} {said.reason or ''}".strip() if said is not None else "connection lost"
        problem = PeerError("bus.closed", f"{self.url}: {why}", hint="arqon node status")
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_exception(problem)
            return
        if transport is not self._transport:
            return  # given up before
        self._transport = None
        self._reading = True
        self._writable.clear()
        self._fail_answers(problem)
        if self._redial is not None and not self._redial.done():
            return  # it sees for itself
        if self._reconnect and not self._closing:
            self._redial = asyncio.get_running_loop().create_task(self._dial_again())
        else:
            self._over(problem)

    def writable(self, yes: bool) -> None:
        if yes and self._transport is not None:
            self._writable.set()
        else:
            self._writable.clear()

    async def _dial_again(self) -> None:
        """Back-off doubles from min to max, with full jitter on its upper half."""
        wait_s = RECONNECT_MIN_S
        while True:
            await asyncio.sleep(wait_s * (0.5 + random.random() / 2))
            try:
                await self._dial()
                for channel in list(self._joined):
                    await self.command("join_channel", channel=channel)
            except Denied as denied:
                self._over(denied)
                return
            except ArqonError:
                self._hang_up()  # a connection without its subscriptions would look like one with nothing to say
            if self._transport is not None:
                self.reconnects += 1
                return
            wait_s = min(wait_s * 2, RECONNECT_MAX_S)

    def _hang_up(self) -> None:
        transport, self._transport = self._transport, None
        self._writable.clear()
        if transport is not None and not transport.is_disconnected:
            transport.disconnect(False)

    def _read(self, wanted: bool) -> None:
        self._reading = wanted
        if self._transport is not None:
            raw = self._transport.underlying_transport
            if wanted:
                raw.resume_reading()
            else:
                raw.pause_reading()

    def _fail_answers(self, problem: ArqonError) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(problem)

    def _over(self, problem: ArqonError) -> None:
        if self._closed is None:
            self._closed = problem
        self._fail_answers(problem)
        self._arrived.set()
        self._writable.set()


class _Listener(WSListener):  # type: ignore[misc]  # an extension class
    """What picows calls."""

    def __init__(self, client: BusClient) -> None:
        self._client = client
        self._fragments: list[bytes] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.TEXT and frame.fin:
            self._client.received(frame.get_payload_as_bytes())
        elif kind == WSMsgType.TEXT or kind == WSMsgType.CONTINUATION:
            self._fragments.append(frame.get_payload_as_bytes())
            if frame.fin:
                whole, self._fragments = b"".join(self._fragments), []
                self._client.received(whole)
            elif sum(map(len, self._fragments)) > FRAME_BYTES_MAX:
                transport.disconnect(False)
        elif kind == WSMsgType.CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(1000, b"")
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._client.lost(transport)

    def pause_writing(self) -> None:
        self._client.writable(False)

    def resume_writing(self) -> None:
        self._client.writable(True)


def _error_of(message: Message) -> ArqonError:
    """The error that the bus told, as one of ours."""
    told = message.payload if bytes(message.payload_).startswith(b"{") else {}
    code, sentence, hint = str(told.get("code", "")), str(told.get("message", "")), str(told.get("hint", ""))
    kind = NotFound if code.startswith("bus.no-such") else PeerError
    return kind(code, sentence, hint=hint)
