"""The hub and what it is made of, under a clock that tests move."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.bridge.telemetry import DASHBOARD_STREAM, TELEMETRY_STREAM, Activity, Hub, Origin, aggregate, hub
from arqonmesh.bridge.telemetry.activity import Seen
from arqonmesh.bridge.telemetry.aggregate import Aggregate
from arqonmesh.bridge.telemetry.events import TelemetryRefusal, event_of, parse
from arqonmesh.bridge.telemetry.filters import Filter, matches
from arqonmesh.config.model import TelemetrySettings
from arqonmesh.core.kernel import SECOND
from tests.bridge.telemetry.conftest import stamper


def made(**settings: Any) -> Hub:
    return Hub(TelemetrySettings(**settings), Origin("n" * 32, "hq"), stamper())


@pytest.mark.requirement("R-BU-17")
def test_a_batch_leaves_when_it_is_full_or_old_enough_and_not_before() -> None:
    """`batch_events` and `batch_ms`; what is beyond a batch follows at once."""
    box = made(batch_events=3, batch_ms=100)
    box.take(1_000, "a", b"1")
    assert box.next_deadline() == 101_000
    assert box.drain(100_999) == []
    assert [event.event_type for event in box.drain(101_000)] == ["a"]
    for number in range(7):
        box.take(200_000 + number, "b", b"1")
    assert box.next_deadline() <= 200_007
    assert [len(box.drain(200_007)) for _ in range(2)] == [3, 3]
    assert box.drain(200_007) == []
    assert len(box.drain(300_000)) == 1


@pytest.mark.requirement("R-BU-17")
def test_the_buffer_is_bounded_in_events_and_bytes_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as dropped."""
    box = made(buffer_events=3, batch_events=10)
    for number in range(5):
        box.take(0, "a", b"%d" % number)
    assert (len(box), box.counters["dropped"]) == (3, 2)
    monkeypatch.setattr(hub, "WAITING_BYTES_MAX", 100)
    box.take(0, "a", b'"' + b"x" * 90 + b'"')
    assert (len(box), box.counters["dropped"]) == (3, 3)
    box.take(0, "a", b'"' + b"y" * 90 + b'"')
    assert [bytes(event.payload)[1:2] for event in box.drain(SECOND)] == [b"y"]
    box.take(SECOND, "a", b'"' + b"z" * 90 + b'"')
    assert len(box) == 1, "what left does not count"


@pytest.mark.requirement("R-BU-17")
def test_events_are_counted_by_type_over_windows() -> None:
    """One `telemetry_aggregate` per window in which something happened, on the dashboards' stream."""
    box = made(window_s=10.0, batch_ms=1)
    box.take(0, "a", b"1", source="x")
    box.take(0, "a", b"1", source="y")
    box.take(0, "b", b"1", source="x")
    box.on_timer(10 * SECOND - 1)
    assert len(box.drain(10 * SECOND - 1)) == 3
    box.on_timer(10 * SECOND)
    (told,) = box.drain(11 * SECOND)
    assert (told.event_type, told.stream) == ("telemetry_aggregate", DASHBOARD_STREAM)
    assert json.loads(bytes(told.payload)) == {
        "window_ms": 10_000,
        "events": 3,
        "types": {"a": {"count": 2, "sources": 2}, "b": {"count": 1, "sources": 1}},
    }
    box.on_timer(20 * SECOND)
    assert len(box) == 0, "an aggregate is not counted in the next"


