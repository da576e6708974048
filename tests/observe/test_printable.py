"""What others wrote does not drive the terminal of whoever reads it."""

from __future__ import annotations

import pytest

from arqonmesh.observe.printable import printable
from arqonmesh.runtime.event_log import EventLog


@pytest.mark.parametrize("text", ["deploy v1.2.3", "größer ✓", ""])
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    """Letters of any script, blanks, signs."""
    assert printable(text) == text


@pytest.mark.parametrize("bad", ["\x1b", "\x07", "\n", "\r", "\x9b", "\u202e"])
def test_what_a_terminal_acts_upon_is_shown(bad: str) -> None:
    """Escapes, bells, line ends and changes of direction."""
    assert printable(f"a{bad}b") == f"a\\u{ord(bad):04x}b"


async def test_the_event_log_tells_no_control_characters() -> None:
    """A member names its event so as to clear the screen of whoever lists it."""
    log = EventLog(lambda: 0)
    log.add("event", "event \x1b[2J from x")
    async for event in log.watch():
        assert event.text == "event \\u001b[2J from x"
        break
