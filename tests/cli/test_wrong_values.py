"""A value on the command line that does not fit: which, what was given, what would be right, in our words."""

from __future__ import annotations

import pytest
import typer

from arqonmesh_cli import wrong_values
from tests.cli.conftest import Arqon


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("init", "--cluster", "a", "--role", "boss"), "--role is 'boss'; it needs to be one of hub, spoke or leader;"),
        (("mesh", "seed", "x", "--policy", "?'?"), '--policy is "?\'?"; it needs to be one of key, open or closed;'),
        (("node", "logs", "-n", "some"), "--lines is 'some'; it needs to be a whole number;"),
        (("node", "logs", "--lines", "-4"), "--lines is '-4'; it needs to be at least 0;"),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(words: tuple[str, ...], told: str, arqon: Arqon) -> None:
    """Exit code 2, and no word of the library that looked."""
    done = arqon(*words, "--json")
    error = done.json["error"]
    assert (done.code, error["code"]) == (2, "cli.usage") and error["message"].startswith(told)
    assert "Value error" not in arqon(*words).err


def test_what_a_library_says_without_a_reason_that_is_known_is_told_without_its_lead() -> None:
    """A new kind of failure, or none that has reasons."""
    parameter = typer.main.get_command(typer.Typer(callback=lambda: None)).params[0]
    for cause in (None, ValueError("no reasons")):
        said = wrong_values.told("Invalid value for 'PATH': Value error, it is odd.", parameter, cause)
        assert said == "Invalid value for 'PATH': it is odd."
