"""Any bytes in: only an answer, a delivery or a close comes out, and every frame out is an envelope."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.core.bus.envelope import parse
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import Imported
from arqonmesh.ids import NodeId
from tests.core.bus.house import House

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
known_words = st.sampled_from(
    [
        "event",
        "message",
        "private",
        "command",
        "telemetry",
        "join",
        "leave",
        "status",
        "history",
        "help",
        "ping",
        "list_channels",
        "channel_info",
        "a:b",
        "a:*",
        "*",
        "join_channel",
        "arq_1",
        "1.0",
        "x",
    ]
)
fields = st.sampled_from(
    [
        "type",
        "id",
        "room",
        "channel",
        "payload",
        "metadata",
        "correlation_id",
        "v",
        "to",
        "command",
        "args",
        "limit",
        "version",
        "sender",
        "from_client",
        "to_client",
        "from",
        "timestamp",
    ]
)
near_envelopes = st.dictionaries(
    fields, known_words | json_values | st.dictionaries(known_words, known_words | json_values, max_size=3), max_size=8
).map(lambda value: json.dumps(value).encode())
frames = st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()) | near_envelopes


@given(frames)
def test_a_frame_is_understood_or_refused(frame: bytes) -> None:
    """parse raises Refusal and nothing else; what it understood is UTF-8 JSON also for the standard library."""
    with contextlib.suppress(Refusal):
        parse(frame)
        json.loads(frame.decode())


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 2), frames), max_size=12))
def test_no_input_disturbs_the_bus(inputs: list[tuple[int, bytes]]) -> None:
    """Three clients of both dialects send anything; an innocent member still gets what is meant for it."""
    house = House()
    clients = [house.connect(), house.connect(""), house.member("a:b")]
    for who, frame in inputs:
        house.send(clients[who], frame)
    for client in clients:
        for sent in house.take(client):
            assert sent["id"]
            assert sent["type"]
            assert sent.get("v") == 1 or sent["version"] == "1.0"
    for event in house.published:
        assert json.loads(event.frame)["room"]
    innocent, publisher = house.member("c:d"), house.connect()
    house.send(publisher, {"type": "event", "channel": "c:d", "payload": 1})
    assert [frame["payload"] for frame in house.take(innocent)] == [1]


@given(frames)
def test_no_import_disturbs_the_bus(frame: bytes) -> None:
    """What another cluster sends is looked at as closely."""
    house = House()
    new, old = house.member("a:b"), house.member("a:b", "")
    house.tell(Imported(NodeId("f" * 32), "factory", "a:b", (frame,)))
    assert len(house.take(new)) == len(house.take(old))
