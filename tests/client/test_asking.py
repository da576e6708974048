"""Requests and answers, receipts, typed channels, presence, history; and the same without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

import pytest
from msgspec import Struct

from arqonmesh.client import BusClient, Message, Presence, SyncBusClient
from arqonmesh.client import mailboxes as mailboxes_module
from arqonmesh.errors import Denied, NotFound, PeerError, TimedOut
from bench.lone_bus import LoneBus
from tests.client.conftest import Connect, url_of
from tests.waiting import until


class Load(Struct):
    load: float


async def test_a_send_says_that_the_bus_has_it_and_a_refusal_why_not(connect: Connect) -> None:
    """The receipt counts who got it."""
    publisher, member = await connect(), await connect()
    await member.join("a:b")
    receipt = await publisher.send("a:b", 1, metadata={"mine": True})
    assert receipt.delivered == 1
    assert receipt.id.startswith("arq_")
    message = await anext(member.messages())
    assert message.metadata == {"mine": True, "ack": True}
    assert message.correlation_id == "", "nobody is asked anything"
    with pytest.raises(PeerError, match="not a channel") as refused:
        await publisher.send("no channel's name", 1)
    assert refused.value.code == "bus.channel-name"


async def test_a_request_is_answered_by_one_client_or_by_whoever_is_in_the_channel(connect: Connect) -> None:
    """By what the handler returns, awaits or raises."""
    asker, agent = await connect(), await connect(name="agent")

    async def root(question: Message) -> float:
        await asyncio.sleep(0)
        if question.payload < 0:
            raise ValueError("no root of that")
        if question.payload > 100:
            raise Denied("agent.too-large", "more than I do", hint="ask for less")
        return float(question.payload**0.5)

    agent.on_request(root)
    end = agent.on_request(lambda question: {"echo": question.payload}, channel="service:echo")
    await agent.join("service:echo")
    answers = await asyncio.gather(*(asker.request(agent.client_id, n * n) for n in range(10)))
    assert [answer.payload for answer in answers] == list(range(10))
    assert (await asker.request("service:echo", "hello")).payload == {"echo": "hello"}
    with pytest.raises(PeerError, match=r"could not answer: no root of that") as failed:
        await asker.request(agent.client_id, -1)
    assert failed.value.code == "bus.request-failed"
    with pytest.raises(PeerError, match="more than I do") as denied:
        await asker.request(agent.client_id, 101)
    assert (denied.value.code, denied.value.hint) == ("agent.too-large", "ask for less")
    with pytest.raises(NotFound):
        await asker.request("arq_nobody", 1)
    end()
    with pytest.raises(TimedOut, match="nobody answered") as late:
        await asker.request("service:echo", 1, timeout_s=0.05)
    assert late.value.code == "bus.request-timeout"


async def test_an_answer_that_comes_too_late_is_nobody_s_message(connect: Connect) -> None:
    """It is counted, and does not turn up among the private messages."""
    asker, agent = await connect(), await connect()
    private = asker.open_box("private")
    await agent.join("service:slow")
    with pytest.raises(TimedOut):
        await asker.request("service:slow", 1, timeout_s=0.02)
    question = await anext(agent.messages())
    await agent.answer(question, "late")
    await agent.private(asker.client_id, "a message")
    assert (await anext(private.messages())).payload == "a message"
    assert asker._session.questions.late == 1


@pytest.mark.requirement("R-SD-2")
async def test_a_typed_channel_hands_on_what_is_of_its_type(connect: Connect) -> None:
    """To handlers and iterators; the rest is counted."""
    publisher, member = await connect(), await connect()
    loads = member.channel("a:load", Load)
    handled: list[float] = []
    loads.on(lambda body, message: handled.append(body.load))
    await loads.join()
    iterator = loads.messages()
    first = asyncio.ensure_future(_next(iterator))
    await asyncio.sleep(0)
    await publisher.publish("a:load", {"load": "high"})
    await publisher.channel("a:load", Load).send(Load(0.5))
    body, message = await first
    assert (body, message.from_) == (Load(0.5), publisher.client_id)
    await until(lambda: handled == [0.5])
    assert loads.rejected == 2, "once for the handler, once for the iterator"
    await iterator.aclose()


@pytest.mark.requirement("R-BU-24")
async def test_presence_and_history(connect: Connect) -> None:
    """Who is here, who comes and goes, what was said."""
    one, other = await connect(name="one", kind="human"), await connect(name="other")
    moves: list[tuple[str, str]] = []

    def moved(presence: Presence, message: Message) -> None:
        moves.append((presence.name, presence.event))

    one.on_presence(moved)
    await one.join("a:b")
    await other.join("a:b")
    members = await one.presence("a:b")
    assert {(member.name, member.type) for member in members} >= {("one", "human")}
    await other.leave("a:b")
    await until(lambda: len(moves) == 2)
    assert moves == [("other", "joined"), ("other", "left")]
    for n in range(5):
        await other.send("a:b", n)
    page = await one.history("a:b", limit=3)
    assert ([message.payload for message in page], page.more) == ([2, 3, 4], True)
    since = {page.messages[0].epoch: page.messages[0].offset}
    assert [message.payload for message in await one.history("a:b", since=since)] == [3, 4]


async def test_a_handler_that_fails_is_logged_and_the_next_message_handled(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """One after the other, also those that await."""
    publisher, member = await connect(), await connect()
    seen: list[int] = []

    async def handler(message: Message) -> None:
        await asyncio.sleep(0)
        seen.append(message.payload)
        if message.payload == 1:
            raise ValueError("mine")

    end = member.on("a:b", handler)
    await member.join("a:b")
    for n in (1, 2):
        await publisher.send("a:b", n)
    await until(lambda: seen == [1, 2])
    assert [record.exc_info is not None for record in caplog.records] == [True]
    end()
    await publisher.send("a:b", 3)
    assert (await anext(member.messages())).payload == 3, "without a handler it is the iterator's"


async def test_what_nobody_takes_does_not_pile_up(connect: Connect) -> None:
    """With handlers and no iterator, what no handler takes is counted and let go."""
    publisher, member = await connect(), await connect()
    member.on("a:b", lambda message: None)
    await member.join("a:*")
    for n in range(3):
        await publisher.send("a:other", n)
    await member.flush()
    boxes = member._session.boxes
    assert (boxes.unclaimed, len(boxes.common.held)) == (3, 0)


async def test_a_command_is_answered_though_the_reader_is_slow(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes behind what is not taken yet; the client reads on as far as it may."""
    monkeypatch.setattr(mailboxes_module, "QUEUE_MAX", 20)
    publisher, member = await connect(), await connect()
    await member.join("a:b")
    for n in range(60):
        await publisher.send("a:b", n)
    await member.flush(timeout_s=2)
    stream = member.messages()
    assert [(await anext(stream)).payload for _ in range(60)] == list(range(60))


