"""Patterns in rules: what some channel can match is taken, what none ever could is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.load import examine
from arqonmesh.config.patterns import mistake
from arqonmesh.core.glob import matches


@pytest.mark.parametrize(
    "pattern",
    ["*", "*:*", "telemetry:*", "a:b", "tele*", "*host", "acme|*", "*|plant:*", "acme|plant:press", "$mesh:*"],
)
def test_a_pattern_that_some_channel_can_match_is_taken(pattern: str) -> None:
    """`*` is any run of characters, the colon and the bar of a tenant as well."""
    assert mistake(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("nocolon", "did you mean nocolon:* or lobby:nocolon"),
        ("acme|plant", "did you mean acme|plant:* or acme|lobby:plant"),
        ("*|plant", "did you mean *|plant:* or *|lobby:plant"),
        ("$mesh", "did you mean $mesh:*"),
        ("a b", "ROOM:CHANNEL of letters"),
        ("a:b:c", "ROOM:CHANNEL of letters"),
        ("a:", "ROOM:CHANNEL of letters"),
        (":b", "ROOM:CHANNEL of letters"),
        ("a|b|c:d", "ROOM:CHANNEL of letters"),
        ("|a:b", "ROOM:CHANNEL of letters"),
        ("x" * 65 + ":y", "at most 64 characters"),
    ],
)
def test_a_pattern_that_no_channel_can_match_is_told_with_what_was_meant(pattern: str, meant: str) -> None:
    """With the room that channels without one are in here (bus.names.room)."""
    assert meant in mistake(pattern, "lobby")


@given(st.text(alphabet="ab:|* $.", min_size=1, max_size=8))
def test_what_is_refused_matches_no_channel_that_there_can_be(pattern: str) -> None:
    """Or a rule would be refused that does something: tried on every short channel of these letters."""
    if mistake(pattern):
        sides = ["a", "b", "ab", "ba", "aa", "bb", ".", "a.", "aba"]
        channels = [f"{room}:{leaf}" for room in sides for leaf in sides]
        assert not any(matches(pattern, owner + channel) for owner in ("", "a|", "b|", "ab|") for channel in channels)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("federation:\n  export:\n    allow:\n      - a:b\n      - nocolon", "federation.export.allow[1]"),
        ("federation:\n  export:\n    deny:\n      - ok:*\n      - nocolon", "federation.export.deny[1]"),
        ("federation:\n  import:\n    deny:\n      - ok:*\n      - nocolon", "federation.import.deny[1]"),
        ("federation:\n  aggregate:\n    -\n      channels:\n        - nocolon", "federation.aggregate[0].channels[0]"),
        (
            "federation:\n  pin:\n    - regions: [eu]\n      channels:\n        - nocolon",
            "federation.pin[0].channels[0]",
        ),
        ("bus:\n  auth:\n    rooms:\n      - publish: admin\n        rooms: [nocolon]", "bus.auth.rooms[0].rooms[0]"),
    ],
)
def test_wherever_settings_have_patterns_they_are_looked_at(lines: str, key: str) -> None:
    """With the setting, the line, and the two patterns that may have been meant."""
    (problem,) = examine(f"node: {{cluster: hq, region: eu}}\n{lines}\n".encode()).problems
    assert (problem.code, problem.key, str(problem.origin)) == ("config.pattern", key, "arqon.yaml, line 6")
    assert problem.sentence == (
        f"{key} is 'nocolon'; a pattern is ROOM:CHANNEL, did you mean nocolon:* or default:nocolon"
    )


def test_rules_of_the_bus_are_about_names_as_clients_know_them() -> None:
    """Without the tenant: one that names it would protect nothing."""
    text = b"node: {cluster: hq}\nbus: {auth: {rooms: [{rooms: ['acme|plant:*'], join: granted}]}}"
    (problem,) = examine(text).problems
    assert re.search(r"without the tenant, did you mean plant:\*$", problem.sentence)
