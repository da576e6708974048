"""A client that lost its connection goes on where it was, at whatever node takes it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from arqonmesh.client import BusClient, Gap, Message, catch_up
from arqonmesh.client import connection as connection_module
from arqonmesh.client import endpoints as endpoints_module
from arqonmesh.config.model import BusSettings, HistorySettings, RoomRule
from arqonmesh.core.events import Imported
from arqonmesh.core.kernel import CloseClient
from arqonmesh.errors import ArqonError, Denied, PeerError, UsageError
from arqonmesh.ids import ClientId, ClusterId, NodeId
from bench.lone_bus import LoneBus
from tests.client.conftest import Connect, cut, url_of
from tests.client.dropping import heard, resumes
from tests.client.nodes import OddNode
from tests.waiting import until


@pytest.mark.requirement("R-SD-2")
async def test_nothing_is_missing_and_nothing_comes_twice(open_bus: LoneBus, connect: Connect) -> None:
    """What was published while the connection was gone comes before what is new; what it published itself does not."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    states: list[str] = []
    member.on_state(states.append)
    await member.join("a:b")
    n = 0
    for round_ in range(1, 4):
        for _ in range(20):
            n += 1
            await publisher.send("a:b", n)
        await member.send("a:b", "by itself")
        cut(open_bus, member)
        for _ in range(20):
            n += 1
            await publisher.send("a:b", n)
        await until(lambda wanted=round_: len(told) == wanted)  # type: ignore[misc]
    await publisher.send("a:b", n + 1)
    await until(lambda: seen[-1:] == [n + 1])
    assert seen == list(range(1, n + 2))
    assert [(one.channel, one.recovered, one.gaps) for one in told] == [("a:b", True, ())] * 3
    assert states == ["reconnecting", "connected"] * 3


