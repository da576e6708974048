"""What the WebSocket server measures of itself and of its clients."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.bridge.conftest import RunningBus, StartBus, ask, receive
from tests.bridge.raw import RawClient
from tests.waiting import until

EVENT = {"type": "event", "channel": "a:b", "payload": 1}


@pytest.mark.requirement("R-OB-6")
@pytest.mark.requirement("R-BU-28")
async def test_from_a_read_to_its_writes_is_measured_once_per_tick(bus: RunningBus) -> None:
    """A hundred messages of one write are few ticks; frames that cause nothing to be written are no ticks."""
    async with bus.member("a:b") as member, bus.client() as publisher:
        before = bus.server.written.count
        publisher.transport.write(b"")  # nothing
        await asyncio.gather(*(publisher.send(json.dumps(EVENT)) for _ in range(100)))
        for _ in range(100):
            await receive(member)
        ticks = bus.server.written.count - before
        assert 1 <= ticks <= 100
        assert 0 < bus.server.written.per_mille(500) < 1_000_000
        before = bus.server.written.count
        await publisher.send(json.dumps({**EVENT, "channel": "nobody:listens"}))
        assert (await ask(publisher, {"type": "ping"}))["status"] == "success"
        assert bus.server.written.count - before <= 2
        assert bus.server.outgoing.read_at_ns == 0


@pytest.mark.requirement("R-OB-6")
async def test_the_round_trip_of_a_client_is_that_of_its_pong(start_bus: StartBus) -> None:
    """Of the newest ping, once; an answer to no ping counts for nothing."""
    bus = await start_bus({"ping_interval_s": 0.02, "pong_timeout_s": 20.0})
    async with bus.client():
        await until(lambda: bus.server.round_trips.count > 0)
        (client,) = bus.server._connections
        assert 0 < bus.server.round_trip_us(client) < 10_000_000
    raw = await RawClient.upgraded(bus.url)
    opcode, stamp = await raw.frame()
    assert opcode == 0x89
    before = bus.server.round_trips.count
    for payload in (b"", b"1", stamp, stamp):
        await raw.send(payload, first=0x8A)
    await raw.send(b'{"type":"ping","v":1}')
    await raw.frame()
    assert bus.server.round_trips.count == before + 1
    await raw.hang_up()
    assert bus.server.round_trip_us(client) == 0
