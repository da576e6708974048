"""What may stand in a frame, and that a refusal names everything that may not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arqonmesh.core.bus.envelope import legacy_of, parse_stored
from arqonmesh.core.bus.protocol.bounds import is_too_deep, timestamp_problem
from arqonmesh.core.bus.protocol.fields import DEPTH_MAX
from arqonmesh.core.bus.protocol.inbound import Extended, parse, unknown_json
from tests.core.bus.house import House

Json = dict[str, Any]
CHANNEL = "telemetry:host"
EVENT: Json = {"type": "event", "channel": CHANNEL, "payload": {"load": 0.5}}
PRIVATE: Json = {"type": "private", "to": ["arq_a"], "payload": 1}
COMMAND: Json = {"type": "command", "command": "history", "args": {"channel": CHANNEL}}
CONTRACT: Json = {
    "version": "1.0",
    "type": "command",
    "payload": {"command": "history", "parameters": {"channel_id": CHANNEL}},
}
ANY = (EVENT, PRIVATE, COMMAND, CONTRACT)

Plant = tuple[tuple[Json, ...], tuple[str, ...], Any, str, str]
"""Into which frames it goes, the path of the field, the value (... takes the field away), the code and field told."""
PLANTS: tuple[Plant, ...] = (
    (ANY, ("id",), 7, "bus.invalid-field", "id"),
    (ANY, ("id",), "x" * 129, "bus.invalid-field", "id"),
    (ANY, ("id",), "tab\there", "bus.invalid-field", "id"),
    (ANY, ("correlation_id",), "é", "bus.invalid-field", "correlation_id"),
    (ANY, ("timestamp",), "yesterday", "bus.invalid-field", "timestamp"),
    (ANY, ("timestamp",), "2026-02-30T00:00:00Z", "bus.invalid-field", "timestamp"),
    (ANY, ("timestamp",), "1999-12-31T23:59:59Z", "bus.invalid-field", "timestamp"),
    (ANY, ("timestamp",), "2026-01-03T00:00:00Z", "bus.invalid-field", "timestamp"),
    (ANY, ("timestamp",), 1_767_225_600, "bus.invalid-field", "timestamp"),
    (ANY, ("v",), 2, "bus.invalid-field", "v"),
    (ANY, ("version",), "9", "bus.invalid-field", "version"),
    (ANY, ("limit",), "many", "bus.invalid-field", "limit"),
    (ANY, ("room",), ["a"], "bus.invalid-field", "room"),
    (ANY, ("n" * 65,), 1, "bus.invalid-field", "n" * 64),
    ((EVENT,), ("channel",), {"a": 1}, "bus.invalid-field", "channel"),
    ((EVENT,), ("channel",), "no spaces", "bus.channel-name", "channel"),
    ((EVENT, PRIVATE), ("payload",), ..., "bus.payload-missing", "payload"),
    ((EVENT, PRIVATE), ("metadata",), 1, "bus.invalid-field", "metadata"),
    ((EVENT, PRIVATE), ("metadata",), {"echo": 1}, "bus.invalid-field", "metadata.echo"),
    ((EVENT, PRIVATE), ("metadata",), {"ack": "yes"}, "bus.invalid-field", "metadata.ack"),
    ((PRIVATE,), ("to",), ..., "bus.target-missing", "to"),
    ((PRIVATE,), ("to",), 5, "bus.invalid-field", "to"),
    ((PRIVATE,), ("to",), ["arq_a"] * 65, "bus.invalid-field", "to"),
    ((COMMAND,), ("command",), "fly", "bus.unknown-command", "command"),
    ((COMMAND,), ("command",), 7, "bus.invalid-field", "command"),
    ((COMMAND,), ("args",), 7, "bus.invalid-field", "args"),
    ((COMMAND,), ("args", "limit"), "x", "bus.invalid-field", "args.limit"),
    ((COMMAND,), ("args", "name"), 3, "bus.invalid-field", "args.name"),
    ((CONTRACT,), ("payload", "command"), "fly", "bus.unknown-command", "payload.command"),
    ((CONTRACT,), ("payload", "parameters", "limit"), [], "bus.invalid-field", "payload.parameters.limit"),
    ((CONTRACT,), ("payload", "parameters", "room"), 0, "bus.invalid-field", "payload.parameters.room"),
)


def planted(frame: Json, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        frame = frame.setdefault(name, {})
    if value is ...:
        frame.pop(path[-1])
    else:
        frame[path[-1]] = value


def problems_of(house: House, frame: Json, subprotocol: str) -> list[tuple[str, str]]:
    client = house.connect(subprotocol)
    answer = house.ask(client, frame)
    told: Json = answer["error"] if "error" in answer else answer["payload"]
    assert answer["type"] == "error"
    assert (told["problems"][0]["code"], told["problems"][0]["field"]) == (told["code"], told["field"])
    assert told["problems"][0]["message"] == told["message"]
    if "error" in answer:  # ArqonBus 1.0; a frame that says so settles a client without a sub-protocol on canonical
        assert answer["payload"]["errors"] == [problem["message"] for problem in told["problems"]]
    return [(problem["code"], problem["field"]) for problem in told["problems"]]


@pytest.mark.requirement("R-BU-8")
@given(st.data())
def test_a_refused_frame_names_every_problem_that_was_planted_in_it_and_no_other(data: st.DataObject) -> None:
    """Any of the planted mistakes together, in every kind of frame, told to either dialect."""
    base = data.draw(st.sampled_from(ANY))
    fitting = [plant for plant in PLANTS if base in plant[0]]
    chosen = data.draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=5, unique_by=lambda plant: plant[1][0]))
    frame = json.loads(json.dumps(base))
    for _, path, value, _, _ in chosen:
        planted(frame, path, value)
    expected = {(code, field) for _, _, _, code, field in chosen}
    assume(not (("bus.invalid-field", "room") in expected and ("bus.channel-name", "channel") in expected))
    told = problems_of(House(), frame, data.draw(st.sampled_from(["arqon.v1", ""])))
    assert set(told) == expected
    assert len(told) == len(expected)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant[3]}-{plant[4][:20]}")
def test_every_problem_is_told_by_itself(plant: Plant) -> None:
    """One mistake, one problem."""
    frame = json.loads(json.dumps(plant[0][0]))
    planted(frame, plant[1], plant[2])
    assert problems_of(House(), frame, "arqon.v1") == [(plant[3], plant[4])]


def test_a_sentence_shows_what_was_seen_and_what_would_be_right() -> None:
    """As every error of the project does."""
    house = House()
    answer = house.ask(house.connect(), {**EVENT, "v": 2, "id": "é"})
    messages = [problem["message"] for problem in answer["payload"]["problems"]]
    assert messages[0] == "v is 2; it needs to be 1, the version of the envelope that is spoken here"
    assert messages[1].startswith('id is "\\u00e9"; it needs to be text of printable ASCII')
    assert answer["payload"]["hint"] == '{"type": "help"}'


# --- unknown fields -----------------------------------------------------------------------------------------

unknown_fields = st.dictionaries(
    st.text(min_size=1, max_size=64).map(lambda text: "x" + text[:63]),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.requirement("R-BU-22")
@given(unknown_fields)
def test_fields_that_the_protocol_does_not_know_reach_every_receiver(unknown: Json) -> None:
    """At the top of the frame, as they were: members of both dialects, history, private messages."""
    house = House()
    publisher, new, old = house.connect(), house.member(CHANNEL), house.member(CHANNEL, "")
    house.send(publisher, {**EVENT, **unknown})
    for member in (new, old):
        (frame,) = house.take(member)
        assert unknown.items() <= frame.items()
        assert frame["payload"] == EVENT["payload"]
    stored = parse_stored(house.published[0].frame)
    assert stored is not None
    assert unknown.items() <= json.loads(legacy_of(stored)).items()
    house.send(publisher, {**PRIVATE, "to": [new, old], **unknown})
    for client in (new, old):
        (frame,) = house.take(client)
        assert unknown.items() <= frame.items()


def test_a_client_cannot_write_the_bus_s_own_fields_as_if_they_were_unknown() -> None:
    """from, epoch, offset and what marks an answer are read past."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    forged = {"from": "boss", "epoch": "e", "offset": 9, "request_id": "r", "status": "success", "error_code": "x"}
    house.send(publisher, {**EVENT, **forged})
    (frame,) = house.take(member)
    assert frame["from"] == publisher
    assert not {name for name, value in forged.items() if frame.get(name) == value}
    for name in forged:
        assert house.published[0].frame.count(b'"%b":' % name.encode()) == (name in frame), "no second one either"


