"""The bus over real WebSockets, with an independent client library and with clients that break the rules."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arqonmesh.bridge import picows_server
from arqonmesh.config.model import BusSettings
from arqonmesh.core.events import Backlog, Published
from arqonmesh.errors import ConfigError
from arqonmesh.ids import NodeId
from bench.lone_bus import LoneBus
from tests.bridge.conftest import RunningBus, StartBus, ask, receive
from tests.bridge.raw import RawClient

CHANNEL = "telemetry:host"
EVENT = {"type": "event", "channel": CHANNEL, "payload": {"load": 0.5}}


UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.requirement("R-BU-1")
async def test_events_flow_between_clients_of_another_library(bus: RunningBus) -> None:
    """`websockets` connects with the sub-protocol, joins, publishes and receives, in order."""
    async with bus.member(CHANNEL) as member, bus.client() as publisher:
        assert member.subprotocol == "arqon.v1"
        for i in range(200):
            await publisher.send(json.dumps({**EVENT, "payload": i}))
        assert [(await receive(member))["payload"] for _ in range(200)] == list(range(200))


@pytest.mark.requirement("R-BU-22")
async def test_an_existing_arqonbus_1_0_client_works_unchanged(bus: RunningBus) -> None:
    """No sub-protocol, welcome first, commands in the payload, messages with from_client and to_client."""
    async with connect(bus.url, proxy=None) as alice, connect(bus.url, proxy=None) as bob:
        ids = []
        for client in (alice, bob):
            welcome = await receive(client)
            assert (welcome["type"], welcome["version"]) == ("message", "1.0")
            ids.append(welcome["payload"]["client_id"])
            command = {"command": "join_channel", "parameters": {"channel_id": "arq_channel_demo"}}
            answer = await ask(client, {"id": "arq_cmd_1", "type": "command", "from_client": "x", "payload": command})
            while answer["type"] != "command_response":
                answer = await receive(client)
            assert (answer["id"], answer["result"]["success"]) == ("arq_cmd_1_response", True)
        assert (await receive(alice))["payload"]["event"] == "joined"
        message = {"id": "arq_m1", "type": "message", "from_client": "x", "timestamp": "2026-01-01T00:00:00"}
        await alice.send(json.dumps({**message, "channel": "arq_channel_demo", "payload": {"text": "hi"}}))
        heard = await receive(bob)
        assert (heard["type"], heard["from_client"], heard["payload"]) == ("message", ids[0], {"text": "hi"})
        await bob.send(json.dumps({**message, "to_client": ids[0], "payload": {"text": "psst"}}))
        assert (await receive(alice))["payload"] == {"text": "psst"}


async def test_all_frames_of_one_read_reach_the_bus_together(bus: RunningBus) -> None:
    """Ping and pong in between do not split or lose them."""
    client = await RawClient.upgraded(bus.url)
    frame = json.dumps(EVENT).encode()
    one = bytes((0x81, 0x80 | len(frame))) + b"\0\0\0\0" + frame
    await client.write(one * 3 + b"\x89\x81\0\0\0\0!" + one + b"\x8a\x80\0\0\0\0")
    assert await client.frame() == (0x8A, b"!")
    async with bus.client() as other:
        await ask(other, {"type": "ping"})
    assert [len(event.frames) for event in bus.events if isinstance(event, Published)] == [4]
    await client.hang_up()


async def test_fragments_and_masks_are_put_together(bus: RunningBus) -> None:
    """RFC 6455, 5.4: control frames may come between fragments; UTF-8 may be cut inside a character."""
    client = await RawClient.upgraded(bus.url)
    text = '{"type":"event","channel":"a:b","payload":"é"}'.encode()
    cut = text.index(b"\xa9")
    await client.send(text[:cut], first=0x01)
    await client.send(b"?", first=0x89)
    await client.send(b"", first=0x00)
    await client.send(text[cut:], first=0x80)
    assert await client.frame() == (0x8A, b"?")
    await client.send_masked(b'{"type":"ping","v":1}')
    assert b'"pong":true' in (await client.frame())[1]
    published = [frame for event in bus.events if isinstance(event, Published) for frame in event.frames]
    assert b'"payload":"\xc3\xa9"' in published[0]
    await client.hang_up()


@pytest.mark.parametrize(
    ("first", "payload", "masked", "code", "reason"),
    [
        (0x82, b"binary", True, 1003, "binary-frame"),
        (0x81, b"\xff\xfe", True, 1007, "not-utf8"),
        (0x81, b"x" * 2_000, True, 1009, "frame-too-large"),
        (0x81, b"{}", False, 1002, "protocol-error"),
        (0xC1, b"{}", True, 1002, "protocol-error"),
        (0x83, b"{}", True, 1002, "protocol-error"),
        (0x80, b"{}", True, 1002, "protocol-error"),
        (0x89, b"x" * 126, True, 1002, "protocol-error"),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_closed_and_nobody_else_notices(
    start_bus: StartBus, first: int, payload: bytes, masked: bool, code: int, reason: str
) -> None:
    """A clear close code, one count, and what it said before still arrives."""
    bus = await start_bus(frame_bytes_max=1_000)
    async with bus.member(CHANNEL) as member:
        client = await RawClient.upgraded(bus.url)
        await client.send(json.dumps(EVENT).encode())
        await client.send(payload, first=first, masked=masked)
        assert (await client.closed_with())[0] == code
        await client.hang_up()
        await bus.dropped_for(reason)
        assert bus.drops() == [("bridge", reason)]
        assert (await receive(member))["payload"] == {"load": 0.5}
        async with bus.client() as other:
            await other.send(json.dumps({**EVENT, "payload": 2}))
            assert (await receive(member))["payload"] == 2


async def test_a_giant_message_in_small_fragments_is_a_giant_message(start_bus: StartBus) -> None:
    """1009 by its sum, and by the number of its parts."""
    bus = await start_bus(frame_bytes_max=1_000)
    for size, count in ((100, 11), (0, 1_100)):
        client = await RawClient.upgraded(bus.url)
        await client.send(b"x" * size, first=0x01)
        for _ in range(count):
            client.writer.write(bytes((0x00, 0x80 | size)) + b"\0\0\0\0" + b"x" * size)
        assert (await client.closed_with())[0] == 1009
        await client.hang_up()
    assert bus.drops() == [("bridge", "frame-too-large")] * 2


@pytest.mark.requirement("R-BU-19")
async def test_a_client_that_stops_reading_is_cut_off_while_the_others_go_on(start_bus: StartBus) -> None:
    """1008 when more than buffer_bytes_max waits for it; nobody else loses a message."""
    bus = await start_bus(buffer_bytes_max=200_000)
    async with bus.member(CHANNEL) as member, bus.client() as publisher:
        stuck = await RawClient.upgraded(bus.url)
        await stuck.send(json.dumps({"type": "join", "channel": CHANNEL}).encode())
        await receive(member)  # its notice
        got = 0
        async with asyncio.timeout(30):
            while not bus.drops():
                await publisher.send(json.dumps({**EVENT, "payload": "x" * 100_000}))
                assert len((await receive(member))["payload"]) == 100_000
                got += 1
        assert bus.drops() == [("bridge", "slow-client")]
        code, why = await stuck.closed_with()
        assert code == 1008
        assert "buffer_bytes_max" in why
        await stuck.hang_up()
        notice = await receive(member)
        assert notice["payload"]["event"] == "left"
        assert got > 2


async def test_the_slowest_goes_first_when_all_together_are_too_slow(start_bus: StartBus) -> None:
    """A bound over all clients, so that many slow ones do not add up to the machine's memory."""
    bus = await start_bus({"unsent_bytes_max": 300_000}, buffer_bytes_max=10_000_000)
    stuck = [await RawClient.upgraded(bus.url) for _ in range(3)]
    for client in stuck:
        await client.send(json.dumps({"type": "join", "channel": CHANNEL}).encode())
    async with bus.client() as publisher, asyncio.timeout(30):
        await ask(publisher, {"type": "ping"})
        while not bus.drops():
            await publisher.send(json.dumps({**EVENT, "payload": "x" * 100_000}))
            await ask(publisher, {"type": "ping"})
        assert bus.drops()[0] == ("bridge", "slow-client")
        assert bus.server.unsent_bytes() <= 300_000 + 3 * 200_000
    for client in stuck:
        await client.hang_up()


