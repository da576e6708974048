"""A channel whose payloads have one type: checked where they come in, so that the handler need not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from arqonmesh.client.message import Message
from arqonmesh.client.records import Receipt
from arqonmesh.client.resume import Resumed

if TYPE_CHECKING:
    from arqonmesh.client.client import BusClient

Body = TypeVar("Body")


class Channel(Generic[Body]):
    """One channel of a bus; `Body` is a msgspec Struct, a dataclass, a TypedDict, or any type that msgspec reads."""

    def __init__(self, bus: BusClient, name: str, body: type[Body]) -> None:
        self.bus = bus
        self.name = name
        self.rejected = 0
        """Messages that were not of this type; they reach neither handlers nor iterators."""
        self._decode = msgspec.json.Decoder(body).decode

    async def join(self, *, since: Mapping[str, int] | None = None) -> Resumed:
        return await self.bus.join(self.name, since=since)

    async def publish(self, body: Body, *, metadata: dict[str, Any] | None = None) -> None:
        await self.bus.publish(self.name, body, metadata=metadata)

    async def send(self, body: Body, *, metadata: dict[str, Any] | None = None) -> Receipt:
        return await self.bus.send(self.name, body, metadata=metadata)

    def on(self, handler: Callable[[Body, Message], Awaitable[None] | None]) -> Callable[[], None]:
        """Call `handler(body, message)` for each message of this type; the result ends that."""

        def checked(message: Message) -> Awaitable[None] | None:
            body = self._read(message)
            return None if body is None else handler(body[0], message)

        return self.bus.on(self.name, checked)

    async def messages(self) -> AsyncGenerator[tuple[Body, Message], None]:
        """The messages of this channel alone; those that other iterators take are not missing here."""
        box = self.bus.open_box(self.name)
        try:
            async for message in box.messages():
                body = self._read(message)
                if body is not None:
                    yield body[0], message
        finally:
            self.bus.shut_box(box)

    def _read(self, message: Message) -> tuple[Body] | None:
        try:
            return (self._decode(message.payload_),)
        except msgspec.DecodeError:
            self.rejected += 1
            return None
