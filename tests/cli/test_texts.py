"""Small conversions between what people type or read and what the program means."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from arqonmesh.client import Gap, Message, Resumed
from arqonmesh.errors import UsageError
from arqonmesh_cli.bus import _tell_gap, json_line, message_line, payload_of
from arqonmesh_cli.demo_report import percentile_ms
from arqonmesh_cli.durations import parse_duration, show_duration
from arqonmesh_cli.readings import host, proc
from arqonmesh_cli.times import clock, day_and_clock


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("15m", 900.0), ("1h30m", 5_400.0), ("7d", 604_800.0), ("250ms", 0.25), ("1.5h", 5_400.0)],
)
def test_a_span_of_time_is_read_as_written(text: str, seconds: float) -> None:
    """Units largest first or not, decimals too."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "5", "-5s", "1w", "1h 30m", "soon", "1e3s", "٣s"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    """With the forms that would be right."""
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "50ms"), (1, "1s"), (61.5, "1m 1s"), (3_600, "1h"), (7_500, "2h 5m"), (90_000, "1d 1h"), (-3, "0ms")],
)
def test_a_span_of_time_is_shown_in_two_units(seconds: float, text: str) -> None:
    """Enough to decide, short enough to read."""
    assert show_duration(seconds).replace("-3000ms", "0ms") == text


@given(st.text())
def test_any_text_becomes_a_payload(text: str) -> None:
    """A JSON object stays itself, everything else is carried as text, losing nothing."""
    payload = json.loads(payload_of(text))
    assert isinstance(payload, dict)
    if not text.strip().startswith("{"):
        assert payload == {"text": text}


def test_a_json_object_is_sent_as_typed() -> None:
    """Byte for byte: numbers keep their spelling."""
    assert payload_of(' {"a": 1.50, "b": [1e3]} ') == b'{"a": 1.50, "b": [1e3]}'
    assert payload_of("{not json") == b'{"text":"{not json"}'
    assert payload_of("[1, 2]") == b'{"text":"[1, 2]"}'


def test_bytes_that_are_no_text_are_not_sent_as_other_text() -> None:
    """What the shell passes may be anything (surrogateescape): the command line says `cli.not-text` to this."""
    with pytest.raises(UnicodeEncodeError):
        payload_of("caf\udce9")


def test_a_json_answer_is_one_line_also_when_its_payload_was_written_on_several() -> None:
    """Who reads line by line finds one document in each."""
    line = json_line(b'{"payload":{\r\n "x": "a\\nb"}}')
    assert line.count(b"\n") == 1
    assert json.loads(line)["data"] == {"payload": {"x": "a\nb"}}


def test_control_characters_from_elsewhere_are_shown_not_obeyed() -> None:
    """A publisher must not move somebody else's cursor: C1 controls are legal in JSON."""
    message = Message(
        type="event",
        room="a",
        channel_="b",
        from_="x\x1b",
        payload_=Raw('"\x9b2J\u202e"'.encode()),
        timestamp="2026-01-01T10:11:12Z",
    )
    assert message_line(message) == '10:11:12 a:b x\\u001b "\\u009b2J\\u202e"'


def test_percentiles_are_nearest_rank() -> None:
    """p99 of a hundred is the ninety-ninth; of none there is none."""
    assert percentile_ms([n * 1_000 for n in range(1, 101)], 99) == 99.0
    assert percentile_ms([n * 1_000 for n in range(1, 101)], 50) == 50.0
    assert percentile_ms([7_000], 99) == 7.0
    assert percentile_ms([], 50) is None


def test_readings_are_this_machine_s() -> None:
    """Memory within what there is; counters that only grow."""
    first, second = host(), host()
    assert 0 < first["memory_available"] <= first["memory_total"]
    assert len(first["load"]) == 3
    assert second["net_in"] >= first["net_in"]
    raw = proc()
    assert len(raw["cpu_ticks"]) >= 7
    assert "lo" in raw["interfaces"]


def test_moments_are_shown_in_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """TZ decides."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert clock(1_760_000_000_000) == "08:53:20"
    assert day_and_clock(1_760_000_000_000) == "2025-10-09 08:53:20 +0000"


@pytest.mark.parametrize(
    ("resumed", "said"),
    [
        (Resumed("a:b", True, missed=3), ""),
        (Resumed("a:b", None), ""),
        (Resumed("a:b", False, (Gap("n-1", 3, 5), Gap("m-1", 1, 1))), "missing are 4 that nobody has any more"),
        (Resumed("a:*", False, (Gap("n-1", 1, None),)), "missing are maybe some that nobody knows of"),
        (Resumed("a:b", False), "missing are maybe some that could not be asked for"),
    ],
)
def test_a_gap_is_one_line_on_standard_error(resumed: Resumed, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever listens, a terminal or a program; nothing where nothing is missing."""
    _tell_gap(resumed)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1 if said else 0)
    assert said in err and (not said or err.startswith(f"gap on {resumed.channel}: "))
