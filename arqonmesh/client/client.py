"""`BusClient`: connect, join, publish, receive, over one WebSocket in the canonical dialect.

    async with await BusClient.connect("ws://127.0.0.1:9100") as bus:
        await bus.join("telemetry:host")
        await bus.publish("telemetry:host", {"load": 0.5})
        async for message in bus.messages():
            print(message.channel, message.payload)

A lost connection is dialled again, at the next node where several are given, for as long as it takes; what was
joined is joined again from where it was, and `on_resume` says whether anything is missing. `reconnect=False` for a
script that had better end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from arqonmesh.client.callbacks import answering, call, serve
from arqonmesh.client.connection import HEARTBEAT_S
from arqonmesh.client.endpoints import Endpoints
from arqonmesh.client.failures import nobody_answered, request_failed
from arqonmesh.client.mailboxes import Mailbox
from arqonmesh.client.message import CARRIED, Message, encode, object_of
from arqonmesh.client.records import Member, Page, Presence, Receipt, members_of, page_of, presence_of
from arqonmesh.client.resume import Resumed
from arqonmesh.client.session import COMMAND_TIMEOUT_S, Session, State
from arqonmesh.client.token import TokenSource
from arqonmesh.client.typed import Channel
from arqonmesh.errors import TimedOut

REQUEST_TIMEOUT_S: Final = 10.0

_Told = TypeVar("_Told")
_Body = TypeVar("_Body")


class BusClient:
    """One connection to a bus. Not for use from several threads; `SyncBusClient` is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tasks: set[asyncio.Future[None]] = set()
        self._on_resume: list[Callable[[Resumed], Awaitable[None] | None]] = []
        self._on_state: list[Callable[[State], Awaitable[None] | None]] = []
        self._ended = asyncio.Event()
        session.resumed = lambda resumed: self._tell(self._on_resume, resumed)
        session.changed = self._changed

    @classmethod
    async def connect(
        cls,
        url: str | Sequence[str],
        token: TokenSource = None,
        *,
        name: str = "",
        kind: str = "",
        reconnect: bool = True,
        heartbeat_s: float = HEARTBEAT_S,
        tls: Any = None,
    ) -> Self:
        """Connect and wait for the welcome.

        `url`: of a node, or of several nodes of one cluster, tried in this order. `token`: or a function that is
        asked for one at each connect. `name` and `kind` (human, dashboard, ai-agent, service ...): what others see.
        `tls`: an `ssl.SSLContext` for wss. Raises UsageError (address), Denied (token), PeerError (unreachable) or
        TimedOut.
        """
        endpoints = Endpoints(url, name=name, kind=kind)
        client = cls(Session(endpoints, token, reconnect=reconnect, heartbeat_s=heartbeat_s, tls=tls))
        await client._session.start()
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # --- what it is ------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The node's address that is, or will be, connected to."""
        return self._session.endpoints.current

    @property
    def client_id(self) -> str:
        """As the bus named this connection in its welcome; another one after a reconnect."""
        return self._session.client_id

    @property
    def frame_bytes_max(self) -> int:
        """The largest frame that the node takes, `bus.frame_bytes_max`; a larger one is refused here. 0: unknown."""
        return self._session.frame_bytes_max

    @property
    def state(self) -> State:
        return self._session.state

    @property
    def reconnects(self) -> int:
        return self._session.reconnects

    # --- publishing ------------------------------------------------------------------------------------------

    async def publish(self, channel: str, payload: Any, *, metadata: dict[str, Any] | None = None) -> None:
        """Publish any JSON value. Waits while the connection is backed up, or being dialled again."""
        await self.send_raw(encode(_event(channel, payload, metadata)))

    async def publish_raw(self, channel: str, payload: bytes) -> None:
        """As `publish`, with the payload already JSON."""
        await self.send_raw(b'{"type":"event","channel":%b,"payload":%b,"v":1}' % (encode(channel), payload))

    async def send(
        self,
        channel: str,
        payload: Any,
        *,
        metadata: dict[str, Any] | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> Receipt:
        """Publish, and wait until the bus has it. Raises the bus's refusal, or PeerError when nobody knows."""
        frame = _event(channel, payload, {**(metadata or {}), "ack": True})
        told = object_of(await self._session.answer_to(frame, f"an event on {channel}", timeout_s))
        return Receipt(str(told.get("id", "")), int(told.get("delivered", 0)))

    async def private(self, to: str | list[str], payload: Any) -> None:
        """Send to these clients alone."""
        targets = [to] if isinstance(to, str) else to
        await self.send_raw(encode({"type": "private", "to": targets, "payload": payload, "v": 1}))

    async def send_raw(self, frame: bytes) -> None:
        """Send one frame as it is. Raises PeerError once the connection is over."""
        await self._session.send(frame)

    async def flush(self, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        """Wait until the bus has taken everything that was sent before. Raises as `command` does."""
        await self.command("ping", timeout_s=timeout_s)

    # --- request and answer ----------------------------------------------------------------------------------

    async def request(self, target: str, payload: Any, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Message:
        """Ask a client (by its id), or whoever answers first in a channel; the answer.

        Raises TimedOut when nobody answers, NotFound when there is no such client, and what the answerer says when
        it failed.
        """
        where = {"channel": target, "type": "event"} if ":" in target else {"to": [target], "type": "private"}
        try:
            frame = {**where, "payload": payload, "v": 1}
            answer = await self._session.answer_to(frame, "a request", timeout_s, by_anyone=True)
        except TimedOut:
            raise nobody_answered(target, timeout_s) from None
        metadata = answer.metadata
        if isinstance(metadata, dict) and isinstance(metadata.get("error"), dict):
            raise request_failed(target, answer)
        return answer

    async def answer(self, question: Message, payload: Any, *, metadata: dict[str, Any] | None = None) -> None:
        """Answer whoever asked."""
        frame: dict[str, Any] = {"type": "private", "to": [question.from_], "payload": payload, "v": 1}
        frame["correlation_id"] = question.correlation_id
        if metadata:
            frame["metadata"] = metadata
        await self.send_raw(encode(frame))

    def on_request(self, handler: Callable[[Message], Any], *, channel: str = "private") -> Callable[[], None]:
        """Answer each request with what `handler` returns: those to this client, or those in a channel.

        An exception of the handler is the asker's error. The result ends it.
        """
        return self.on(channel, answering(self, handler))

    # --- receiving -------------------------------------------------------------------------------------------

    async def join(self, channel: str, *, since: Mapping[str, int] | None = None) -> Resumed:
        """Subscribe to `room:channel`, `room:*` or `*`; with `since`, a `position`, from there on."""
        return await self._session.subscriptions.join(channel, since)

    async def leave(self, channel: str) -> Message:
        self._session.subscriptions.leave(channel)
        return await self.command("leave_channel", channel=channel)

    def on(self, what: str, handler: Callable[[Message], Awaitable[None] | None]) -> Callable[[], None]:
        """Call `handler` with each message of a channel or pattern, or `private`, or `notice`; one after the other.

        It takes what is received; `join` asks the bus for it. The result ends it. An exception of the handler is
        logged, and the next message is handled.
        """
        box = self.open_box(what)
        task = asyncio.ensure_future(serve(box, handler))
        self._keep(task)

        def end() -> None:
            self.shut_box(box)

        return end

    async def messages(self, *, all_types: bool = False) -> AsyncIterator[Message]:
        """What no handler takes, as it comes: events and private messages; with `all_types` also notices and errors.

        Ends when `close` was called; raises the reason when the connection is lost for good.
        """
        async for message in self._session.boxes.common.messages():
            if all_types or message.type in CARRIED:
                yield message

    def channel(self, name: str, body: type[_Body]) -> Channel[_Body]:
        """A channel whose payloads are all of one type."""
        return Channel(self, name, body)

    def on_presence(self, handler: Callable[[Presence, Message], Awaitable[None] | None]) -> Callable[[], None]:
        """Call `handler` when somebody joins or leaves a channel that this client is in."""

        def checked(message: Message) -> Awaitable[None] | None:
            presence = presence_of(message)
            return None if presence is None else handler(presence, message)

        return self.on("notice", checked)

    def on_resume(self, handler: Callable[[Resumed], Awaitable[None] | None]) -> None:
        """Call `handler` for each channel that goes on after a reconnect: recovered, or with which gaps.

        Also where something was missing because this client read too slowly; with channel `*` when not all of it was
        found.
        """
        self._on_resume.append(handler)

    def on_state(self, handler: Callable[[State], Awaitable[None] | None]) -> None:
        """Call `handler` when this becomes connected, reconnecting or closed."""
        self._on_state.append(handler)

    def position(self, channel: str) -> dict[str, int]:
        """What was received of a channel, {epoch: offset}; to be kept, and given to `join` by the next process."""
        return self._session.subscriptions.positions.of(channel)

    def open_box(self, what: str) -> Mailbox:
        return self._session.boxes.open(what)

    def shut_box(self, box: Mailbox) -> None:
        self._session.boxes.shut(box)

    # --- commands --------------------------------------------------------------------------------------------

    async def command(self, name: str, *, timeout_s: float = COMMAND_TIMEOUT_S, **args: Any) -> Message:
        """Run a command. Raises NotFound, Denied or PeerError with the bus's own code, or TimedOut."""
        return await self._session.ask(name, args, timeout_s)

    async def history(
        self,
        channel: str,
        *,
        limit: int | None = None,
        since: int | str | Mapping[str, int] | None = None,
        before: int | str | None = None,
    ) -> Page:
        """What was published there. `since`, `before`: milliseconds since 1970 or ISO 8601; `since` also a position."""
        bounds = {"limit": limit, "since": since, "before": before}
        asked: dict[str, Any] = {key: value for key, value in bounds.items() if value is not None}
        return page_of(await self.command("history", channel=channel, **asked))

    async def presence(self, channel: str) -> list[Member]:
        """Who is in a channel now."""
        return members_of(await self.command("channel_info", channel=channel))

    async def reauthenticate(self, token: str | None = None) -> Message:
        """Show a new token on this connection; by default what the token source gives now."""
        shown = token if token is not None else await self._session.token.present()
        return await self.command("authenticate", token=shown or "")

    # --- the end ---------------------------------------------------------------------------------------------

    async def wait_closed(self) -> None:
        """Wait until `close` is called, or the connection lost for good: for programs that live in handlers."""
        await self._ended.wait()
        if (failure := self._session.failure) is not None:
            raise failure

    async def close(self) -> None:
        """Say goodbye; `messages` ends. Repeats are harmless."""
        await self._session.close()
        current = asyncio.current_task()
        waiting = [task for task in self._tasks if task is not current]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # --- inside ----------------------------------------------------------------------------------------------

    def _changed(self, state: State) -> None:
        if state == "closed":
            self._ended.set()
        self._tell(self._on_state, state)

    def _tell(self, handlers: list[Callable[[_Told], Awaitable[None] | None]], what: _Told) -> None:
        for handler in handlers:
            self._keep(asyncio.ensure_future(call(handler, what)))

    def _keep(self, task: asyncio.Future[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _event(channel: str, payload: Any, metadata: dict[str, Any] | None) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": "event", "channel": channel, "payload": payload, "v": 1}
    if metadata:
        frame["metadata"] = metadata
    return frame