def test_types_and_sources_of_an_aggregate_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond `TYPES_MAX` all are one `other`, so the sum stays true."""
    monkeypatch.setattr(aggregate, "TYPES_MAX", 2)
    monkeypatch.setattr(aggregate, "SOURCES_MAX", 3)
    counted = Aggregate(0)
    for number in range(20):
        counted.note(f"t{number}", f"s{number}")
    told = counted.take(1_000)
    assert told is not None
    assert told["types"] == {
        "t0": {"count": 1, "sources": 1},
        "t1": {"count": 1, "sources": 1},
        "other": {"count": 18, "sources": 3},
    }


@pytest.mark.requirement("R-BU-17")
def test_ignored_types_are_not_taken() -> None:
    """`telemetry.ignore`, with patterns."""
    box = made(ignore=("debug*", "noise"))
    assert [box.take(0, name, b"1") for name in ("debug.x", "noise", "noises")] == [False, False, True]
    assert box.counters == {"ignored": 2, "taken": 1}


def test_frames_of_the_bus_become_events_whatever_is_in_them() -> None:
    """eventType and payload inside the payload, as ArqonBus 1.0 has it; a plain one is of its frame's type."""
    box = made(batch_ms=1)
    frames = (
        b'{"type":"telemetry","from":"arq_1","payload":{"eventType":"x","payload":{"a":1}}}',
        b'{"type":"telemetry","from":"arq_1","payload":{"eventType":"y","a":1}}',
        b'{"type":"event","from":"arq_2","payload":[1]}',
        b'{"type":"event","from":"arq_2","payload":{"eventType":5}}',
        b"no json",
    )
    box.take_from_bus(0, TELEMETRY_STREAM, frames)
    taken = [(event.event_type, event.source, bytes(event.payload)) for event in box.drain(SECOND)]
    assert taken == [
        ("x", "arq_1", b'{"a":1}'),
        ("y", "arq_1", b'{"eventType":"y","a":1}'),
        ("event", "arq_2", b"[1]"),
        ("event", "arq_2", b'{"eventType":5}'),
    ]
    assert box.counters["unreadable"] == 1


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "eventType", "event_type", "payload", "source", "stream", "events", "batch"]),
                inner,
                max_size=5,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_frame_is_an_event_or_a_refusal(frame: bytes) -> None:
    """Never anything else, and an event always has a type and a payload."""
    try:
        event_type, payload = event_of(parse(frame))
    except TelemetryRefusal:
        return
    assert event_type and payload
    json.loads(payload)


@given(st.lists(st.text("ab*", max_size=3), max_size=3), st.text("ab", max_size=4))
def test_patterns_fit_what_they_say(patterns: list[str], name: str) -> None:
    """Exactly, or by what comes before a `*` at the end; none fits all."""
    fits = not patterns or name in patterns or any(p[-1:] == "*" and name.startswith(p[:-1]) for p in patterns)
    assert matches(tuple(patterns), name) is fits


def test_a_filter_asks_for_each_kind() -> None:
    """Type and source and stream."""
    box = made(batch_ms=1)
    box.take(0, "t", b"1", source="s", stream="d")
    (event,) = box.drain(SECOND)
    assert Filter(("t",), ("s",), ("d",)).takes(event)
    assert not any(wanted.takes(event) for wanted in (Filter(("x",)), Filter((), ("x",)), Filter((), (), ("x",))))


@pytest.mark.requirement("R-BU-16")
def test_activity_of_agents_is_told_and_that_of_people_is_not() -> None:
    """Coming and going at once, publishing as one sum per look; nothing when nothing was published."""
    told: list[tuple[str, str, int | None]] = []
    activity = Activity(lambda payload, source, _: told.append((payload["activity"], source, payload.get("messages"))))
    activity.connected(Seen("c1", "ai-agent", "planner", 0))
    activity.connected(Seen("c2", "human", "ann", 0))
    activity.connected(Seen("c3", "dashboard", "wall", 0))
    activity.connected(Seen("c4", "", "", 0))
    activity.look([Seen("c1", "ai-agent", "planner", 5), Seen("c2", "human", "ann", 9), Seen("c4", "", "", 0)])
    activity.look([Seen("c1", "ai-agent", "planner", 5)])
    activity.disconnected(Seen("c1", "ai-agent", "planner", 7))
    activity.disconnected(Seen("c2", "human", "ann", 9))
    assert told == [
        ("connect", "planner", None),
        ("connect", "c4", None),
        ("publish", "planner", 5),
        ("disconnect", "planner", 2),
    ]
    assert len(activity) == 1
