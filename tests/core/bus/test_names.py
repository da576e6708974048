"""`room:channel` in its spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import BusSettings, RoomNames
from arqonmesh.core.bus.names import resolve, resolve_pattern, resolve_target
from arqonmesh.core.bus.refusal import Refusal
from tests.core.bus.house import House


@pytest.mark.requirement("R-BU-4")
@pytest.mark.parametrize(
    ("room", "channel", "name"),
    [
        ("science", "explore", "science:explore"),
        ("science:explore", "", "science:explore"),
        ("", "science:explore", "science:explore"),
        ("chat", "science:explore", "science:explore"),
        ("science:explore", "design", "science:design"),
        ("", "explore", "default:explore"),
        ("science", "", "science:general"),
    ],
)
def test_the_channel_field_goes_before_the_room_field(room: str, channel: str, name: str) -> None:
    """R-BU-4's order, in every spelling."""
    assert resolve(room, channel) == name


@pytest.mark.requirement("R-BU-18")
@pytest.mark.parametrize(
    ("room", "channel", "name"),
    [
        ("", "explore", "lobby:explore"),
        ("science", "", "science:main"),
        ("science", "explore", "science:explore"),
        ("default", "general", "default:general"),
    ],
)
def test_the_system_s_rooms_are_called_what_the_configuration_says(room: str, channel: str, name: str) -> None:
    """bus.names, for events, subscriptions, commands and rooms that are there from the start."""
    names = RoomNames(room="lobby", channel="main")
    assert resolve(room, channel, names) == resolve_pattern(room, channel, names) == name
    assert resolve_target(room, channel, names) == name


@pytest.mark.requirement("R-BU-18")
def test_a_bus_with_other_names_takes_and_tells_them() -> None:
    """A channel without a room, a room without a channel, telemetry without an address."""
    house = House(BusSettings(names=RoomNames(room="lobby", channel="main", telemetry="ops:figures")))
    client = house.connect()
    assert house.ask(client, {"type": "join", "channel": "explore"})["payload"]["channel"] == "lobby:explore"
    assert house.ask(client, {"type": "join", "room": "science"})["payload"]["channel"] == "science:main"
    house.send(client, {"type": "telemetry", "payload": {"eventType": "x", "payload": {}}})
    house.send(client, {"type": "event", "channel": "y", "payload": 1})
    assert [event.channel for event in house.published] == ["ops:figures", "lobby:y"]


@pytest.mark.parametrize(
    ("room", "channel", "name"),
    [
        ("", "*", "*"),
        ("*", "", "*"),
        ("*", "*", "*"),
        ("", "*:*", "*"),
        ("a", "*", "a:*"),
        ("", "a:*", "a:*"),
        ("", "a:b", "a:b"),
    ],
)
def test_subscriptions_may_be_patterns(room: str, channel: str, name: str) -> None:
    """A whole room, or everything."""
    assert resolve_pattern(room, channel) == name


@pytest.mark.parametrize(
    "bad", ["a:b:c", ":", "a:", ":b", "a b:c", 'a"b', "a\n:b", "a:" + "x" * 65, "a*:b", "*b:c", "\\:b"]
)
def test_other_names_are_refused_with_the_value_and_the_form(bad: str) -> None:
    """The sentence shows what was seen and what would be right."""
    for check in (resolve, resolve_pattern):
        with pytest.raises(Refusal, match="ROOM:CHANNEL") as refused:
            check("", bad)
        assert refused.value.field == "channel"


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_comes_out_is_a_plain_name_or_a_refusal(room: str, channel: str) -> None:
    """No name holds a quote, a blank, a control character or a second colon."""
    if not room and not channel:
        return
    for check in (resolve, resolve_pattern):
        try:
            name = check(room, channel)
        except Refusal:
            continue
        assert name.count(":") == (name != "*")
        assert not any(letter in '"\\' or letter.isspace() or ord(letter) < 32 for letter in name)
