"""Patterns and rulings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import Rules
from arqonmesh.core.federation.patterns import CACHE_MAX, RuleSet, matches


@pytest.mark.parametrize(
    ("pattern", "channel", "expected"),
    [
        ("telemetry:*", "telemetry:host", True),
        ("telemetry:*", "telemetry:", True),
        ("telemetry:*", "raw:proc", False),
        ("telemetry:secret*", "telemetry:secrets", True),
        ("*:alerts", "north:alerts", True),
        ("*", "any:thing", True),
        ("a:b", "a:b", True),
        ("a:b", "a:bc", False),
        ("ab*ba", "aba", False),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "acb", False),
    ],
)
def test_a_star_stands_for_any_run_of_characters(pattern: str, channel: str, expected: bool) -> None:
    """Also for none, and also for the colon; everything else is itself."""
    assert matches(pattern, channel) is expected


@given(st.text("ab:*", max_size=8), st.text("ab:", max_size=12))
def test_patterns_agree_with_a_dumber_implementation(pattern: str, channel: str) -> None:
    """A regular expression with every star as `.*` says the same."""
    oracle = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert matches(pattern, channel) is (oracle.fullmatch(channel) is not None)


def test_a_pattern_of_many_stars_is_not_expensive() -> None:
    """Greedy matching has no backtracking: 100 stars against 256 characters answer at once."""
    assert not matches("*a" * 100 + "*b", "a" * 256)


@pytest.mark.requirement("R-FE-2")
@pytest.mark.requirement("R-FE-10")
def test_deny_wins_over_allow_and_names_its_rule() -> None:
    """deny beats allow whatever the order; no rule at all is `default deny`."""
    rules = RuleSet("export", Rules(allow=("telemetry:*", "telemetry:secret1"), deny=("telemetry:secret*",)))

    assert rules.ruling("telemetry:host") == (True, "export.allow[0] telemetry:*")
    assert rules.ruling("telemetry:secret1") == (False, "export.deny[0] telemetry:secret*")
    assert rules.ruling("raw:proc") == (False, "default deny")


def test_rulings_are_remembered_within_bounds() -> None:
    """Channel names come from clients; the memory of rulings starts anew when it is full."""
    rules = RuleSet("export", Rules(allow=("*",)))
    for number in range(CACHE_MAX + 10):
        rules.ruling(f"c:{number}")

    assert len(rules._cache) <= CACHE_MAX
    assert rules.ruling("c:1").allowed