def test_null_is_absent() -> None:
    """As clients that serialise every field of a class send it; a payload may be null all the same."""
    message = parse(b'{"type":"event","room":null,"channel":"a:b","metadata":null,"to":null,"payload":null}')
    assert (message.room, message.channel, bytes(message.metadata), bytes(message.payload)) == ("", "a:b", b"", b"null")
    assert type(message) is Extended
    assert unknown_json(message) == b""


def test_more_unknown_fields_than_fit_are_refused() -> None:
    """32 travel on, not 33."""
    house = House()
    client = house.connect()
    house.send(client, {**EVENT, **{f"x{n}": n for n in range(32)}})
    assert len(house.published) == 1
    answer = house.ask(client, {**EVENT, **{f"x{n}": n for n in range(33)}})
    assert "33 fields" in answer["payload"]["message"]


# --- depth and time -----------------------------------------------------------------------------------------

nested: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.sampled_from(["[[[[", "}}}", '"{', "\\", "]" * 80, "{" * 90]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("a[]{}"), inner, max_size=2),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def wrapped(value: Any, shells: list[bool]) -> Any:
    for as_list in shells:
        value = [value] if as_list else {"": value}
    return value


@given(nested, st.lists(st.booleans(), min_size=DEPTH_MAX - 6, max_size=DEPTH_MAX + 3), st.sampled_from([None, 1]))
def test_depth_is_that_of_the_arrays_and_objects(value: Any, shells: list[bool], indent: int | None) -> None:
    """64 levels are fine and 65 are not, whatever brackets stand in strings."""
    whole = wrapped(value, shells)
    assert is_too_deep(json.dumps(whole, indent=indent).encode()) is (depth_of(whole) > DEPTH_MAX)


