"""How late a process is as a rule, on a clock moved by hand."""

from __future__ import annotations

import random

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.core.link.lag import BEATS_PER_LAG, COUNTED_US_MAX, FALL_US, LEAST_US, STEP_US, Lag
from arqonmesh.core.link.pacing import HOLDS_PER_LAG, LAG_HOLD_US_MAX, SETTLES_PER_LAG, Pacer

EVERY_US = 100 * MILLISECOND


def timers(lag: Lag, now: Instant, until: Instant, *, late_us: int) -> Instant:
    """One every 100 ms, each so late."""
    while now < until:
        lag.note(now, late_us)
        now += EVERY_US
    return now


def test_where_every_timer_waits_for_its_turn_the_pace_gives_way_within_seconds() -> None:
    """Forty milliseconds of queue: heartbeats leave twice a second, and not ten times."""
    lag = Lag()
    now = timers(lag, SECOND, 3 * SECOND, late_us=40 * MILLISECOND)
    assert lag.pace_us >= 20 * MILLISECOND * BEATS_PER_LAG
    timers(lag, now, now + 5 * SECOND, late_us=40 * MILLISECOND)
    assert 40 * MILLISECOND * BEATS_PER_LAG - 2 * STEP_US <= lag.pace_us <= 40 * MILLISECOND * BEATS_PER_LAG


def test_a_single_pause_however_long_slows_nothing() -> None:
    """It may have been a laptop's lid; patience with it is another's business (core/lull.py)."""
    lag = Lag()
    now = timers(lag, 0, SECOND, late_us=0)
    assert not lag.note(now, 3_600 * SECOND)
    assert lag.us == 0 and lag.pace_us == 0


def test_what_a_healthy_process_is_late_is_nothing() -> None:
    """A few milliseconds, for as long as you like."""
    lag = Lag()
    timers(lag, 0, 60 * SECOND, late_us=LEAST_US - MILLISECOND)
    assert lag.us == 0 and lag.pace_us == 0


def test_punctual_timers_give_the_old_pace_back_in_half_a_minute_and_not_in_a_moment() -> None:
    """Slower heartbeats are what made them punctual: the next second would be late again."""
    lag = Lag()
    now = timers(lag, 0, 10 * SECOND, late_us=60 * MILLISECOND)
    slow_us = lag.pace_us
    now = timers(lag, now, now + SECOND, late_us=0)
    assert lag.pace_us > slow_us * 3 // 4
    timers(lag, now, now + 4 * FALL_US, late_us=0)
    assert lag.pace_us == 0


def test_the_pace_is_not_another_with_every_timer() -> None:
    """Timers that are late by turns change it a few times, not each time."""
    lag, changes = Lag(), 0
    for turn in range(600):
        changes += lag.note(turn * EVERY_US, (turn % 4) * 20 * MILLISECOND)
    assert changes <= 24, "that is once in 25"


def test_however_late_the_figure_is_bounded() -> None:
    """So are the pace and what waits for it."""
    lag = Lag()
    timers(lag, 0, 60 * SECOND, late_us=10 * SECOND)
    assert COUNTED_US_MAX - MILLISECOND <= lag.us <= COUNTED_US_MAX
    assert lag.pace_us <= COUNTED_US_MAX * BEATS_PER_LAG


def test_news_of_links_waits_as_many_times_as_long_as_timers_are_late() -> None:
    """A link that is back by then is not told at all; the loss of one that had stood waits as well."""
    pacer = Pacer(random.Random(1))
    pacer.lag_us = 50 * MILLISECOND
    pacer.changed(0)
    assert pacer.due == SETTLES_PER_LAG * pacer.lag_us
    pacer.published(pacer.due)
    told_at = pacer.due or SETTLES_PER_LAG * pacer.lag_us
    pacer.lost(told_at + MILLISECOND)
    assert pacer.due == told_at + HOLDS_PER_LAG * pacer.lag_us
    pacer.lag_us = SECOND
    pacer.published(told_at + 2 * SECOND)
    pacer.changed(told_at + 2 * SECOND)
    assert pacer.due == told_at + 2 * SECOND + LAG_HOLD_US_MAX