async def test_a_flood_of_rubbish_ends_with_1008(bus: RunningBus) -> None:
    """Each frame is answered, and after 100 the client is gone."""
    async with bus.member(CHANNEL) as member, bus.client() as flooder:
        with pytest.raises(ConnectionClosed) as closed:
            await _rubbish(flooder)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert (await ask(member, {"type": "ping"}))["payload"]["pong"] is True


async def _rubbish(flooder: ClientConnection) -> None:
    for _ in range(10_000):
        await flooder.send("rubbish")
    while True:
        assert (await receive(flooder))["type"] == "error"


@pytest.mark.requirement("R-BU-14")
async def test_a_bus_with_a_token_lets_in_who_shows_it(start_bus: StartBus) -> None:
    """In the Authorization header, or in the URL for browsers; everyone else gets 401 and a count."""
    bus = await start_bus(auth_token="s3cret")
    async with bus.client(additional_headers={"Authorization": "Bearer s3cret"}) as client:
        assert (await ask(client, {"type": "ping"}))["status"] == "success"
    async with connect(bus.url + "?token=s3cret", proxy=None) as client:
        assert (await receive(client))["payload"]["welcome"]
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
        with pytest.raises(InvalidStatus) as refused:
            async with bus.client(additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
        assert b"bus.auth" in refused.value.response.body
    assert bus.drops() == [("bridge", "auth")] * 3


async def test_one_client_too_many_is_closed_with_1013(start_bus: StartBus) -> None:
    """try again later."""
    bus = await start_bus(clients_max=1)
    async with bus.client(), connect(bus.url, proxy=None) as second:
        with pytest.raises(ConnectionClosed) as closed:
            await second.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "clients_max" in closed.value.rcvd.reason) == (1013, True)


