"""The suspicion's timer against memberlist's own vectors, and its logarithms against the real ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.membership.suspicion import (
    Suspicion,
    confirmations_wanted,
    log2_fixed,
    minimum_us,
    timeout_us,
)
from arqonmesh.ids import NodeId

MIN, MAX = 2 * SECOND, 30 * SECOND


@pytest.mark.parametrize(
    ("confirmed", "elapsed_us", "remaining_us"),
    [
        (0, 0, 30 * SECOND),
        (1, 2 * SECOND, 14 * SECOND),
        (2, 3 * SECOND, 4_810 * MILLISECOND),
        (3, 4 * SECOND, -2 * SECOND),
        (4, 5 * SECOND, -3 * SECOND),
        (5, 10 * SECOND, -8 * SECOND),
    ],
)
def test_the_remaining_time_is_that_of_memberlists_suspicion_test(
    confirmed: int, elapsed_us: int, remaining_us: int
) -> None:
    """k = 3, min 2 s, max 30 s; negative means: fire now."""
    assert timeout_us(confirmed, 3, MIN, MAX) - elapsed_us == remaining_us


@given(st.integers(1, 1_000_000))
def test_the_integer_logarithm_is_the_logarithm(n: int) -> None:
    """Within two units of the 24th bit."""
    assert abs(log2_fixed(n) / 2**24 - math.log2(n)) < 2**-21


@pytest.mark.parametrize(("members", "seconds"), [(1, 4.0), (10, 4.0), (64, 7.2), (128, 8.4), (1_000, 12.0)])
def test_the_minimum_grows_with_log10_of_the_membership(members: int, seconds: float) -> None:
    """4 x max(1, log10 n) x 1 s, the table of algorithms 2.1."""
    assert abs(minimum_us(4, members, SECOND) / SECOND - seconds) < 0.05


@pytest.mark.parametrize(("members", "k"), [(2, 0), (3, 0), (4, 2), (100, 2)])
def test_no_confirmations_are_waited_for_that_cannot_come(members: int, k: int) -> None:
    """k = mult - 2, or 0 when n - 2 < k."""
    assert confirmations_wanted(4, members) == k


@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(0, 5))
def test_confirmations_count_once_each_and_only_shorten(names: list[str], wanted: int) -> None:
    """The deadline never moves away, never falls below the minimum, and repeats change nothing."""
    suspicion = Suspicion(0, NodeId("a"), wanted=wanted, min_us=MIN, max_us=MAX)
    deadline = suspicion.expires_at
    for name in names:
        suspicion.confirm(NodeId(name))
        assert MIN <= suspicion.expires_at <= deadline
        deadline = suspicion.expires_at
    distinct = len(dict.fromkeys(names)) - ("a" in names)
    assert suspicion.confirmations == min(distinct, wanted)


def test_anothers_dead_leaves_the_shortest_time() -> None:
    """Hastened: the minimum, from the start of the suspicion."""
    suspicion = Suspicion(SECOND, NodeId("a"), wanted=2, min_us=MIN, max_us=MAX)
    suspicion.hasten()
    assert suspicion.expires_at == SECOND + MIN


def test_time_in_which_we_did_not_listen_is_given_back() -> None:
    """Postponed by the lateness, and at least so far ahead of now."""
    suspicion = Suspicion(0, NodeId("a"), wanted=0, min_us=MIN, max_us=MAX)
    suspicion.postpone(10 * SECOND, 9 * SECOND, 3 * SECOND)
    assert suspicion.expires_at == 13 * SECOND


def test_time_before_a_suspicion_began_is_not_given_to_it() -> None:
    """We stood still for a minute and began to suspect a second ago: it is a second that the suspect gets again."""
    suspicion = Suspicion(60 * SECOND, NodeId("a"), wanted=0, min_us=MIN, max_us=MAX)
    suspicion.postpone(61 * SECOND, 60 * SECOND, 0)
    assert suspicion.started_at == 61 * SECOND
