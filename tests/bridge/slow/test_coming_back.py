"""A client that comes back to many channels and reads slowly, over a real socket: replays follow what it has read."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.bridge.conftest import RunningBus, StartBus, ask
from tests.bridge.raw import RawClient
from tests.waiting import until

BUFFER = 1 << 20
CHANNELS = 200
EACH = 6
PAYLOAD = "x" * 15_000
"""18 MB of history in all."""


async def publish(bus: RunningBus, number: int, more: str = PAYLOAD) -> None:
    async with bus.client() as publisher:
        for channel in range(CHANNELS):
            event = {"type": "event", "channel": f"a:c{channel}", "payload": {"n": number, "x": more}}
            await publisher.send(json.dumps(event))
        await ask(publisher, {"type": "ping"})


@pytest.mark.requirement("R-BU-15")
@pytest.mark.requirement("R-BU-27")
async def test_who_comes_back_to_200_channels_and_reads_slowly_gets_everything(start_bus: StartBus) -> None:
    """Nothing is lost, each channel in order, live behind its past; never more waits than `bus.buffer_bytes_max`."""
    bus = await start_bus(buffer_bytes_max=BUFFER)
    for number in range(EACH):
        await publish(bus, number)
    raw = await RawClient.upgraded(bus.url, "Connection: Upgrade\r\nSec-WebSocket-Protocol: arqon.v1\r\n")
    raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for channel in range(CHANNELS):
        await raw.send(json.dumps({"type": "join", "channel": f"a:c{channel}", "since": {}}).encode())
    await until(lambda: bus.core.counters["replays_held"] > CHANNELS // 2)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, bus.server.unsent_bytes())
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await publish(bus, EACH, "")
    raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    heard: dict[str, list[int]] = {f"c{channel}": [] for channel in range(CHANNELS)}
    recovered = 0
    while recovered < CHANNELS or sum(map(len, heard.values())) < CHANNELS * (EACH + 1):
        frame = json.loads((await raw.frame())[1])
        if frame["type"] == "event":
            heard[frame["channel"]].append(frame["payload"]["n"])
        elif frame["type"] == "response":
            assert frame["payload"]["recovered"], frame
            recovered += 1
    watching.cancel()
    assert heard == {f"c{channel}": list(range(EACH + 1)) for channel in range(CHANNELS)}
    assert BUFFER // 8 < most <= BUFFER
    assert bus.drops() == []
    await raw.hang_up()
