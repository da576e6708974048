"""One bus for the tests of this room, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from arqonmesh.client import BusClient
from arqonmesh.client import endpoints as endpoints_module
from arqonmesh.config.model import BusSettings
from bench.lone_bus import LoneBus

Connect = Callable[..., Awaitable[BusClient]]


@pytest.fixture
async def open_bus(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoneBus]:
    """It asks for no token, and lost clients come back at once."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.01)
    bus = LoneBus(BusSettings())
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def connect(open_bus: LoneBus) -> AsyncIterator[Connect]:
    """Connect a client that is closed when the test ends."""
    clients: list[BusClient] = []

    async def connected(url: Any = None, **how: Any) -> BusClient:
        client = await BusClient.connect(url or url_of(open_bus), **how)
        clients.append(client)
        return client

    yield connected
    for client in clients:
        await client.close()


def url_of(bus: LoneBus) -> str:
    return f"ws://127.0.0.1:{bus.server.address[1]}"


def cut(bus: LoneBus, client: BusClient) -> None:
    """End this client's connection as a broken network does."""
    next(one for id_, one in bus.server._connections.items() if id_ == client.client_id).abort()
