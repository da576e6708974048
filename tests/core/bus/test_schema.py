"""The written protocol: its schema is that of the types, its tables those of the registries, and frames fit both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.bridge import spec
from arqonmesh.core.bus.protocol import frames, schema
from arqonmesh.core.bus.protocol.fields import ID_LENGTH_MAX, Id
from arqonmesh.core.bus.protocol.inbound import parse
from arqonmesh.core.bus.refusal import Refusal
from tests.core.bus.house import House

SPEC = Path(__file__).parents[3] / "docs" / "spec"
CHANNEL = "telemetry:host"


def as_received(frame: dict[str, Any]) -> frames.Received:
    """Raises msgspec.ValidationError for a frame that is not as the schema has it."""
    return msgspec.convert(frame, frames.Received)  # type: ignore[no-any-return]


def test_the_schema_is_that_of_the_types() -> None:
    """`just docs` writes it."""
    assert (SPEC / spec.SCHEMA_FILE).read_text() == schema.text()


def test_the_tables_of_the_text_are_those_of_the_registries() -> None:
    """Commands with what they take, error codes with what helps; `just docs` writes them."""
    page = (SPEC / spec.TEXT_FILE).read_text()
    assert spec.with_tables(page) == page
    for name in spec.TABLES:
        assert page.count(f"<!-- begin {name} -->") == page.count(f"<!-- end {name} -->") == 1


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    """And each kind of frame has its definition."""
    made = schema.json_schema()
    text = json.dumps(made)
    named = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert named <= set(made["$defs"])
    assert {"event", "system", "command", "private", "telemetry", "error", "response"} <= set(made["$defs"])
    assert made["$defs"]["event"]["properties"]["type"] == {"const": "event"}


def test_all_that_the_bus_sends_is_as_the_schema_has_it() -> None:
    """Welcome, notice, answer, event, telemetry, private message, acknowledgement, errors."""
    house = House()
    alice, bob = house.connect(), house.connect()
    for client in (alice, bob):
        house.send(client, {"type": "join", "channel": CHANNEL, "id": "q1"})
    for name in house.bus.commands:
        house.send(alice, {"type": "command", "command": name, "args": {"channel": CHANNEL}})
    house.send(bob, {"type": "join", "channel": CHANNEL})
    house.send(alice, {"type": "event", "channel": CHANNEL, "payload": None, "metadata": {"echo": True, "ack": True}})
    house.send(alice, {"type": "telemetry", "payload": {"load": 1}, "channel": CHANNEL, "correlation_id": "c"})
    house.send(alice, {"type": "private", "to": [bob], "payload": [1]})
    house.send(alice, b"rubbish", {"type": "fly"}, {"type": "event", "id": 7, "v": 2})
    house.leave(alice)
    seen = set()
    for client in (alice, bob):
        for frame in house.take(client):
            seen.add(type(as_received(frame)))
    assert seen == {frames.System, frames.Response, frames.Event, frames.Telemetry, frames.Private, frames.Error}


texts = st.text(max_size=ID_LENGTH_MAX + 2) | st.text(st.characters(max_codepoint=130), max_size=ID_LENGTH_MAX + 2)


@given(texts)
def test_an_id_is_taken_exactly_when_the_schema_takes_it(text: str) -> None:
    """The fast check of the bus and the pattern of the schema say the same."""
    try:
        msgspec.convert(text, Id)
        allowed = True
    except msgspec.ValidationError:
        allowed = False
    try:
        parse(json.dumps({"type": "event", "id": text}).encode())
        taken = True
    except Refusal:
        taken = False
    assert taken is (allowed and not text.endswith("\n"))


def test_what_the_schema_lets_a_client_send_is_understood() -> None:
    """One of each kind, with every field that it may have."""
    house = House()
    alice, bob = house.connect(), house.member(CHANNEL)
    common: dict[str, Any] = {"id": "a1", "correlation_id": "c1", "timestamp": "2026-01-01T00:00:00.000Z", "v": 1}
    metadata = {"echo": True, "ack": True, "own": 1}
    sent: list[dict[str, Any]] = [
        {**common, "type": "event", "payload": 1, "room": "telemetry", "channel": "host", "metadata": metadata},
        {**common, "type": "telemetry", "payload": 1, "channel": CHANNEL, "metadata": metadata},
        {**common, "type": "private", "to": [bob], "payload": 1, "metadata": metadata},
        {**common, "type": "command", "command": "history", "args": {"limit": 1}, "channel": CHANNEL},
    ]
    for frame in sent:
        msgspec.convert(frame, frames.SentByClient)
        house.inboxes[alice].clear()
        house.send(alice, frame)
        assert {one["type"] for one in house.take(alice)} & {"response"}, frame
