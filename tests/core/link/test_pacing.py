"""When a link-state advertisement may leave, on a clock moved by hand."""

from __future__ import annotations

import random
from itertools import pairwise

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.core.link.pacing import (
    DRIFT_HOLD_US_MAX,
    DRIFT_HOLD_US_MIN,
    DRIFT_LASTS_US,
    LEAF_LASTS_US,
    RARE_EVERY_US,
    Pacer,
)


def drifting(pacer: Pacer, now: Instant, until: Instant) -> list[Instant]:
    """Figures that drift all the time: when they are told."""
    told = []
    while now < until:
        pacer.drifted(now)
        assert pacer.due is not None
        now = max(now, pacer.due)
        pacer.published(now)
        told.append(now)
        now += MILLISECOND
    return told


class Zero(random.Random):
    """Dice that draw the least: nothing waits for longer than it has to."""

    def randrange(self, start: int, *_: object) -> int:
        return start


def told_once(rng: random.Random | None = None) -> Pacer:
    """Of a node that said at 0 what there was to say."""
    pacer = Pacer(rng or Zero())
    pacer.changed(0)
    pacer.published(0)
    return pacer


def tired() -> tuple[Pacer, Instant]:
    """Of a node whose figures have drifted for so long that they wait as long as any; when they were told last."""
    pacer = told_once()
    return pacer, drifting(pacer, SECOND, 500 * SECOND)[-1]


def test_figures_that_drift_all_the_time_are_told_ever_less_often() -> None:
    """A busy machine's round trips never stand still, and telling everyone of them makes all machines busier."""
    pacer = told_once()
    told = drifting(pacer, SECOND, 2_000 * SECOND)
    pauses = [after - before for before, after in pairwise(told)]
    assert told[0] == DRIFT_HOLD_US_MIN
    assert pauses[:3] == [60 * SECOND, 120 * SECOND, 240 * SECOND]
    assert set(pauses[3:]) == {DRIFT_HOLD_US_MAX}


def test_a_figure_that_drifts_after_a_long_rest_is_told_as_soon_as_at_first() -> None:
    """Only what goes on and on waits longer."""
    pacer, last = tired()
    pacer.drifted(last + 2 * DRIFT_HOLD_US_MAX)
    assert pacer.due == last + 2 * DRIFT_HOLD_US_MAX + DRIFT_LASTS_US
    pacer.published(pacer.due)
    pacer.drifted(pacer.due + SECOND if pacer.due else 0)
    assert pacer.due == last + 2 * DRIFT_HOLD_US_MAX + DRIFT_LASTS_US + DRIFT_HOLD_US_MIN


def test_a_step_waits_no_longer_for_what_other_figures_have_been_doing() -> None:
    """One noisy link must not hide for minutes that another has become slow."""
    pacer, last = tired()
    pacer.drifted(last + SECOND)
    assert pacer.due == last + DRIFT_HOLD_US_MAX
    pacer.drifted(last + SECOND, step=True)
    assert pacer.due == last + DRIFT_HOLD_US_MIN
    assert pacer.for_drift


def test_a_link_that_rarely_drifts_waits_for_those_that_always_do_only_now_and_then() -> None:
    """30 s after what was told last, out of turn, within the node's allowance; the others' pause stays as it was."""
    pacer, last = tired()
    pacer.drifted(last + SECOND)
    pacer.drifted(last + SECOND, rare=True)
    early = last + DRIFT_HOLD_US_MIN
    assert pacer.due == early and pacer.for_drift
    pacer.published(early)
    pacer.drifted(early + SECOND, rare=True)
    assert pacer.due == early + DRIFT_HOLD_US_MAX, "the allowance is spent"
    pacer.drifted(early + RARE_EVERY_US, rare=True)
    assert pacer.due == early + RARE_EVERY_US + DRIFT_LASTS_US
    told = [now for now in range(0, 3_600 * SECOND, SECOND) if rarely(pacer, early + RARE_EVERY_US + now)]
    assert len(told) <= 3_600 * SECOND // RARE_EVERY_US + 1


def rarely(pacer: Pacer, now: Instant) -> bool:
    """Of many links always one drifts that rarely did: whether that is told now."""
    pacer.drifted(now, rare=True)
    if pacer.due is None or pacer.due > now:
        return False
    pacer.published(now)
    return True


def test_a_link_that_falls_waits_for_no_drift() -> None:
    """Whatever figures have been doing, and a drift that was due then is told with it."""
    pacer, last = tired()
    pacer.drifted(last + SECOND)
    assert pacer.for_drift
    pacer.lost(last + SECOND)
    assert not pacer.for_drift
    assert pacer.due is not None and pacer.due <= last + SECOND + 200 * MILLISECOND


def test_figures_that_are_again_what_was_told_are_not_told() -> None:
    """A moment's delay is over when its turn would come."""
    pacer = told_once()
    pacer.drifted(SECOND)
    pacer.steadied()
    assert pacer.due is None


def test_nodes_that_spoke_in_one_moment_do_not_speak_of_drift_in_one_moment_again() -> None:
    """The records of sixty members in one second are the next trouble for a machine that they share."""
    dues = []
    for seed in range(60):
        pacer = told_once(random.Random(seed))
        pacer.drifted(SECOND)
        assert pacer.due is not None
        dues.append(pacer.due)
    assert min(dues) >= DRIFT_HOLD_US_MIN
    assert max(dues) <= DRIFT_HOLD_US_MIN * 3 // 2
    in_one_second = max(sum(at <= due < at + SECOND for due in dues) for at in dues)
    assert in_one_second <= 12, "of 60 that would have been one second's"


def test_who_waits_for_longer_once_does_not_always() -> None:
    """The wait is drawn anew after each record."""
    pacer = told_once(random.Random(1))
    now, waits = 0, set()
    for _ in range(8):
        pacer.drifted(now, step=True)
        assert pacer.due is not None
        waits.add(pacer.due - now)
        now = pacer.due
        pacer.published(now)
    assert len(waits) == 8


def test_a_leaf_has_time_to_say_that_its_only_round_trip_is_another() -> None:
    """Nobody has a choice of ways to it. A step is told when it has lasted for half a minute."""
    pacer = told_once()
    pacer.drifted(SECOND, leaf=True)
    assert pacer.due == DRIFT_HOLD_US_MAX
    pacer.drifted(2 * SECOND, leaf=True, step=True)
    assert pacer.due == 2 * SECOND + LEAF_LASTS_US


def test_who_gathers_says_nothing_meanwhile_whatever_happens() -> None:
    """The first link after none is no reason to tell that the others are gone."""
    pacer = told_once()
    pacer.changed(10 * SECOND)
    pacer.gather(10 * SECOND, 20 * SECOND)
    assert pacer.due == 12 * SECOND, "two seconds at most"
    pacer.changed(11 * SECOND)
    pacer.lost(11 * SECOND)
    pacer.drifted(11 * SECOND, step=True)
    pacer.gather(11 * SECOND, 2 * SECOND)
    assert pacer.due == 12 * SECOND, "once until something was told"
    pacer.published(12 * SECOND)
    pacer.lost(20 * SECOND)
    assert pacer.due is not None and pacer.due < 21 * SECOND