async def test_a_handshake_as_firefox_makes_it_is_accepted(bus: RunningBus) -> None:
    """Connection: keep-alive, Upgrade."""
    client = await RawClient.upgraded(bus.url, "Connection: keep-alive, Upgrade\r\n")
    await client.hang_up()


async def test_a_plain_http_request_is_told_what_this_is(bus: RunningBus) -> None:
    """426 with a sentence."""
    client = await RawClient.open(bus.url)
    await client.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"connect with WebSocket" in answer
    await client.hang_up()


@pytest.mark.parametrize("target", ["//[", "/?" + "&".join(f"a{i}=1" for i in range(17))])
async def test_a_target_that_cannot_be_read_is_refused_and_counted(bus: RunningBus, target: str) -> None:
    """400, the client's mistake and not ours."""
    client = await RawClient.open(bus.url)
    await client.write(UPGRADE.replace(b"/", target.encode(), 1))
    assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
    await client.hang_up()
    assert bus.drops() == [("bridge", "bad-target")]


async def test_a_handshake_that_ends_while_the_node_stops_holds_nothing_up(start_bus: StartBus) -> None:
    """503: a client that comes now would be waited for and never told to go."""
    bus = await start_bus()
    late = await RawClient.open(bus.url)
    async with bus.client() as client:
        stop = asyncio.create_task(bus.stop())
        await asyncio.sleep(0)
        await late.write(UPGRADE)
        assert (await late.rest()).startswith(b"HTTP/1.1 503 ")
        await client.wait_closed()
        async with asyncio.timeout(10):
            await stop
    await late.hang_up()


