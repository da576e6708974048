"""When a link's figures are news, on a clock moved by hand."""

from __future__ import annotations

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.link.pacing import DRIFT_LASTS_US
from arqonmesh.core.link.told import LOSS_LASTS_US, RARE_US, RTT_LASTS_US, Told

MS = MILLISECOND


def told(rtt_us: int = 20 * MS, loss_ppm: int = 0) -> Told:
    figures = Told()
    figures.said(0, rtt_us, loss_ppm, news=False)
    return figures


def test_a_loss_is_news_when_it_is_another_by_a_step_and_lasts() -> None:
    """A moment's loss is told with what else is new; one that stays is told by itself, and so is its end."""
    figures = told()
    for at in range(0, LOSS_LASTS_US, SECOND):
        figures.measured(at, 20 * MS, 300_000)
        assert not figures.moved(at, 20 * MS)
    assert figures.moved(LOSS_LASTS_US, 20 * MS)
    figures.said(LOSS_LASTS_US, 20 * MS, 300_000, news=True)
    assert not figures.moved(2 * LOSS_LASTS_US, 20 * MS)
    figures.measured(2 * LOSS_LASTS_US, 20 * MS, 0)
    assert figures.moved(3 * LOSS_LASTS_US, 20 * MS)


def test_a_loss_that_comes_and_goes_is_no_news() -> None:
    """A figure of the last seconds begins anew each time that it is as it was told; a small change is none."""
    figures = told(loss_ppm=50_000)
    for turn in range(20):
        figures.measured(turn * LOSS_LASTS_US // 2, 20 * MS, 300_000 if turn % 2 else 0)
        assert not figures.moved(turn * LOSS_LASTS_US // 2, 20 * MS)
    figures.measured(100 * SECOND, 20 * MS, 150_000)
    assert not figures.moved(200 * SECOND, 20 * MS)


def test_of_a_link_nothing_is_news_before_anything_was_told_of_it() -> None:
    """Its first figures go out with the news that it is up."""
    figures = Told()
    figures.measured(0, 20 * MS, 900_000)
    assert not figures.moved(100 * SECOND, 500 * MS)
    figures.said(100 * SECOND, 500 * MS, 900_000, news=False)
    assert figures.moved(100 * SECOND, 900 * MS) and not figures.stepped(900 * MS)
    assert figures.stepped(1_100 * MS)


def test_who_moves_all_the_time_is_not_rare() -> None:
    """Only what was said because it had moved counts: what others' news carried along says nothing of it."""
    figures = told()
    assert figures.rarely_moves(SECOND)
    figures.said(2 * SECOND, 40 * MS, 0, news=True)
    assert not figures.rarely_moves(2 * SECOND + RARE_US - 1)
    figures.said(2 * SECOND + RARE_US, 41 * MS, 0, news=False)
    assert figures.rarely_moves(2 * SECOND + RARE_US)


def test_a_round_trip_has_to_be_another_without_a_break_to_have_lasted() -> None:
    """Two pauses of a peer are not one long one."""
    figures = told()
    figures.measured(0, 80 * MS, 0)
    figures.measured(SECOND, 20 * MS, 0)
    figures.measured(RTT_LASTS_US, 80 * MS, 0)
    assert figures.moved(RTT_LASTS_US, 80 * MS)
    assert not figures.lasted(RTT_LASTS_US)
    assert figures.lasted(2 * RTT_LASTS_US)
    figures.said(2 * RTT_LASTS_US, 80 * MS, 0, news=True)
    assert not figures.lasted(3 * RTT_LASTS_US)


def test_what_has_lasted_has_done_so_when_the_pacer_asks() -> None:
    """Figures are looked at every half second, so what began to drift then counts when its turn comes."""
    assert RTT_LASTS_US + SECOND <= DRIFT_LASTS_US
