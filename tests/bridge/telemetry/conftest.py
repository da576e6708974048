"""A telemetry server on loopback with a hub of its own, and clients of an independent library."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.telemetry import Hub, Origin, TelemetryServer
from arqonmesh.config.model import BusSettings, TelemetrySettings

Json = dict[str, Any]


def stamper() -> Callable[[], tuple[str, str]]:
    """Ids that count, and one time for all."""
    ids = iter(range(1_000_000))
    return lambda: (f"arq_{next(ids)}", "2026-03-01T12:00:00.000Z")


def monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


class Watched:
    """A running server."""

    def __init__(self, server: TelemetryServer) -> None:
        self.server = server

    @asynccontextmanager
    async def client(self, query: str = "", **options: Any) -> AsyncIterator[ClientConnection]:
        """A `websockets` client that has read its welcome."""
        address = self.server.address
        assert address is not None
        url = f"ws://{address[0]}:{address[1]}/{query}"
        async with connect(url, proxy=None, **options) as client:
            assert (await receive(client))["type"] == "welcome"
            yield client

    def tell(self, event_type: str, **payload: Any) -> None:
        self.server.tell(event_type, payload, source="test", stream="integriguard:telemetry-stream")


async def receive(client: ClientConnection) -> Json:
    async with asyncio.timeout(10):
        return cast(Json, json.loads(await client.recv()))


async def ask(client: ClientConnection, frame: Json) -> Json:
    await client.send(json.dumps(frame))
    return await receive(client)


Start = Callable[..., Awaitable[Watched]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers with settings of one's own; they are stopped at the end."""
    running: list[TelemetryServer] = []

    async def start(
        *,
        authenticator: Authenticator | None = None,
        port: int = 0,
        retry_s: float = 10.0,
        sweep_s: float = 20.0,
        **settings: Any,
    ) -> Watched:
        chosen = TelemetrySettings(**{"batch_ms": 5, **settings})
        hub = Hub(chosen, Origin("n" * 32, "hq"), stamper(), monotonic_us())
        server = TelemetryServer(
            hub, chosen, BusSettings(), authenticator, now=monotonic_us, retry_s=retry_s, sweep_s=sweep_s
        )
        await server.start("127.0.0.1", port)
        running.append(server)
        return Watched(server)

    yield start
    for server in running:
        await server.close()
