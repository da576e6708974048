"""Dialects: an ArqonBus 1.0 client and a canonical one on the same channel, each in its own words."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from arqonmesh.core.events import Imported
from arqonmesh.ids import NodeId
from tests.core.bus.house import House

CHANNEL = "science:explore"


def legacy(**fields: Any) -> dict[str, Any]:
    return {"version": "1.0", "id": "arq_1", "timestamp": "2026-01-01T00:00:00", **fields}


@pytest.mark.requirement("R-BU-22")
def test_a_client_without_a_subprotocol_is_welcomed_as_arqonbus_1_0_does() -> None:
    """type message, payload.welcome and payload.client_id, version 1.0."""
    house = House()
    client = house.connect(subprotocol="")
    (welcome,) = house.take(client)
    assert (welcome["type"], welcome["version"], welcome["sender"]) == ("message", "1.0", "arqonbus")
    assert welcome["payload"]["welcome"]
    assert welcome["payload"]["client_id"] == client


def test_a_client_with_the_subprotocol_is_welcomed_in_canonical() -> None:
    """type system, from and v."""
    house = House()
    client = house.connect()
    (welcome,) = house.take(client)
    assert (welcome["type"], welcome["v"]) == ("system", 1)
    assert welcome["payload"]["client_id"] == client
    assert welcome["payload"]["cluster"] == "hq"
    assert welcome["payload"]["frame_bytes_max"] == 262_144


@pytest.mark.requirement("R-BU-22")
def test_an_existing_client_s_whole_conversation() -> None:
    """Join by payload.command, publish with type message, hear another 1.0 client and a canonical one."""
    house = House()
    alice, bob, carol = house.connect(""), house.connect(""), house.member(CHANNEL)
    house.take(alice)
    for client in (alice, bob):
        join = legacy(type="command", payload={"command": "join_channel", "parameters": {"channel_id": CHANNEL}})
        answer = house.ask(client, join)
        assert (answer["type"], answer["version"]) == ("command_response", "1.0")
        assert (answer["request_id"], answer["status"], answer["id"]) == ("arq_1", "success", "arq_1_response")
        assert answer["result"]["success"] is True
        assert answer["payload"]["result"] == answer["result"]
    for inbox in house.inboxes.values():
        inbox.clear()

    sent = legacy(type="message", room="science", channel="explore", from_client="arq_me", payload={"text": "hi"})
    house.send(alice, sent)
    (to_bob,) = house.take(bob)
    assert (to_bob["version"], to_bob["type"]) == ("1.0", "message")
    assert to_bob["sender"] == to_bob["from_client"] == to_bob["from"] == alice
    assert (to_bob["room"], to_bob["channel"], to_bob["payload"]) == ("science", "explore", {"text": "hi"})
    assert datetime.fromisoformat(to_bob["timestamp"]).tzinfo is not None
    (to_carol,) = house.take(carol)
    assert (to_carol["type"], to_carol["from"], to_carol["v"]) == ("event", alice, 1)
    assert to_carol["id"] == to_bob["id"]
    assert house.take(alice) == []

    house.send(carol, {"type": "event", "channel": CHANNEL, "payload": {"text": "hello"}})
    for client in (alice, bob):
        (frame,) = house.take(client)
        assert (frame["type"], frame["sender"], frame["payload"]) == ("message", carol, {"text": "hello"})


def test_top_level_commands_are_answered_with_response() -> None:
    """`command` + `args`, as ArqonBus's own server takes them: type response, request_id, status, payload.data."""
    house = House()
    client = house.connect("")
    answer = house.ask(client, legacy(type="command", command="join_channel", args={"room": "science", "channel": "x"}))
    assert (answer["type"], answer["request_id"], answer["status"]) == ("response", "arq_1", "success")
    assert answer["payload"]["data"]["channel"] == "science:x"


