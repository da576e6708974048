"""Clients that stop reading, over real sockets: each policy, and the others do not notice."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from arqonmesh.bridge import closing
from arqonmesh.config.model import SlowSettings
from arqonmesh.core.events import Dropped
from tests.bridge.conftest import RunningBus, StartBus, ask, receive
from tests.bridge.raw import RawClient
from tests.waiting import until

pytestmark = pytest.mark.requirement("R-BU-15")
PAYLOAD = "x" * 30_000
MESSAGES = 600
BUFFER = 1 << 20


class Sleeper:
    """A member of chat:lobby that reads nothing until it is told to; its socket holds little."""

    def __init__(self, raw: RawClient) -> None:
        self.raw = raw

    @classmethod
    async def join(cls, bus: RunningBus) -> Sleeper:
        raw = await RawClient.upgraded(bus.url, "Connection: Upgrade\r\nSec-WebSocket-Protocol: arqon.v1\r\n")
        raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        await raw.send(b'{"type":"join","channel":"chat:lobby"}')
        await raw.frame()
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        return cls(raw)

    async def read_to(self, last: int) -> tuple[list[int], list[int]]:
        """(numbers of the messages read, numbers missing according to the notices); in order, up to this one."""
        self.raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
        read, missing, at = list[int](), list[int](), 0
        while at <= last:
            frame = json.loads((await self.raw.frame())[1])
            if frame["type"] == "system":
                if frame["payload"]["event"] != "gap":
                    continue
                missing += range(at, at + frame["payload"]["dropped"])
                at += frame["payload"]["dropped"]
            else:
                assert frame["payload"]["n"] == at, "a message is where the notices say"
                read.append(at)
                at += 1
        return read, missing


async def fill(bus: RunningBus, numbers: range) -> None:
    """Publish, and see that another member has them all, in time."""
    async with bus.member("chat:lobby") as member, bus.client() as publisher:
        for number in numbers:
            frame = {"type": "event", "channel": "chat:lobby", "payload": {"n": number, "x": PAYLOAD}}
            await publisher.send(json.dumps(frame))
            while (heard := await receive(member))["type"] != "event":
                pass
            assert heard["payload"]["n"] == number


async def slow_bus(start_bus: StartBus, policy: Any, **more: Any) -> RunningBus:
    slow = SlowSettings(policy=policy, **more)
    return await start_bus(slow=slow, buffer_bytes_max=BUFFER)


@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
async def test_messages_are_dropped_whole_and_the_client_is_told_how_many_where(
    start_bus: StartBus, policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What it reads and what it is told to have missed is everything, in order; one log line for the episode."""
    bus = await slow_bus(start_bus, policy)
    sleeper = await Sleeper.join(bus)
    await fill(bus, range(MESSAGES))
    (look,) = [look for look in bus.server.looks() if look.slow_ms]
    assert look.queue_bytes <= BUFFER + (512 << 10)
    assert look.lost == bus.server.counters["slow_dropped"] > 0
    read, missing = await sleeper.read_to(MESSAGES - 1)
    assert sorted(read + missing) == list(range(MESSAGES))
    assert len(missing) == look.lost
    assert (MESSAGES - 1 in read) is (policy == "drop-oldest")
    assert 0 in read, "what had left already is not taken back"
    await until(lambda: not [look for look in bus.server.looks() if look.slow_ms])
    await fill(bus, range(MESSAGES, MESSAGES + 3))
    dropped = [event for event in bus.events if isinstance(event, Dropped)]
    assert [(event.reason, event.count) for event in dropped] == [("slow-client-messages", len(missing))]
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1
    await sleeper.raw.hang_up()


