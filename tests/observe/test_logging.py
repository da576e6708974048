"""Log lines: their form, their levels, and how repetitions are told."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from arqonmesh.config.model import LogSettings
from arqonmesh.observe.logging import EPISODES_MAX, Episodes, configure

SECOND = 1_000_000


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What the process had before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_lines_are_json_where_nobody_watches() -> None:
    """One object per line: when, how severe, what, and the fields."""
    out = io.StringIO()
    configure(LogSettings(), out)
    structlog.get_logger().info("link up", peer="abc", rtt_ms=3)
    line = json.loads(out.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"event": "link up", "level": "info", "peer": "abc", "rtt_ms": 3}


def test_columns_for_people_hold_the_same() -> None:
    """And no escape codes where there is no terminal."""
    out = io.StringIO()
    configure(LogSettings(format="console"), out)
    structlog.get_logger().warning("link down", peer="abc")
    assert "link down" in out.getvalue()
    assert "peer=abc" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_what_is_below_the_level_is_not_written() -> None:
    """At info there is no debug."""
    out = io.StringIO()
    configure(LogSettings(level="info"), out)
    structlog.get_logger().debug("detail")
    assert out.getvalue() == ""


def test_libraries_speak_in_the_same_form_from_warnings_on() -> None:
    """asyncio's and grpc's own loggers go through the same door."""
    out = io.StringIO()
    configure(LogSettings(format="json", level="debug"), out)
    logging.getLogger("asyncio").info("chatter")
    logging.getLogger("asyncio").warning("slow callback")
    line = json.loads(out.getvalue())
    assert (line["event"], line["level"], line["logger"]) == ("slow callback", "warning", "asyncio")


def test_an_exception_is_part_of_its_line() -> None:
    """JSON stays one line, trace included."""
    out = io.StringIO()
    configure(LogSettings(format="json"), out)
    try:
        raise ValueError("seen")
    except ValueError:
        structlog.get_logger().exception("it failed")
    assert "ValueError: seen" in json.loads(out.getvalue())["exception"]


class TestEpisodes:
    """One line at once, then ever fewer, each with the count; `note` is pure time arithmetic."""

    def setup_method(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.episodes = Episodes(lambda text, **fields: self.lines.append((text, fields)))

    def test_the_first_is_told_at_once_the_next_after_10_s_with_its_count(self) -> None:
        """Occurrences in between are counted, not told."""
        for tenth in range(101):
            self.episodes.note(5 * SECOND + tenth * SECOND // 10, "dial h", "no answer from h", peer="h")
        assert self.lines == [
            ("no answer from h", {"peer": "h"}),
            ("no answer from h", {"peer": "h", "count": 100}),
        ]

    def test_the_pause_doubles_while_it_goes_on(self) -> None:
        """10, 20, 40 ... s: an hour of one failure a second is nine lines and not 3,600."""
        told = [second for second in range(3_600) if self.episodes.note(second * SECOND, "k", "x")]
        assert told == [0, 10, 30, 70, 150, 310, 630, 1_270, 2_550]

    def test_after_a_quiet_time_it_begins_anew(self) -> None:
        """A new episode is told at once, and its pause is 10 s again."""
        assert self.episodes.note(0, "k", "x")
        assert self.episodes.note(60 * SECOND, "k", "x")
        assert not self.episodes.note(69 * SECOND, "k", "x")
        assert self.episodes.note(70 * SECOND, "k", "x")

    def test_keys_are_told_apart_and_bounded(self) -> None:
        """One key's noise does not hide another; at most so many are remembered."""
        for number in range(EPISODES_MAX + 5):
            assert self.episodes.note(0, f"k{number}", "x")
        assert self.episodes.forgotten == 5
        assert not self.episodes.note(1, f"k{EPISODES_MAX}", "x")
