"""One client's flood does not take the turns of the others, and nothing of it is lost or out of order."""

from __future__ import annotations

import json

import pytest

from arqonmesh.bridge import connection
from tests.bridge.conftest import RunningBus, ask, receive
from tests.bridge.raw import RawClient
from tests.waiting import until

FRAMES = 2_000
pytestmark = pytest.mark.requirement("R-BU-15")


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every piece ends the turn."""
    monkeypatch.setattr(connection, "TURN_NS", 1)
    monkeypatch.setattr(connection, "PIECE_FRAMES", 4)


def burst() -> bytes:
    frames = []
    for number in range(FRAMES):
        payload = b'{"type":"event","channel":"a:b","payload":%d}' % number
        frames.append(b"\x81" + bytes((0x80 | len(payload),)) + b"\0\0\0\0" + payload)
    return b"".join(frames)


async def flooder(bus: RunningBus) -> RawClient:
    return await RawClient.upgraded(bus.url, "Connection: Upgrade\r\nSec-WebSocket-Protocol: arqon.v1\r\n")


async def test_another_client_is_answered_in_the_middle_of_a_flood(bus: RunningBus) -> None:
    """What was read waits in its connection, which reads no more until it is through."""
    async with bus.client() as other:
        raw = await flooder(bus)
        raw.writer.write(burst())
        await until(lambda: bus.core.counters["published"] > 0)
        assert (await ask(other, {"type": "ping"}))["status"] == "success"
        assert bus.core.counters["published"] < FRAMES // 2
        await until(lambda: bus.core.counters["published"] == FRAMES)
        assert bus.server.counters["turns_cut"] > 10
        await raw.send(b'{"type":"ping","v":1}')
        assert json.loads((await raw.frame())[1])["status"] == "success", "it is read again"
        await raw.hang_up()


@pytest.mark.parametrize("end", [b"", b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\x81\0\0\0\0\xff"])
async def test_what_came_before_the_end_is_published(bus: RunningBus, end: bytes) -> None:
    """Whether the client hangs up, closes, or breaks a rule: in order, and all of it."""
    async with bus.member("a:b") as member:
        raw = await flooder(bus)
        raw.writer.write(burst() + end)
        await raw.writer.drain()
        raw.writer.write_eof()
        for number in range(FRAMES):
            assert (await receive(member))["payload"] == number
        await raw.hang_up()


async def test_a_client_that_is_closed_in_the_middle_is_heard_no_further(bus: RunningBus) -> None:
    """What it had sent by then and was not taken yet goes with it."""
    raw = await flooder(bus)
    raw.writer.write(burst())
    await until(lambda: bus.core.counters["published"] > 0)
    (client,) = bus.server._connections
    bus.server.close_client(client, 4429, "enough")
    published = bus.core.counters["published"]
    assert (await raw.closed_with())[0] == 4429
    assert bus.core.counters["published"] == published < FRAMES
    await raw.hang_up()