@pytest.mark.parametrize(("name", "deep"), [("]", True), ("}", True), ("[", True), ("a", True), ("]", False)])
def test_brackets_in_names_hide_no_depth(name: str, deep: bool) -> None:
    """Each would close the level that has just been opened."""
    levels = 1_000 if deep else DEPTH_MAX
    for escaped in ("", "\\n"):
        frame = f'{{"{name}{escaped}":' * levels + "0" + "}" * levels
        assert is_too_deep(frame.encode()) is deep


def test_a_frame_that_nests_too_deeply_is_refused() -> None:
    """The envelope is the first level."""
    house = House()
    client = house.connect()
    house.send(client, {**EVENT, "payload": wrapped(1, [True] * (DEPTH_MAX - 1))})
    assert len(house.published) == 1
    answer = house.ask(client, {**EVENT, "payload": wrapped(1, [True] * DEPTH_MAX)})
    assert answer["payload"]["code"] == "bus.invalid-json"
    assert "64" in answer["payload"]["message"]


@given(st.datetimes(timezones=st.none() | st.timezones()), st.sampled_from(["auto", "minutes", "seconds"]))
def test_every_time_that_the_standard_library_writes_is_one(when: Any, timespec: str) -> None:
    """datetime.isoformat, with and without a zone, T or a space."""
    assume(when.utcoffset() is None or when.utcoffset().total_seconds() % 60 == 0)
    text = when.isoformat(timespec=timespec)
    assert timestamp_problem(text, "9999-12-31") == "" or text < "2000"
    assert timestamp_problem(text.replace("T", " "), "9999-12-31") == "" or text < "2000"


@pytest.mark.parametrize(
    "text",
    ["2026-01-01", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60Z", "",
     "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+25:00", "2026-01-01T00:00:00Zz", "２026-01-01T00:00:00Z", "now"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    """With the form that would be right."""
    assert "ISO 8601" in timestamp_problem(text, "9999-12-31")


@pytest.mark.parametrize("spelling", ["message", "event"])
def test_both_names_of_an_event_are_taken_from_everyone(spelling: str) -> None:
    """`message` is ArqonBus 1.0's name for it (C14)."""
    house = House()
    publisher, member = house.connect(), house.member(CHANNEL)
    house.send(publisher, {**EVENT, "type": spelling})
    assert house.take(member)[0]["type"] == "event"