@pytest.mark.requirement("R-SD-2")
async def test_what_nobody_has_any_more_is_told(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gap by its stream and offsets; what is left of it comes."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.2)
    small = LoneBus(BusSettings(history=HistorySettings(per_channel=3)))
    url = await small.start()
    publisher, member = await connect(url), await connect(url)
    seen, told = heard(member, "a:b"), resumes(member)
    await member.join("a:b")
    await publisher.send("a:b", 0)
    await until(lambda: seen == [0])
    (epoch,) = member.position("a:b")
    cut(small, member)
    await until(lambda: member.state == "reconnecting")
    for n in range(1, 11):
        await publisher.send("a:b", n)
    await until(lambda: len(told) == 1)
    assert (told[0].recovered, told[0].gaps) == (False, (Gap(epoch, 2, 8),))
    assert seen == [0, 8, 9, 10]
    await publisher.close()
    await member.close()
    await small.stop()


async def test_the_channels_of_a_pattern_are_caught_up(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that it had brought, page by page in order, with what is live behind what was missed."""
    monkeypatch.setattr(catch_up, "PAGE", 100)
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    await publisher.send("a:old", "before anybody listened")
    await member.join("a:*")
    await publisher.send("a:b", 1)
    await publisher.send("a:c", 1)
    await until(lambda: len(seen) == 2)
    cut(open_bus, member)
    for n in range(2, 400):
        await publisher.publish("a:b", n)
    await publisher.send("a:c", 2)
    await until(lambda: len(told) == 3)
    await publisher.send("a:b", 400)
    await until(lambda: len(seen) == 402)
    assert seen[:2] == [1, 1]
    assert [payload for payload in seen[2:] if payload != 2] == list(range(3, 401))
    assert seen.count(2) == 2
    assert [(one.channel, one.recovered) for one in told] == [("a:*", True), ("a:b", True), ("a:c", True)]


async def test_the_next_process_goes_on_from_the_position_that_one_kept(connect: Connect) -> None:
    """`position` and `join(since=)`."""
    publisher, first = await connect(), await connect()
    seen = heard(first, "a:b")
    await first.join("a:b")
    await publisher.send("a:b", 1)
    await until(lambda: seen == [1])
    position = first.position("a:b")
    await first.close()
    await publisher.send("a:b", 2)
    second = await connect()
    rest = heard(second, "a:b")
    resumed = await second.join("a:b", since=position)
    await until(lambda: rest == [2])
    assert (resumed.recovered, resumed.missed) == (True, 1)


@pytest.mark.requirement("R-BU-21")
async def test_when_one_node_goes_the_client_goes_on_at_the_next(open_bus: LoneBus, connect: Connect) -> None:
    """At once: there is no reason to wait for the one that went."""
    other = LoneBus(BusSettings())
    gone = await other.start()
    member = await connect([gone, url_of(open_bus)])
    await member.join("a:b")
    assert member.url == gone
    await other.stop()
    await until(lambda: member.reconnects == 1)
    assert member.url == url_of(open_bus)
    seen = heard(member, "a:b")
    await (await connect()).send("a:b", 1)
    await until(lambda: seen == [1])


async def test_of_several_nodes_the_first_that_answers_is_taken_or_each_is_named() -> None:
    """One error that says what each said."""
    bus = LoneBus(BusSettings())
    url = await bus.start()
    async with await BusClient.connect(["ws://127.0.0.1:1", url]) as client:
        assert client.url == url
    await bus.stop()
    with pytest.raises(PeerError, match=r"none of 2 nodes .*127\.0\.0\.1:1: .*; no bus at"):
        await BusClient.connect(["ws://127.0.0.1:1", url])


@pytest.mark.parametrize("url", ["http://h:1", "", "ws://", "ws://h:port", "ftp://h", []])
async def test_an_address_that_is_none_is_refused_with_one_that_would_be_right(url: Any) -> None:
    """Before anything is dialled."""
    with pytest.raises(UsageError, match="ws://HOST:PORT") as refused:
        await BusClient.connect(url)
    assert (refused.value.code, refused.value.hint[:17]) == ("bus.address", "arqon node status")


@pytest.mark.requirement("R-BU-26")
async def test_a_connection_with_nobody_at_the_other_end_is_noticed() -> None:
    """Silence, a ping, silence: lost, and the reason says so."""
    bus = LoneBus(BusSettings())
    port = int((await bus.start()).rstrip("/").rpartition(":")[2])
    frozen = asyncio.Event()
    pipes: list[asyncio.Task[None]] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if not frozen.is_set():
                writer.write(data)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        pipes.append(asyncio.create_task(pipe(far_reader, writer)))
        await pipe(reader, far_writer)

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = await BusClient.connect(url, reconnect=False, heartbeat_s=0.1)
    await asyncio.wait([asyncio.create_task(client.wait_closed())], timeout=0.5)
    assert client.state == "connected", "a bus that answers pings is alive, whatever it has to say"
    frozen.set()
    with pytest.raises(PeerError, match="no answer to a ping"):
        await client.wait_closed()
    await client.close()
    server.close()
    await bus.stop()
    await asyncio.gather(*pipes)


async def test_a_token_source_is_asked_at_each_connect(connect: Connect) -> None:
    """Also by a function that awaits; a source that fails is told as its own error."""
    bus = LoneBus(BusSettings(auth_token="now"))
    url = await bus.start()
    asked: list[str] = []

    async def source() -> str:
        asked.append("now")
        return "now"

    client = await connect(url, token=source)
    cut(bus, client)
    await until(lambda: client.reconnects == 1)
    assert len(asked) == 2

    def broken() -> str:
        raise KeyError("vault")

    with pytest.raises(PeerError, match="vault") as error:
        await BusClient.connect(url, broken)
    assert error.value.code == "bus.token-source"
    await client.close()
    await bus.stop()


@pytest.mark.parametrize("source", ["then", lambda: "then"], ids=["a token", "a source of tokens"])
async def test_a_client_whose_token_is_no_longer_taken_ends(source: Any, connect: Connect) -> None:
    """It does not knock for ever; whoever waits is told that it was denied."""
    bus = LoneBus(BusSettings(auth_token="then"))
    url = await bus.start()
    client = await connect(url, token=source)
    port = bus.server.address[1]
    await bus.stop()
    other = LoneBus(BusSettings(auth_token="now"))
    await other.server.start("127.0.0.1", port)
    with pytest.raises(Denied):
        await client.wait_closed()
    with pytest.raises(Denied):
        await client.publish("a:b", 1)
    await other.stop()


async def test_a_token_that_ends_is_replaced_without_a_reconnect(
    open_bus: LoneBus, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus's notice is enough; the source is asked and `authenticate` sent."""
    tokens = iter(["first", "second"])
    client = await connect(token=lambda: next(tokens))
    notice = b'{"type":"system","id":"x","from":"arqonbus","payload":{"event":"expiring"},"timestamp":"","v":1}'
    shown: list[bytes] = []
    frames = open_bus.core.client_frames

    def listen(now: int, sender: ClientId, received: Any) -> Any:
        shown.extend(received)
        return frames(now, sender, received)

    monkeypatch.setattr(open_bus.core, "client_frames", listen)
    open_bus.server.deliver((ClientId(client.client_id),), (notice,))
    await until(lambda: any(b'"authenticate"' in frame and b'"second"' in frame for frame in shown))
    assert client.reconnects == 0


async def test_without_reconnect_a_loss_is_the_end_for_everybody_who_waits(open_bus: LoneBus, connect: Connect) -> None:
    """Iterators, handlers, commands, and who sends; `close` afterwards is harmless."""
    client = await connect(reconnect=False)
    handled = heard(client, "a:b")
    waiting = [
        asyncio.ensure_future(anext(client.messages())),
        asyncio.ensure_future(client.wait_closed()),
        asyncio.ensure_future(client.request("a:nobody", 1)),
    ]
    await client.flush()
    open_bus._perform([CloseClient(ClientId(client.client_id), 1008, "you talk too much")])
    for future in waiting:
        with pytest.raises(ArqonError, match="1008 you talk too much"):
            await future
    with pytest.raises(PeerError):
        await client.publish("a:b", 1)
    await client.close()
    assert (client.state, handled) == ("closed", [])


async def test_who_is_closed_because_its_token_ended_is_told_so(open_bus: LoneBus, connect: Connect) -> None:
    """By the bus's own code, and not that some connection was closed."""
    client = await connect(reconnect=False)
    reason = "bus.auth-expired: the token or key expired and no newer one was shown"
    open_bus._perform([CloseClient(ClientId(client.client_id), 4401, reason)])
    with pytest.raises(Denied, match="closed this connection: the token or key expired") as ended:
        await client.wait_closed()
    assert (ended.value.code, "newer token" in ended.value.hint) == ("bus.auth-expired", True)


async def test_a_token_that_ends_and_has_no_source_is_warned_of(
    open_bus: LoneBus, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """In time to do something about it."""
    client = await connect(token="text")
    notice = b'{"type":"system","id":"x","payload":{"event":"expiring","expires":"2026-03-01T12:00:00.000Z"},"v":1}'
    open_bus.server.deliver((ClientId(client.client_id),), (notice,))
    await until(lambda: "token ends at 2026-03-01T12:00:00.000Z" in caplog.text)


async def test_what_was_published_before_the_first_message_came_is_not_missed_either(
    open_bus: LoneBus, connect: Connect
) -> None:
    """The answer to the join says where the channel stood; what came before that is not what was missed."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:b"), resumes(member)
    await publisher.send("a:b", "before the join")
    await member.join("a:b")
    cut(open_bus, member)
    await publisher.send("a:b", 1)
    await publisher.send("a:b", 2)
    await until(lambda: len(told) == 1)
    assert (told[0].recovered, told[0].missed, seen) == (True, 2, [1, 2])


async def test_what_is_live_waits_while_a_pattern_s_channel_is_caught_up(open_bus: LoneBus, connect: Connect) -> None:
    """It comes behind what was missed, though it arrives first."""
    publisher, member = await connect(), await connect()
    seen, told = heard(member, "a:*"), resumes(member)
    await member.join("a:*")
    await publisher.send("a:b", 1)
    await until(lambda: seen == [1])
    ask = member._session.subscriptions._ask

    async def ask_late(command: str, args: dict[str, Any], **how: float) -> Message:
        if command == "history":
            answer = await ask(command, args, **how)
            await publisher.send("a:b", 3)
            await member.flush()
            return answer
        return await ask(command, args, **how)

    member._session.subscriptions._ask = ask_late
    cut(open_bus, member)
    await publisher.send("a:b", 2)
    await until(lambda: len(told) == 2)
    await until(lambda: len(seen) == 3)
    assert seen == [1, 2, 3]


async def test_a_pattern_s_channel_brings_nothing_from_before_the_join(open_bus: LoneBus, connect: Connect) -> None:
    """Events of a stream that the client never met, because they were there before it came."""
    epoch = f"{'b' * 10}-0"
    old = (
        f'{{"id":"old","type":"event","room":"a","channel":"b","from":"x","payload":"old",'
        f'"timestamp":"2020-01-01T00:00:00.000Z","epoch":"{epoch}","offset":1,"v":1}}'
    )
    open_bus.on_event(Imported(NodeId("b" * 32), ClusterId("hq"), "a:b", (old.encode(),)))
    publisher, member = await connect(), await connect()
    assert len(await publisher.history("a:b")) == 1
    seen, told = heard(member, "a:*"), resumes(member)
    await member.join("a:*")
    await publisher.send("a:b", 1)
    await until(lambda: seen == [1])
    cut(open_bus, member)
    await publisher.send("a:b", 2)
    await until(lambda: len(told) == 2)
    assert seen == [1, 2]
    assert member.position("a:b")[epoch] == 1, "it is known from now on"


async def test_of_two_nodes_that_hang_up_neither_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that ends while its channels are joined again is one failure, not two."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.001)
    async with (
        OddNode("answers") as one,
        OddNode("hangs up") as other,
        await BusClient.connect([one.url, other.url]) as member,
    ):
        await member.join("a:b")
        one.manner = "hangs up"
        await member.publish("a:b", "the last")
        await until(lambda: one.came > 3 and other.came > 3)
        one.manner = "answers"
        await until(lambda: member.state == "connected")
        assert member.url == one.url


async def test_a_node_that_was_given_up_says_nothing_about_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends while the next one is being made."""
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 0.05)
    async with OddNode("says nothing") as mute, OddNode("answers") as other:
        async with await BusClient.connect([mute.url, other.url]) as member:
            assert (member.url, other.came) == (other.url, 1)
        await until(lambda: mute.here == other.here == 0)


async def test_joins_that_were_given_up_are_not_sent_on_the_next_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each channel is asked for once per connection, however many attempts there were before."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.001)
    channels = [f"a:{number}" for number in range(100)]
    async with OddNode("answers") as node, await BusClient.connect(node.url) as member:
        await asyncio.gather(*map(member.join, channels))
        node.manner = "hangs up"
        await member.publish("a:b", "the last")
        await until(lambda: node.came > 3)
        node.manner, node.asked = "answers", []
        await until(lambda: member.state == "connected")
        assert sorted(node.asked) == sorted(channels)


async def test_a_client_with_more_channels_than_its_rate_comes_back(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus drops joins that come too fast and does not say which; they are sent again, more slowly."""
    monkeypatch.setattr(endpoints_module, "RECONNECT_MIN_S", 0.001)
    slow = LoneBus(BusSettings(rate_per_s=60))
    member = await connect(await slow.start())
    told = resumes(member)
    channels = [f"a:{number}" for number in range(100)]
    for start in (0, 50):
        await asyncio.gather(*map(member.join, channels[start : start + 50]))
        await until(lambda: room_for(slow, member, 60))
    cut(slow, member)
    await until(lambda: len(told) == 100)
    assert {one.channel for one in told} == set(channels)
    assert (member.reconnects, all(one.recovered for one in told)) == (1, True)
    await member.close()
    await slow.stop()


def room_for(bus: LoneBus, client: BusClient, frames: int) -> bool:
    """Whether the client may send so many now."""
    limits = bus.core.clients[ClientId(client.client_id)].limits
    assert limits is not None
    assert limits.allowance.frames is not None
    return limits.allowance.frames.available(int(time.monotonic() * 1e6)) >= frames


async def test_a_channel_that_is_no_longer_allowed_takes_nothing_from_the_others(
    open_bus: LoneBus, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and tried again at the next loss; the client and its other channels go on."""
    publisher, member = await connect(), await connect()
    told = resumes(member)
    seen, secrets = heard(member, "a:b"), heard(member, "secret:x")
    await member.join("secret:x")
    await member.join("a:b")
    open_bus.core.permissions.adopt((RoomRule(rooms=("secret:*",), join="granted"),))
    cut(open_bus, member)
    await until(lambda: len(told) == 2)
    assert {one.channel: one.recovered for one in told} == {"secret:x": False, "a:b": True}
    assert "secret:x could not be joined again" in caplog.text
    await publisher.send("secret:x", 1)
    await publisher.send("a:b", 1)
    await until(lambda: seen == [1])
    open_bus.core.permissions.adopt(())
    cut(open_bus, member)
    await until(lambda: len(told) == 4 and secrets == [1])
    assert member.state == "connected"
