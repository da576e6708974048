"""`SyncBusClient`: the same client for programs without an event loop, and for several threads.

    with SyncBusClient.connect("ws://127.0.0.1:9100") as bus:
        bus.join("chat:lobby")
        bus.publish("chat:lobby", {"text": "hello"})
        for message in bus.messages():
            print(message.payload)

A thread of its own runs the loop; each call hands its work there and waits. Handlers given to `on` run in that thread,
so they must not call this client.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from arqonmesh.client.client import REQUEST_TIMEOUT_S, BusClient
from arqonmesh.client.connection import HEARTBEAT_S
from arqonmesh.client.message import Message
from arqonmesh.client.records import Member, Page, Receipt
from arqonmesh.client.resume import Resumed
from arqonmesh.client.session import COMMAND_TIMEOUT_S
from arqonmesh.client.token import TokenSource

_T = TypeVar("_T")


class SyncBusClient:
    """A `BusClient` behind a thread. Every method raises as that of the same name does."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="arqon-bus", daemon=True)
        self._thread.start()
        self._bus: BusClient | None = None

    @classmethod
    def connect(
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
        """Connect and wait for the welcome."""
        client = cls()
        try:
            client._bus = client._run(
                BusClient.connect(
                    url, token, name=name, kind=kind, reconnect=reconnect, heartbeat_s=heartbeat_s, tls=tls
                )
            )
        except BaseException:
            client._end_thread()
            raise
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bus(self) -> BusClient:
        """The client behind it; only its loop's thread may call its methods."""
        assert self._bus is not None
        return self._bus

    @property
    def client_id(self) -> str:
        return self.bus.client_id

    def join(self, channel: str, *, since: Mapping[str, int] | None = None) -> Resumed:
        return self._run(self.bus.join(channel, since=since))

    def leave(self, channel: str) -> Message:
        return self._run(self.bus.leave(channel))

    def publish(self, channel: str, payload: Any, *, metadata: dict[str, Any] | None = None) -> None:
        self._run(self.bus.publish(channel, payload, metadata=metadata))

    def send(self, channel: str, payload: Any, *, timeout_s: float = COMMAND_TIMEOUT_S) -> Receipt:
        return self._run(self.bus.send(channel, payload, timeout_s=timeout_s))

    def private(self, to: str | list[str], payload: Any) -> None:
        self._run(self.bus.private(to, payload))

    def request(self, target: str, payload: Any, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Message:
        return self._run(self.bus.request(target, payload, timeout_s=timeout_s))

    def answer(self, question: Message, payload: Any) -> None:
        self._run(self.bus.answer(question, payload))

    def command(self, name: str, *, timeout_s: float = COMMAND_TIMEOUT_S, **args: Any) -> Message:
        return self._run(self.bus.command(name, timeout_s=timeout_s, **args))

    def history(
        self,
        channel: str,
        *,
        limit: int | None = None,
        since: int | str | Mapping[str, int] | None = None,
        before: int | str | None = None,
    ) -> Page:
        return self._run(self.bus.history(channel, limit=limit, since=since, before=before))

    def presence(self, channel: str) -> list[Member]:
        return self._run(self.bus.presence(channel))

    def flush(self, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        self._run(self.bus.flush(timeout_s=timeout_s))

    def messages(self) -> Iterator[Message]:
        """As they come, until `close` is called from another thread."""
        stream = self.bus.messages()
        while True:
            try:
                yield self._run(_next(stream))
            except _End:
                return

    def on(self, what: str, handler: Callable[[Message], None]) -> Callable[[], None]:
        """As `BusClient.on`; `handler` runs in the client's own thread."""
        end = self._run(_within(lambda: self.bus.on(what, handler)))
        return lambda: self._run(_within(end))

    def close(self) -> None:
        """Say goodbye. Repeats are harmless."""
        if self._bus is not None and not self._loop.is_closed():
            self._run(self._bus.close())
        self._end_thread()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop.is_closed() or threading.current_thread() is self._thread:
            work.close()
            where = "closed" if self._loop.is_closed() else "called from one of its own handlers; use BusClient there"
            raise RuntimeError(f"this client was {where}")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C here ends the wait, so the work ends too
            raise

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _end_thread(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


async def _next(stream: Any) -> Message:
    try:
        message: Message = await anext(stream)
    except StopAsyncIteration:
        raise _End from None
    return message


async def _within(work: Callable[[], _T]) -> _T:
    return work()


class _End(Exception):
    """There are no more messages; StopAsyncIteration may not leave a coroutine."""