def test_a_bare_ping_of_a_1_0_client_is_answered_with_pong() -> None:
    """{"type": "ping"} -> {"type": "pong"}; the command form gets result.pong."""
    house = House()
    client = house.connect("")
    house.send(client, legacy(type="command", command="status"))
    assert house.ask(client, legacy(type="ping"))["type"] == "pong"
    answer = house.ask(client, legacy(type="command", payload={"command": "ping", "parameters": {}}))
    assert answer["result"]["pong"] is True


@pytest.mark.parametrize(
    "named", [{"to_client": "TARGET"}, {"payload": {"target": "TARGET", "text": "psst"}}, {"to": ["TARGET"]}]
)
def test_private_messages_find_their_target_in_every_spelling(named: dict[str, Any]) -> None:
    """to[], to_client and payload.target (C15)."""
    house = House()
    sender, friend = house.connect(""), house.connect("")
    house.send(friend, legacy(type="ping"))
    house.take(friend)
    text = {"type": "private", "payload": {"text": "psst"}, **named}
    filled = json.loads(json.dumps(text).replace("TARGET", friend))
    house.send(sender, legacy(**filled))
    (frame,) = house.take(friend)
    assert (frame["type"], frame["to_client"], frame["sender"]) == ("message", friend, sender)
    assert frame["payload"]["text"] == "psst"


def test_the_first_telling_frame_settles_the_dialect() -> None:
    """Until then the answer is 1.0, because the welcome was; `v` or a short form says canonical."""
    house = House()
    client = house.connect("")
    assert house.ask(client, {"type": "command", "command": "ping"})["version"] == "1.0"
    assert house.ask(client, {"type": "join", "channel": CHANNEL})["v"] == 1
    assert house.ask(client, legacy(type="command", command="ping"))["v"] == 1
    publisher = house.connect()
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 1})
    assert house.take(client)[-1]["type"] == "event"


def test_a_member_that_turns_canonical_is_moved_at_once() -> None:
    """An audience is worked out anew when a dialect settles, also for patterns."""
    house = House()
    publisher, client = house.connect(), house.connect("")
    house.send(client, {"type": "command", "command": "join_channel", "args": {"channel": "science:*"}})
    house.send(client, {"type": "command", "command": "join_channel", "args": {"channel": CHANNEL}})
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 1})
    assert house.take(client)[-1]["type"] == "message"
    house.send(client, {"type": "ping"})
    house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": 2})
    assert house.take(client)[-1]["type"] == "event"


def test_errors_are_told_in_the_client_s_dialect() -> None:
    """1.0: error.code and error_code; canonical: payload.code. Both with message, hint and field."""
    house = House()
    old, new = house.connect(""), house.connect()
    answer = house.ask(old, legacy(type="command", command="fly"))
    assert answer["type"] == "error"
    assert answer["error_code"] == answer["error"]["code"] == "bus.unknown-command"
    assert answer["request_id"] == "arq_1"
    answer = house.ask(new, {"type": "command", "command": "fly", "correlation_id": "c1"})
    assert answer["payload"]["code"] == "bus.unknown-command"
    assert answer["payload"]["field"] == "command"
    assert answer["payload"]["hint"] == '{"type": "help"}'
    assert answer["correlation_id"] == "c1"


def test_a_1_0_client_reads_history_and_imports_in_its_own_words() -> None:
    """What is kept is canonical; the rendering is made for the reader."""
    house, factory = House(), House(node="f")
    old = house.member(CHANNEL, "")
    for bus in (house, factory):
        bus.send(bus.connect(), {"type": "event", "channel": CHANNEL, "payload": 1, "metadata": {"a": 1}})
    house.tell(Imported(NodeId("f" * 32), "factory", CHANNEL, (factory.published[0].frame,)))
    first, second = house.take(old)
    assert list(first) == list(second)
    answer = house.ask(old, legacy(type="command", command="history", args={"channel": CHANNEL}))
    assert answer["result"]["messages"] == [first, second]
    assert first["metadata"] == second["metadata"] == {"a": 1}