async def test_spilled_messages_all_arrive(start_bus: StartBus, tmp_path: Path) -> None:
    """Nothing is lost, nothing is left on disk, memory stays bounded."""
    bus = await slow_bus(start_bus, "spill")
    bus.server.outgoing.slow._room.folder = tmp_path
    sleeper = await Sleeper.join(bus)
    await fill(bus, range(MESSAGES))
    (look,) = [look for look in bus.server.looks() if look.slow_ms]
    assert look.queue_bytes > 4 * BUFFER
    assert bus.server.unsent_bytes() <= BUFFER + (512 << 10)
    assert await sleeper.read_to(MESSAGES - 1) == (list(range(MESSAGES)), [])
    assert bus.server.outgoing.slow._room.bytes == 0
    assert os.listdir(tmp_path) == []
    await sleeper.raw.hang_up()


@pytest.mark.parametrize(("policy", "more"), [("disconnect", {}), ("spill", {"spill_bytes_max": 500_000})])
async def test_who_is_too_slow_for_the_policy_is_cut_off(start_bus: StartBus, policy: Any, more: Any) -> None:
    """1008 with the code; what it had waiting is let go at once."""
    bus = await slow_bus(start_bus, policy, **more)
    sleeper = await Sleeper.join(bus)
    await fill(bus, range(MESSAGES))
    assert ("bridge", "slow-client") in bus.drops()
    assert bus.server.outgoing.slow._room.bytes == 0
    sleeper.raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    code, reason = await sleeper.raw.closed_with()
    assert (code, reason.partition(":")[0]) == (1008, "bus.slow-client")
    await sleeper.raw.hang_up()
    await until(lambda: bus.server.client_count == 0)
    assert bus.server.unsent_bytes() == bus.server.outgoing.unsent_bytes == 0


async def test_who_was_cut_off_reads_why_when_it_reads_again(
    start_bus: StartBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not reading, so the close frame is waited with for longer than for others; the log names it."""
    monkeypatch.setattr(closing, "CLOSE_GRACE_S", 0.0)
    bus = await slow_bus(start_bus, "disconnect")
    sleeper = await Sleeper.join(bus)
    with caplog.at_level(logging.WARNING, "arqonmesh.bridge.outgoing"):
        await fill(bus, range(MESSAGES))
    (line,) = [record.getMessage() for record in caplog.records if "is cut off" in record.getMessage()]
    assert "bus.slow.policy is disconnect" in line
    assert bus.server.unsent_bytes() < BUFFER
    sleeper.raw.writer.transport.resume_reading()  # type: ignore[attr-defined]
    code, reason = await sleeper.raw.closed_with()
    assert (code, reason.partition(":")[0]) == (1008, "bus.slow-client")
    await sleeper.raw.hang_up()


async def test_the_end_of_the_node_does_not_wait_for_who_was_cut_off(start_bus: StartBus) -> None:
    """Whoever reads nothing has as long as everybody else then."""
    bus = await slow_bus(start_bus, "disconnect")
    sleeper = await Sleeper.join(bus)
    await fill(bus, range(MESSAGES))
    assert bus.server.client_count == 1
    async with asyncio.timeout(closing.CLOSE_GRACE_S + 3):
        await bus.server.close()
    await sleeper.raw.hang_up()


async def test_a_slow_client_that_goes_leaves_nothing(start_bus: StartBus) -> None:
    """Neither bytes in the sum nor files nor a wrong count."""
    bus = await slow_bus(start_bus, "spill")
    sleeper = await Sleeper.join(bus)
    await fill(bus, range(MESSAGES // 2))
    sleeper.raw.writer.transport.abort()
    await until(lambda: bus.server.client_count == 0)
    assert (bus.server.outgoing.unsent_bytes, bus.server.outgoing.slow._room.bytes) == (0, 0)


async def test_a_client_that_keeps_up_is_never_held(bus: RunningBus) -> None:
    """Its messages go to the transport directly."""
    async with bus.member("chat:lobby") as member:
        async with bus.client() as publisher:
            for number in range(50):
                await publisher.send(json.dumps({"type": "event", "channel": "chat:lobby", "payload": number}))
            for number in range(50):
                assert (await receive(member))["payload"] == number
        assert {look.slow_ms for look in bus.server.looks()} == {0}
        assert (await ask(member, {"type": "ping"}))["status"] == "success"
