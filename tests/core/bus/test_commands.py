"""Commands and presence."""

from __future__ import annotations

import pytest

from arqonmesh.core.bus.commands import ALIASES, REGISTRY
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.presence import NOTICE_MEMBERS_MAX
from tests.core.bus.house import House

CHANNEL = "telemetry:host"


@pytest.mark.requirement("R-BU-25")
def test_help_lists_every_command_and_every_alias_leads_to_one() -> None:
    """Discovery: what help does not list does not exist."""
    house = House()
    answer = house.ask(house.connect(), {"type": "help"})
    assert {command["name"] for command in answer["payload"]["commands"]} == set(REGISTRY)
    assert set(ALIASES.values()) <= set(REGISTRY)


@pytest.mark.requirement("R-BU-11")
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_command_answers_in_both_forms(name: str) -> None:
    """As `type` and as `command` + `args`."""
    house = House()
    client = house.member(CHANNEL)
    house.bus.clients[client].identity = Identity(role="admin")
    for frame in (
        {"type": name, "id": "q", "channel": CHANNEL},
        {"type": "command", "command": name, "id": "q", "args": {"channel": CHANNEL}},
    ):
        house.send(client, {"type": "join", "channel": CHANNEL})
        answer = house.ask(client, frame)
        assert (answer["type"], answer["command"], answer["status"]) == ("response", name, "success")
        assert answer["request_id"] == answer["correlation_id"] == "q"


@pytest.mark.requirement("R-BU-12")
def test_history_returns_the_newest_fifty_of_five_hundred() -> None:
    """Oldest of them first; `limit` up to 500; 500 are kept."""
    house = House()
    client = house.connect()
    for i in range(600):
        house.send(client, {"type": "event", "channel": CHANNEL, "payload": i})
    answer = house.ask(client, {"type": "history", "channel": CHANNEL})["payload"]
    assert [message["payload"] for message in answer["messages"]] == list(range(550, 600))
    assert (answer["returned"], answer["total"], answer["truncated"]) == (50, 500, False)
    answer = house.ask(client, {"type": "history", "channel": CHANNEL, "limit": 500})["payload"]
    assert [message["payload"] for message in answer["messages"]] == list(range(100, 600))
    refused = house.ask(client, {"type": "history", "channel": CHANNEL, "limit": 501})["payload"]
    assert (refused["code"], refused["field"]) == ("bus.invalid-field", "limit")


def test_a_history_answer_stays_within_a_megabyte() -> None:
    """The newest that fit, and `truncated` says that there are more."""
    house = House()
    client = house.connect()
    for _ in range(20):
        house.send(client, {"type": "event", "channel": CHANNEL, "payload": "x" * 100_000})
    answer = house.ask(client, {"type": "history", "channel": CHANNEL})["payload"]
    assert (answer["returned"], answer["total"], answer["truncated"]) == (10, 20, True)


@pytest.mark.requirement("R-BU-24")
def test_members_hear_who_comes_and_goes() -> None:
    """A system notice with the client and the new count; a disconnect counts as going."""
    house = House()
    first = house.member(CHANNEL)
    second = house.connect(name="bee")
    answer = house.ask(second, {"type": "join", "channel": CHANNEL})
    assert answer["payload"]["members"] == 2
    (notice,) = house.take(first)
    assert (notice["type"], notice["room"], notice["channel"]) == ("system", "telemetry", "host")
    said = {"name": "bee", "screen_name": "bee"}
    assert notice["payload"] == {"event": "joined", "client_id": second, "members": 2, **said}
    assert house.take(second) == []
    house.leave(second)
    (notice,) = house.take(first)
    assert (notice["payload"]["event"], notice["payload"]["members"]) == ("left", 1)


def test_joining_twice_is_harmless_and_unnoticed() -> None:
    """One membership, one notice."""
    house = House()
    first, second = house.member(CHANNEL), house.member(CHANNEL)
    house.send(second, {"type": "join", "channel": CHANNEL})
    assert house.take(first) == []
    info = house.ask(first, {"type": "channel_info", "channel": CHANNEL})["payload"]["channel"]
    assert info["member_count"] == 2
    assert [member["client_id"] for member in info["members"]] == [first, second]


def test_large_channels_get_counts_instead_of_notices() -> None:
    """n members joining would be n²/2 frames."""
    house = House()
    first = house.member("big:one")
    for _ in range(NOTICE_MEMBERS_MAX + 5):
        house.send(house.connect(), {"type": "join", "channel": "big:one"})
    assert len(house.take(first)) == NOTICE_MEMBERS_MAX - 1


def test_leaving_what_one_is_not_in_is_told() -> None:
    """With the subscriptions that there are."""
    house = House()
    client = house.member(CHANNEL)
    answer = house.ask(client, {"type": "leave", "channel": "a:b"})["payload"]
    assert answer["code"] == "bus.not-subscribed"
    assert CHANNEL in answer["message"]


@pytest.mark.requirement("R-BU-5")
def test_channels_come_with_the_first_member_and_go_with_the_last() -> None:
    """Unless they have history, or someone created them."""
    house = House()
    client = house.member("a:b")
    house.send(client, {"type": "create_channel", "channel": "kept:one"})
    house.send(client, {"type": "event", "channel": "said:something", "payload": 1})
    house.send(client, {"type": "leave", "channel": "a:b"})
    listed = house.ask(client, {"type": "list_channels"})["payload"]
    assert [channel["id"] for channel in listed["channels"]] == ["kept:one", "said:something"]
    only = house.ask(client, {"type": "command", "command": "list_channels", "args": {"room": "said"}})["payload"]
    assert [channel["id"] for channel in only["channels"]] == ["said:something"]


@pytest.mark.requirement("R-BU-3")
def test_status_counts_clients_channels_and_messages() -> None:
    """Also what the asking client itself is."""
    house = House()
    client, _ = house.member(CHANNEL), house.member(CHANNEL)
    house.send(client, {"type": "event", "channel": CHANNEL, "payload": 1})
    status = house.ask(client, {"type": "status"})["payload"]
    assert status["connections"] == {"active": 2, "cluster": 2}
    assert (status["channels"], status["messages"]) == (1, {"published": 1})
    assert status["you"]["subscriptions"] == [CHANNEL]
    assert status["server"]["cluster"] == "hq"
