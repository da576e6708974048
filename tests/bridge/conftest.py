"""A real bus server on loopback, driven by the real bus core, and clients of an independent library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect

from arqonmesh.config.model import BusSettings
from arqonmesh.core.events import Dropped
from arqonmesh.core.kernel import Event
from bench.lone_bus import LoneBus

Json = dict[str, Any]


class RunningBus(LoneBus):
    """A bus with its address and everything it told."""

    def __init__(self, settings: BusSettings, **limits: float) -> None:
        super().__init__(settings, self._hear, None, **limits)
        self.url = ""
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def drops(self) -> list[tuple[str, str]]:
        return [(event.where, event.reason) for event in self.events if isinstance(event, Dropped)]

    async def dropped_for(self, reason: str) -> None:
        """Wait until something was dropped for this reason."""
        async with asyncio.timeout(10):
            while reason not in [why for _, why in self.drops()]:
                self._changed.clear()
                await self._changed.wait()

    @asynccontextmanager
    async def client(self, *, canonical: bool = True, **options: Any) -> AsyncIterator[ClientConnection]:
        """A `websockets` client that has read its welcome."""
        if canonical:
            options["subprotocols"] = ["arqon.v1"]
        async with connect(self.url, proxy=None, **options) as client:
            await client.recv()
            yield client

    @asynccontextmanager
    async def member(self, channel: str, **options: Any) -> AsyncIterator[ClientConnection]:
        async with self.client(**options) as client:
            await ask(client, {"type": "join", "channel": channel})
            yield client


async def ask(client: ClientConnection, frame: Json) -> Json:
    """Send one frame, read one."""
    await client.send(json.dumps(frame))
    return await receive(client)


async def receive(client: ClientConnection) -> Json:
    async with asyncio.timeout(10):
        return cast(Json, json.loads(await client.recv()))


StartBus = Callable[..., Awaitable[RunningBus]]


@pytest.fixture
async def start_bus() -> AsyncIterator[StartBus]:
    """Start buses with settings of one's own; they are stopped at the end."""
    running: list[RunningBus] = []

    async def start(limits: dict[str, float] | None = None, **settings: Any) -> RunningBus:
        bus = RunningBus(BusSettings(**settings), **(limits or {}))
        bus.url = await bus.start()
        running.append(bus)
        return bus

    yield start
    for bus in running:
        await bus.stop()


@pytest.fixture
async def bus(start_bus: StartBus) -> RunningBus:
    return await start_bus()