async def test_what_is_said_to_a_room_reaches_each_taker_once(connect: Connect) -> None:
    """Handlers of its channels, of the room and of everything."""
    publisher, member = await connect(), await connect()
    seen: dict[str, list[int]] = {what: [] for what in ("a:b", "a:*", "*:b", "*")}
    for what, payloads in seen.items():
        member.on(what, lambda message, payloads=payloads: payloads.append(message.payload))  # type: ignore[misc]
    await member.join("a:b")
    await publisher.send("a:b", 1)
    await publisher.send("a:*", 2)
    await until(lambda: seen["*"] == [1, 2])
    await until(lambda: seen == {"a:b": [1, 2], "a:*": [1, 2], "*:b": [1], "*": [1, 2]})


@pytest.mark.requirement("R-SD-1")
async def test_the_same_without_an_event_loop(open_bus: LoneBus, connect: Connect) -> None:
    """From several threads; an iterator ends when another thread closes the client."""
    agent = await connect()
    agent.on_request(lambda question: question.payload + 1)
    await agent.join("a:b")
    url, agent_id = url_of(open_bus), agent.client_id
    got: list[object] = []
    ready = threading.Event()

    def listen(bus: SyncBusClient) -> None:
        bus.join("a:c")
        ready.set()
        got.extend(message.payload for message in bus.messages())

    def work() -> None:
        with SyncBusClient.connect(url, name="sync") as bus, SyncBusClient.connect(url) as other:
            listener = threading.Thread(target=listen, args=(other,))
            listener.start()
            assert ready.wait(10)
            assert bus.send("a:b", 1).delivered == 1
            assert bus.request(agent_id, 41).payload == 42
            handled: list[object] = []
            bus.join("a:d")
            end = bus.on("a:d", lambda message: handled.append(message.payload))
            other.publish("a:d", "for the handler")
            other.flush()
            bus.flush()
            end()
            assert handled == ["for the handler"]
            bus.publish("a:c", 1)
            bus.private(other.client_id, 2)
            bus.flush()
            other.flush()
            assert [member.name for member in bus.presence("a:c")] == [""]
            assert [message.payload for message in bus.history("a:c")] == [1]
            with pytest.raises(NotFound):
                bus.presence("a:nowhere")
            bus.leave("a:d")
            other.close()
            listener.join(10)
            assert not listener.is_alive()
        with pytest.raises(RuntimeError, match="closed"):
            bus.flush()

    await asyncio.to_thread(work)
    assert got == [1, 2]
    with pytest.raises(PeerError):
        await asyncio.to_thread(SyncBusClient.connect, "ws://127.0.0.1:1")


async def test_a_handler_of_the_sync_client_is_told_not_to_wait_for_itself(open_bus: LoneBus) -> None:
    """It would never end."""

    def work() -> str:
        with SyncBusClient.connect(url_of(open_bus)) as bus:
            told: list[str] = []

            def handler(message: Message) -> None:
                try:
                    bus.flush()
                except RuntimeError as error:
                    told.append(str(error))

            bus.on("a:b", handler)
            bus.join("a:b")
            with SyncBusClient.connect(url_of(open_bus)) as other:
                other.send("a:b", 1)
            bus.flush()
            return told[0]

    assert "handlers" in await asyncio.to_thread(work)


async def test_a_client_may_be_closed_by_its_own_handler(connect: Connect) -> None:
    """And whoever waits for the end goes on."""
    publisher, member = await connect(), await connect()

    async def stop(message: Message) -> None:
        await member.close()

    member.on("a:b", stop)
    await member.join("a:b")
    waiting = asyncio.ensure_future(_until_closed(member))
    await publisher.send("a:b", 1)
    await waiting
    assert member.state == "closed"


async def _next(iterator: AsyncGenerator[tuple[Load, Message], None]) -> tuple[Load, Message]:
    return await anext(iterator)


async def _until_closed(bus: BusClient) -> None:
    async with asyncio.timeout(5):
        await bus.wait_closed()
