"""Bad clients over real sockets: the offender is cut off with a reason, the others do not notice."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from arqonmesh.bridge import picows_server
from bench.bus_load import percentile
from tests.bridge.conftest import RunningBus, StartBus, ask, receive
from tests.bridge.raw import RawClient
from tests.waiting import until

pytestmark = pytest.mark.requirement("R-BU-19")
P99_MAX_US = 250_000
"""Far above what is seen (below 5 ms); a bus that one client can block stays far above this."""


@asynccontextmanager
async def unharmed(bus: RunningBus) -> AsyncIterator[None]:
    """Two good clients talk all the time; at the end their p99 is what it should be and nothing was lost."""
    took_us = list[int]()

    async def talk() -> None:
        async with bus.member("chat:lobby") as member, bus.client() as publisher:
            number = 0
            while not done.is_set() or number < 50:
                begun = time.perf_counter()
                await publisher.send(json.dumps({"type": "event", "channel": "chat:lobby", "payload": number}))
                while (heard := await receive(member))["type"] != "event":
                    pass
                assert heard["payload"] == number
                took_us.append(int((time.perf_counter() - begun) * 1e6))
                number += 1

    done = asyncio.Event()
    talking = asyncio.create_task(talk())
    try:
        yield
    finally:
        done.set()
        await talking
    assert percentile(sorted(took_us), 0.99) < P99_MAX_US


async def test_slowloris_connections_are_ended_and_keep_nobody_out(
    bus: RunningBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a handshake, a byte at a time: 408 after the deadline, or 503 when newcomers need the room."""
    monkeypatch.setattr(picows_server, "HANDSHAKES_MAX", 20)
    monkeypatch.setattr(picows_server, "HANDSHAKE_TIMEOUT_S", 0.3)
    async with unharmed(bus):
        loris = [await RawClient.open(bus.url) for _ in range(50)]
        for client in loris[30:]:
            await client.write(b"GET / HTTP/1.1\r\nHost: ")
        async with bus.client() as newcomer:
            assert (await ask(newcomer, {"type": "ping"}))["status"] == "success"
        ends = [(await client.rest())[9:12] for client in loris]
        assert set(ends) <= {b"408", b"503"}
        assert ends.count(b"503") >= 30
    for client in loris:
        await client.hang_up()
    assert {reason for _, reason in bus.drops()} == {"handshakes-max", "handshake-slow"}
    assert not bus.server._acceptor.handshakes


async def test_a_handshake_storm_leaves_room_for_who_is_there(bus: RunningBus) -> None:
    """Three hundred connections that come and go at once."""
    async with unharmed(bus):
        storm = await asyncio.gather(*(RawClient.upgraded(bus.url) for _ in range(300)))
        await asyncio.gather(*(client.hang_up() for client in storm))
    await until(lambda: bus.server.client_count == 0)
    assert not bus.server._acceptor.by_address


@pytest.mark.parametrize(
    ("first", "payload", "code", "reason"),
    [
        (0x81, b"x" * 300_000, 1009, "frame-too-large"),
        (0x81, b'{"type":"event","payload":"\xff\xfe"}', 1007, "not-utf8"),
        (0x81, b"\xed\xa0\x80", 1007, "not-utf8"),
        (0xC1, zlib.compress(b"0" * 10_000_000), 1002, "protocol-error"),
        (0x80, b"a fragment of nothing", 1002, "protocol-error"),
        (0x83, b"an opcode of nobody", 1002, "protocol-error"),
    ],
)
async def test_frames_that_break_the_rules_end_their_sender(
    bus: RunningBus, first: int, payload: bytes, code: int, reason: str
) -> None:
    """Giant, not UTF-8 (also a surrogate), compressed without agreement (a bomb of 10 MB in 10 kB), out of order."""
    async with unharmed(bus):
        bad = await RawClient.upgraded(bus.url)
        await bad.send(payload, first=first)
        seen, why = await bad.closed_with()
        assert (seen, bool(why) or code == 1002) == (code, True)
        await bad.hang_up()
    assert ("bridge", reason) in bus.drops()


async def test_a_giant_frame_is_refused_by_its_header(bus: RunningBus) -> None:
    """Nobody waits for a gigabyte to come."""
    async with unharmed(bus):
        bad = await RawClient.upgraded(bus.url)
        await bad.write(b"\x81\xff" + (1 << 30).to_bytes(8, "big") + b"\0\0\0\0")
        assert (await bad.closed_with())[0] == 1009
        await bad.hang_up()


async def test_a_flood_is_closed_and_the_others_keep_their_pace(start_bus: StartBus) -> None:
    """Over its rate and on: 4429, with the code in the reason."""
    bus = await start_bus(rate_per_s=2_000)
    frame = b'{"type":"event","channel":"flood:x","payload":1}'
    async with unharmed(bus):
        bad = await RawClient.upgraded(bus.url, "Connection: Upgrade\r\nSec-WebSocket-Protocol: arqon.v1\r\n")
        reading = asyncio.create_task(bad.closed_with())
        while not reading.done():
            try:
                for _ in range(200):
                    await bad.send(frame)
            except ConnectionError:
                break
            await asyncio.sleep(0)
        code, reason = await reading
        assert (code, reason.partition(":")[0]) == (4429, "bus.flood")
        await bad.hang_up()
    assert ("bus", "flood") in bus.drops()


async def test_rubbish_without_end_ends(bus: RunningBus) -> None:
    """A hundred frames in a row that make no sense: 1008."""
    async with unharmed(bus):
        bad = await RawClient.upgraded(bus.url, "Connection: Upgrade\r\nSec-WebSocket-Protocol: arqon.v1\r\n")
        for _ in range(120):
            await bad.send(b"{]")
        assert (await bad.closed_with())[0] == 1008
        await bad.hang_up()


async def test_one_address_has_as_many_connections_as_it_may(start_bus: StartBus) -> None:
    """429 for one more, with the reason as in every other refusal; one that ends makes room."""
    bus = await start_bus(connections_per_address_max=3)
    members = [await RawClient.upgraded(bus.url) for _ in range(3)]
    refused = await RawClient.open(bus.url)
    head, _, body = (await refused.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert json.loads(body)["error"]["code"] == "bus.connections"
    await refused.hang_up()
    assert bus.drops() == [("bridge", "connections")]
    await members[0].hang_up()
    await until(lambda: bus.server.client_count == 2)
    members[0] = await RawClient.upgraded(bus.url)
    for client in members:
        await client.hang_up()


async def test_a_half_open_connection_and_one_that_sends_a_frame_for_ever_are_noticed(start_bus: StartBus) -> None:
    """Neither answers a ping: the one because nobody is there, the other because its frame never ends."""
    bus = await start_bus({"ping_interval_s": 0.1, "pong_timeout_s": 0.3})
    async with unharmed(bus):
        silent, dripping = [await RawClient.upgraded(bus.url) for _ in range(2)]
        await dripping.write(b"\x81\xfe\x10\x00\0\0\0\0")

        async def drip() -> None:
            while True:
                await dripping.write(b"x")
                await asyncio.sleep(0.02)

        dripper = asyncio.create_task(drip())
        for client in (silent, dripping):
            assert (await client.closed_with())[0] == 1011
        dripper.cancel()
        await asyncio.gather(dripper, return_exceptions=True)
        for client in (silent, dripping):
            await client.hang_up()
    assert bus.drops().count(("bridge", "half-open")) == 2
