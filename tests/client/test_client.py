"""The client of our own tools, against a real bus."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arqonmesh.client import BusClient
from arqonmesh.client import connection as connection_module
from arqonmesh.client import endpoints as endpoints_module
from arqonmesh.client import mailboxes as mailboxes_module
from arqonmesh.config.model import BusSettings
from arqonmesh.core.events import Backlog
from arqonmesh.errors import ArqonError, Denied, NotFound, PeerError, TimedOut
from arqonmesh.ids import NodeId
from bench.lone_bus import LoneBus
from tests.waiting import until

CHANNEL = "telemetry:host"
WELCOME_LESS = b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"


@pytest.fixture
async def bus() -> AsyncIterator[LoneBus]:
    bus = LoneBus(BusSettings(auth_token="s3cret", frame_bytes_max=1_000_000))
    await bus.start()
    yield bus
    await bus.stop()


def url(bus: LoneBus) -> str:
    return f"ws://127.0.0.1:{bus.server.address[1]}"


async def connect(bus: LoneBus, *, reconnect: bool = False) -> BusClient:
    return await BusClient.connect(url(bus), "s3cret", name="test", reconnect=reconnect)


async def test_what_one_publishes_another_receives_in_order(bus: LoneBus) -> None:
    """join, publish, messages; notices are not messages; bodies large and small."""
    async with await connect(bus) as publisher, await connect(bus) as member:
        assert member.client_id.startswith("arq_")
        await member.join(CHANNEL)
        await member.join("chat:*")
        async with await connect(bus) as passer_by:
            await passer_by.join(CHANNEL)
        bodies = [{"n": i, "x": "é" * i} for i in (1, 100, 40_000)] + [None, 7, "text", [1, 2]]
        for body in bodies:
            await publisher.publish(CHANNEL, body, metadata={"a": 1})
        await publisher.publish_raw("chat:x", b'"raw"')
        await publisher.private(member.client_id, "psst")
        got = []
        async for message in member.messages():
            got.append((message.type, message.channel, message.payload))
            if message.type == "private":
                break
            assert message.from_ == publisher.client_id
        expected = [("event", CHANNEL, body) for body in bodies]
        assert got == [*expected, ("event", "chat:x", "raw"), ("private", "", "psst")]


async def test_commands_answer_or_raise_with_the_bus_s_own_code(bus: LoneBus) -> None:
    """Several at once, each to its own caller."""
    async with await connect(bus) as client:
        answers = await asyncio.gather(*(client.command(name) for name in ("ping", "status", "help")))
        assert [set(answer.payload) & {"pong", "you", "commands"} for answer in answers] == [
            {"pong"},
            {"you"},
            {"commands"},
        ]
        with pytest.raises(NotFound, match="no channel") as missing:
            await client.command("channel_info", channel="no:one")
        assert (missing.value.code, missing.value.hint) == ("bus.no-such-channel", "bus.command('list_channels')")
        with pytest.raises(PeerError, match="fly"):
            await client.command("fly")


async def test_a_wrong_token_is_denied_and_a_wrong_address_unreachable(bus: LoneBus) -> None:
    """Each with what to do."""
    with pytest.raises(Denied, match="token") as denied:
        await BusClient.connect(url(bus))
    assert denied.value.code == "bus.auth"
    port = bus.server.address[1]
    await bus.stop()
    with pytest.raises(PeerError, match="no bus at") as unreachable:
        await BusClient.connect(f"ws://127.0.0.1:{port}")
    assert (unreachable.value.code, unreachable.value.hint[:5]) == ("bus.unreachable", "arqon")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (b"", TimedOut),
        (b"220 smtp\r\n\r\n", PeerError),
        (b"HTTP/1.1 404 No\r\n\r\n", PeerError),
        (WELCOME_LESS, TimedOut),
    ],
)
async def test_something_that_is_no_bus_is_told_so(
    monkeypatch: pytest.MonkeyPatch, words: bytes, kind: type[ArqonError]
) -> None:
    """Silence ends in time, before the handshake and after it; so does a server that speaks something else."""
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 0.1)
    gone = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(words.replace(b"ACCEPT", accept))
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    with pytest.raises(kind):
        await BusClient.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await gone.wait()
    server.close()


async def test_messages_end_with_close_and_raise_when_the_bus_goes(bus: LoneBus) -> None:
    """The reason says what the bus said."""
    client = await connect(bus)
    reader = asyncio.create_task(_collect(client))
    await client.flush()
    await client.close()
    await client.close()
    assert await reader == []
    with pytest.raises(PeerError, match="closed"):
        await client.publish(CHANNEL, 1)
    other = await connect(bus)
    reader = asyncio.create_task(_collect(other))
    await other.flush()
    await bus.stop()
    with pytest.raises(PeerError, match="1001 the node stops"):
        await reader
    await other.close()


async def _collect(client: BusClient) -> list[object]:
    return [message.payload async for message in client.messages()]


async def test_a_lost_connection_is_dialled_again_and_joined_again(
    bus: LoneBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back-off, then the same subscriptions; publishing waits meanwhile."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.01)
    member = await connect(bus, reconnect=True)
    await member.join(CHANNEL)
    port = bus.server.address[1]
    await bus.stop()
    waiting = asyncio.create_task(member.publish("a:b", 1))
    again = LoneBus(BusSettings(auth_token="s3cret"))
    await again.server.start("127.0.0.1", port)
    await waiting
    async with asyncio.timeout(10):
        await until(lambda: member.reconnects == 1)
        async with await BusClient.connect(f"ws://127.0.0.1:{port}", "s3cret") as publisher:
            await publisher.publish(CHANNEL, "after")
            async for message in member.messages():
                assert message.payload == "after"
                break
    await member.close()
    await again.stop()


async def test_a_join_refused_while_dialling_again_leaves_no_second_connection(
    bus: LoneBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try that comes to nothing is hung up before the next, and there is one who tries."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.01)
    monkeypatch.setattr(endpoints_module, "RECONNECT_MAX_S", 0.01)
    member = await connect(bus, reconnect=True)
    await member.join(CHANNEL)
    member._session.subscriptions.joined["no channel's name"] = None
    at_once: list[int] = []
    connected = bus.server.connected

    def counted(*arguments: Any) -> Any:
        client = connected(*arguments)
        at_once.append(bus.server.client_count)
        return client

    monkeypatch.setattr(bus.server, "connected", counted)
    for connection in list(bus.server._connections.values()):
        connection.abort()
    await until(lambda: len(at_once) >= 10)
    assert max(at_once) <= 2, "one that comes and one whose end the bus has yet to see"
    del member._session.subscriptions.joined["no channel's name"]
    await until(lambda: member.reconnects == 1)
    await member.flush()
    await member.close()
    await until(lambda: bus.server.client_count == 0)


async def test_who_publishes_while_the_client_is_being_closed_is_told_so(bus: LoneBus) -> None:
    """And does not turn in a circle, which would stop the loop that is to end it."""
    client = await connect(bus)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    with pytest.raises(PeerError) as error:
        await client.publish(CHANNEL, 1)
    assert error.value.code == "bus.closed"
    await closing


async def test_a_command_is_given_up_in_time_also_when_it_cannot_be_sent(bus: LoneBus) -> None:
    """The time-out counts from the call, not from when there was room for the question."""
    client = await connect(bus)
    assert client._session._link.connection is not None
    client._session._link.connection.pause_writing()
    with pytest.raises(TimedOut):
        await client.command("ping", timeout_s=0.01)
    await client.close()


async def test_a_reader_that_is_slow_holds_the_bus_back_not_its_own_memory(
    bus: LoneBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond QUEUE_MAX messages the socket is read no further; all arrive in the end."""
    monkeypatch.setattr(mailboxes_module, "QUEUE_MAX", 20)
    async with await connect(bus) as publisher, await connect(bus) as member:
        await member.join(CHANNEL)
        body = "x" * 20_000
        for i in range(300):
            await publisher.publish(CHANNEL, [i, body])
        await publisher.flush()
        assert len(member._session.boxes.common.held) < 200
        seen = 0
        async for message in member.messages():
            assert message.payload[0] == seen
            seen += 1
            if seen == 300:
                break


async def test_a_publisher_waits_while_the_bus_does_not_read(bus: LoneBus) -> None:
    """Back-pressure reaches `publish`; a command in that state times out."""
    async with await connect(bus) as publisher:
        bus.on_event(Backlog(NodeId("f" * 32), True))
        await publisher.publish(CHANNEL, 0)
        await until(lambda: bus.core.stats()["clients_paused"] == 1)
        stuck = asyncio.create_task(_publish_many(publisher, 400))
        with pytest.raises(TimedOut, match="ping"):
            await publisher.command("ping", timeout_s=0.3)
        assert not stuck.done()
        bus.on_event(Backlog(NodeId("f" * 32), False))
        await stuck
        await publisher.flush()
        assert bus.core.stats()["published"] == 401


async def _publish_many(publisher: BusClient, count: int) -> None:
    for i in range(count):
        await publisher.publish(CHANNEL, [i, "x" * 50_000])