async def test_a_slow_handshake_is_ended_and_counted(bus: RunningBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after the time it has; a client that hangs up before is nothing."""
    monkeypatch.setattr(picows_server, "HANDSHAKE_TIMEOUT_S", 0.05)
    gone = await RawClient.open(bus.url)
    await gone.hang_up()
    slow = await RawClient.open(bus.url)
    await slow.write(b"GET / HTTP/1.1\r\n")
    head, _, body = (await slow.rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["error"]["code"] == "bus.handshake"
    await slow.hang_up()
    assert bus.drops() == [("bridge", "handshake-slow")]


async def test_half_done_handshakes_are_bounded(bus: RunningBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest gives way (503), so that a storm of them keeps no honest client out."""
    monkeypatch.setattr(picows_server, "HANDSHAKES_MAX", 2)
    waiting = [await RawClient.open(bus.url) for _ in range(2)]
    async with bus.client() as client:
        assert (await waiting[0].rest()).startswith(b"HTTP/1.1 503 ")
        assert (await ask(client, {"type": "ping"}))["status"] == "success"
    assert bus.drops() == [("bridge", "handshakes-max")]
    await waiting[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await waiting[1].rest()).startswith(b"HTTP/1.1 426 ")
    for client_ in waiting:
        await client_.hang_up()


async def test_a_client_that_vanished_is_noticed(start_bus: StartBus) -> None:
    """A ping that nobody answers ends with 1011; one that answers stays."""
    bus = await start_bus({"ping_interval_s": 0.05, "pong_timeout_s": 0.2})
    silent = await RawClient.upgraded(bus.url)
    async with bus.client(ping_interval=None) as present:
        assert (await silent.frame())[0] == 0x89
        code, why = await silent.closed_with()
        assert (code, "ping" in why) == (1011, True)
        assert bus.drops() == [("bridge", "half-open")]
        await silent.hang_up()
        assert (await ask(present, {"type": "ping"}))["status"] == "success"


async def test_a_paused_publisher_is_not_read_and_goes_on_where_it_was(bus: RunningBus) -> None:
    """Throttle stops reading at the socket; nothing is lost."""
    async with bus.member(CHANNEL) as member, bus.client() as publisher:
        bus.on_event(Backlog(NodeId("f" * 32), True))
        await publisher.send(json.dumps({**EVENT, "payload": 0}))
        assert (await receive(member))["payload"] == 0
        sent = asyncio.create_task(_send_many(publisher, 300))
        assert (await ask(member, {"type": "ping"}))["status"] == "success"
        assert bus.core.stats()["clients_paused"] == 1
        assert not sent.done()
        bus.on_event(Backlog(NodeId("f" * 32), False))
        for i in range(300):
            assert (await receive(member))["payload"][0] == i
        await sent


async def _send_many(publisher: ClientConnection, count: int) -> None:
    for i in range(count):
        await publisher.send(json.dumps({**EVENT, "payload": [i, "x" * 50_000]}))


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_client_may_leave_with_any_code(bus: RunningBus, code: int) -> None:
    """The close is answered; the channel hears that it left."""
    async with bus.member(CHANNEL) as member, bus.member(CHANNEL) as leaver:
        await receive(member)
        await leaver.close(code, "bye")
        assert leaver.close_code == code
        assert (await receive(member))["payload"]["event"] == "left"
    assert bus.drops() == []


async def test_everyone_is_told_when_the_node_stops(start_bus: StartBus) -> None:
    """1001, also for a client that does not read."""
    bus = await start_bus()
    stuck = await RawClient.upgraded(bus.url)
    async with bus.client() as client:
        stop = asyncio.create_task(bus.stop())
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert (await stuck.closed_with())[0] == 1001
        await stuck.hang_up()
        await stop
    assert bus.server.client_count == 0


async def test_an_address_that_is_taken_is_told_with_the_setting(bus: RunningBus) -> None:
    """ConfigError bus.listen."""
    second = LoneBus(BusSettings())
    with pytest.raises(ConfigError, match="cannot listen") as wrong:
        await second.server.start("127.0.0.1", bus.server.address[1])
    assert wrong.value.code == "bus.listen" and "listen.bus in the node's arqon.yaml" in wrong.value.hint
    assert "another process has it; it needs" in str(wrong.value) and "ss -ltnp" in wrong.value.hint


@pytest.mark.requirement("R-BU-20")
async def test_three_hundred_members_of_one_channel_hear_one_event(start_bus: StartBus) -> None:
    """Each gets it; the file descriptors of a test process are the bound here, not the bus."""
    bus = await start_bus()
    clients = [await RawClient.upgraded(bus.url) for _ in range(300)]
    for client in clients:
        await client.send(b'{"type":"join","channel":"big:one"}')
    async with bus.client() as publisher:
        while (await ask(publisher, {"type": "info", "channel": "big:one"}))["payload"]["channel"][
            "member_count"
        ] < 300:
            pass
        await publisher.send(json.dumps({"type": "event", "channel": "big:one", "payload": 1}))
        for client in clients:
            while b'"type":"event"' not in (await client.frame())[1]:
                pass
    for client in clients:
        await client.hang_up()
