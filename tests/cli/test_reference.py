"""Documentation that cannot drift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from arqonmesh.errors import CATALOGUE, PeerError
from arqonmesh_cli.answer import three_lines
from arqonmesh_cli.reference import render
from tests.cli.conftest import Arqon

ROOT = Path(__file__).parents[2]


def test_the_command_reference_is_current() -> None:
    """After a change: python -m arqonmesh_cli.reference > docs/reference/cli.md."""
    assert (ROOT / "docs/reference/cli.md").read_text() == render()


def test_a_code_that_nobody_knows_is_told_with_what_is_near_or_where_all_are(arqon: Arqon) -> None:
    """Nothing near is said in words."""
    assert "near it: bus.closed" in arqon("explain", "bus.close").err
    assert "explain lists them all" in arqon("explain", "nope").err


def test_a_channel_without_a_name_is_refused_before_anybody_is_asked(arqon: Arqon) -> None:
    """With a command line, not with a frame."""
    for verb in ("pub", "sub"):
        done = arqon(verb, "", *(["1"] if verb == "pub" else []))
        assert (done.code, "ROOM:CHANNEL" in done.err, "try:   arqon " + verb in done.err) == (2, True, True)


@pytest.mark.parametrize(
    ("hint", "step"),
    [
        ("connect(url, token) with a token or key that may", "--token TOKEN"),
        ("bus.join('a:b')", "arqon explain bus.forbidden"),
        ('{"type": "help"}', "arqon explain bus.forbidden"),
        ("arqon node status", "arqon node status"),
    ],
)
def test_what_would_be_right_for_a_program_is_no_next_step_for_a_terminal(hint: str, step: str) -> None:
    """A frame or a call cannot be typed into a shell."""
    assert three_lines(PeerError("bus.forbidden", "no", hint=hint))[2].startswith(step)


def test_every_error_code_of_these_rooms_can_be_explained() -> None:
    """`arqon explain CODE` knows each code that the command or the control API can show."""
    code = re.compile(r'"((?:api|cli|demo)\.[a-z-]+)"')
    used = {
        found
        for room in ("cli", "arqonmesh/api")
        for path in (ROOT / room).rglob("*.py")
        for found in code.findall(path.read_text())
    }
    assert used
    assert used <= set(CATALOGUE)


def test_every_command_in_the_reference_is_one_that_there_is() -> None:
    """Headings follow the tree."""
    headings = re.findall(r"^#+ `(arqon .*)`$", render(), re.MULTILINE)
    assert "arqon mesh status" in headings
    assert len(headings) == len(set(headings))
