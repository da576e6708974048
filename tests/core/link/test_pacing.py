"""When a link-state advertisement may leave, on a clock moved by hand."""

from __future__ import annotations

from itertools import pairwise

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.core.link.pacing import DRIFT_HOLD_US_MAX, DRIFT_HOLD_US_MIN, RARE_EVERY_US, Pacer


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


def told_once() -> Pacer:
    """Of a node that said at 0 what there was to say."""
    pacer = Pacer()
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
    assert pacer.due == last + 2 * DRIFT_HOLD_US_MAX
    pacer.published(pacer.due)
    pacer.drifted(pacer.due + SECOND if pacer.due else 0)
    assert pacer.due == last + 2 * DRIFT_HOLD_US_MAX + DRIFT_HOLD_US_MIN


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
    assert pacer.due == early + RARE_EVERY_US
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
