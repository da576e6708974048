"""Coordinates as an algorithm: the published topologies, and what no input may do to it."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.core.coordinates.vivaldi import (
    DIMENSIONS,
    ERROR_MAX,
    FILTERS_MAX,
    LAYOUT,
    LIMIT_S,
    MOVE_MAX_S,
    Coordinate,
    Vivaldi,
    origin,
)
from arqonmesh.ids import NodeId
from bench.vivaldi import SLACK, TOPOLOGIES, Topology, measure

PEER = NodeId("peer")
PLACES = st.floats(-LIMIT_S, LIMIT_S)
COORDINATES = st.builds(
    Coordinate,
    vector=st.tuples(*[PLACES] * DIMENSIONS),
    height=st.floats(1e-5, LIMIT_S),
    error=st.floats(0, ERROR_MAX),
    adjustment=PLACES,
)


@pytest.mark.parametrize("topology", TOPOLOGIES, ids=lambda topology: topology.name)
def test_guesses_are_within_the_published_bounds(topology: Topology) -> None:
    """Serf's averages and maxima times 1.2, median of three seeds (the bench takes twenty)."""
    found = [measure(topology, seed) for seed in (1, 2, 3)]
    assert statistics.median(errors.average for errors in found) <= topology.average_max * SLACK
    assert statistics.median(errors.largest for errors in found) <= topology.largest_max * SLACK


def test_what_stands_above_the_others_is_found_as_height() -> None:
    """The centre of the circle is two radii from everyone: 0.97 of one is its height, the others have next to none."""
    centre, *others = measure(TOPOLOGIES[3], 2).heights
    assert centre >= 0.97 * 0.100
    assert max(others) <= 0.03 * 0.100


@given(st.lists(st.tuples(COORDINATES, st.floats(0, 10)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_whatever_others_say_the_coordinate_stays_sound_and_moves_in_small_steps(
    told: list[tuple[Coordinate, float]],
) -> None:
    """At most 50 ms per update beside gravity, finite always, the error in its range."""
    vivaldi = Vivaldi(random.Random(1))
    for other, rtt_s in told:
        before, resets = vivaldi.coordinate, vivaldi.resets
        vivaldi.update(PEER, other, rtt_s)
        after = vivaldi.coordinate
        assert after.sound()
        if vivaldi.resets == resets:
            assert math.dist(before.vector, after.vector) <= MOVE_MAX_S + 0.02
            assert abs(after.height - before.height) <= MOVE_MAX_S + 0.02


@pytest.mark.parametrize("rtt_s", [-0.001, 10.1, math.nan, math.inf])
def test_an_impossible_round_trip_is_refused(rtt_s: float) -> None:
    """Below zero, above ten seconds, not a number."""
    vivaldi = Vivaldi(random.Random(1))
    assert not vivaldi.update(PEER, origin(), rtt_s)
    assert vivaldi.coordinate == origin() and vivaldi.updates == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, 11.0])
def test_an_unsound_coordinate_is_refused(bad: float) -> None:
    """Of another; in any of its parts."""
    vivaldi = Vivaldi(random.Random(1))
    for other in (
        Coordinate((bad,) * DIMENSIONS),
        Coordinate(origin().vector, height=bad),
        Coordinate(origin().vector, error=bad),
        Coordinate(origin().vector, adjustment=bad),
        Coordinate((0.0,) * 3),
    ):
        assert not vivaldi.update(PEER, other, 0.01)


def test_ours_begins_anew_when_it_is_not_sound() -> None:
    """Not a number never gets out."""
    vivaldi = Vivaldi(random.Random(1), coordinate=Coordinate((math.nan,) * DIMENSIONS))
    vivaldi.update(PEER, origin(), 0.01)
    assert vivaldi.coordinate == origin() and vivaldi.resets == 1


def test_one_late_answer_does_not_move_us() -> None:
    """The median of a peer's newest three."""
    steady, late = Vivaldi(random.Random(1)), Vivaldi(random.Random(1))
    other = Coordinate((0.01,) + (0.0,) * 7, error=0.1)
    for turn in range(9):
        steady.update(PEER, other, 0.020)
        late.update(PEER, other, 3.0 if turn == 6 else 0.020)
    assert late.coordinate == steady.coordinate


def test_the_filters_are_bounded() -> None:
    """1,024 peers; beyond, the one first met goes."""
    vivaldi = Vivaldi(random.Random(1))
    for index in range(FILTERS_MAX + 10):
        vivaldi.update(NodeId(str(index)), origin(), 0.01)
    assert len(vivaldi._filters) == FILTERS_MAX


@given(COORDINATES)
def test_the_wire_form_keeps_a_coordinate_to_the_microsecond(coordinate: Coordinate) -> None:
    """Eleven integers and back."""
    told = coordinate.to_wire()
    assert len(told) == LAYOUT
    back = Coordinate.from_wire(told)
    assert back.to_wire() == told
    assert math.dist(back.vector, coordinate.vector) <= 2e-6
    assert abs(back.height - coordinate.height) <= 1e-5


def test_a_distance_is_symmetric_and_never_below_zero() -> None:
    """Adjustments that would turn it over are left out."""
    a = Coordinate((0.001,) + (0.0,) * 7, adjustment=-0.5)
    b = Coordinate((0.004,) + (0.0,) * 7, adjustment=-0.5)
    assert a.distance_to(b) == b.distance_to(a) == pytest.approx(0.003 + 2e-5)
