"""Spans of time as people write them."""

from __future__ import annotations

import pytest

from arqonmesh.errors import UsageError
from arqonmesh_cli.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("1h30m", 5_400.0), ("250ms", 0.25), ("36500d", 3.1536e9)]
)
def test_a_span_is_its_parts_together(text: str, seconds: float) -> None:
    """Up to a century."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "-1d", "soon", "1", "1h 30m"])
def test_what_is_no_span_is_told_the_form(text: str) -> None:
    """With examples of it."""
    with pytest.raises(UsageError, match="is no span of time"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "36501d", "99999999999999d"])
def test_a_span_that_cannot_be_is_told_its_bounds(text: str) -> None:
    """Its form is right: nothing that has to be kept as a moment gets beyond what can be kept."""
    with pytest.raises(UsageError, match="above zero, and 36500d"):
        parse_duration(text)
