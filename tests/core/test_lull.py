"""The longest silence of late that ended well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.lull import HALF_LIFE_US, LEAST_US, Lull

NOTES = st.lists(st.tuples(st.integers(0, 60 * SECOND), st.integers(0, 5 * SECOND)), max_size=20)


def test_short_ones_are_not_counted() -> None:
    """They are within everybody's patience."""
    lull = Lull()
    lull.note(0, LEAST_US - 1)
    assert lull.us(0) == 0
    lull.note(0, LEAST_US)
    assert lull.us(0) == LEAST_US


def test_it_is_halved_every_ten_seconds_and_then_forgotten() -> None:
    """Along a line between the halvings."""
    lull = Lull()
    lull.note(7, 2 * SECOND)
    assert lull.us(7 + HALF_LIFE_US // 2) == 1_500 * MILLISECOND
    assert lull.us(7 + HALF_LIFE_US) == SECOND
    assert lull.us(7 + 3 * HALF_LIFE_US) == LEAST_US
    assert lull.us(7 + 3 * HALF_LIFE_US + SECOND) == 0
    lull.note(40 * SECOND, 300 * MILLISECOND)
    assert lull.us(40 * SECOND) == 300 * MILLISECOND


@given(NOTES, st.integers(0, 30 * SECOND))
def test_it_is_never_more_than_the_longest_and_only_falls_by_itself(notes: list[tuple[int, int]], later: int) -> None:
    """Whatever is noted in between."""
    lull = Lull()
    now = 0
    for now, us in sorted(notes):
        lull.note(now, us)
        assert us < LEAST_US or lull.us(now) >= us
    longest = max((us for _, us in notes), default=0)
    before = lull.us(now)
    assert before <= longest
    assert lull.us(now + later) <= before
