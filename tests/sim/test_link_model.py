"""The model of one direction of one link, which the simulator and the lab share."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.sim.link_model import LinkModel, Spread

SENDS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 1_500)), min_size=1, max_size=80)
"""Time since the last packet in microseconds, and size in bytes."""


@given(SENDS, st.integers(0, 50_000), st.integers(0, 20_000), st.integers(0, 2_000_000), st.integers(0, 2**32))
def test_packets_arrive_in_order_and_never_early(
    sends: list[tuple[int, int]], delay_us: int, jitter_us: int, bandwidth: int, seed: int
) -> None:
    """Without `reorder_ppm` jitter moves packets, and never past each other."""
    model = LinkModel(delay_us=delay_us, jitter_us=jitter_us, bandwidth_bytes_per_s=bandwidth)
    dice, now, newest = random.Random(seed), 0, 0
    for pause_us, size in sends:
        now += pause_us
        for at in model.plan(now, size, dice):
            assert at >= now + delay_us
            assert at >= newest
            newest = at


def test_the_same_dice_give_the_same_world() -> None:
    """The model draws from what it is given and from nothing else."""
    runs = []
    for _ in range(2):
        model = LinkModel(jitter_us=900, loss_ppm=100_000, duplicate_ppm=100_000, reorder_ppm=100_000)
        dice = random.Random(5)
        runs.append([model.plan(now, 100, dice) for now in range(0, 100_000, 100)])

    assert runs[0] == runs[1]


@pytest.mark.parametrize(("ppm", "least", "most"), [(0, 0, 0), (100_000, 850, 1_150), (1_000_000, 10_000, 10_000)])
def test_loss_is_what_was_asked_for(ppm: int, least: int, most: int) -> None:
    """Of 10,000 packets."""
    model, dice = LinkModel(loss_ppm=ppm), random.Random(1)
    lost = sum(not model.plan(now, 100, dice) for now in range(10_000))

    assert least <= lost <= most


def test_a_doubled_packet_arrives_twice_and_a_held_one_is_overtaken() -> None:
    """duplicate_ppm and reorder_ppm at certainty."""
    assert len(LinkModel(duplicate_ppm=1_000_000).plan(0, 100, random.Random(1))) == 2

    model, dice = LinkModel(reorder_ppm=1_000_000, reorder_by_us=5_000), random.Random(1)
    (held,) = model.plan(0, 100, dice)
    model.reorder_ppm = 0
    (next_one,) = model.plan(10, 100, dice)
    assert next_one < held


def test_bandwidth_spaces_packets_and_a_full_queue_loses_them() -> None:
    """1 MB/s: 1,000 bytes take a millisecond each; 3,000 bytes may wait."""
    model = LinkModel(delay_us=0, bandwidth_bytes_per_s=1_000_000, queue_bytes=3_000)
    plans = [model.plan(0, 1_000, random.Random(1)) for _ in range(5)]

    assert plans == [(1_000,), (2_000,), (3_000,), (), ()]
    assert model.plan(3_000, 1_000, random.Random(1)) == (4_000,)


def test_a_cut_is_silent() -> None:
    """Nothing arrives, and afterwards everything does again."""
    model = LinkModel(cut=True)
    assert model.plan(0, 100, random.Random(1)) == ()
    model.cut = False
    assert model.plan(0, 100, random.Random(1)) == (500,)


def test_a_clogged_path_stands_still_and_then_bursts() -> None:
    """Nothing arrives before its time, then all at once and in order; later packets are not delayed any more."""
    model, dice = LinkModel(delay_us=500, reorder_ppm=500_000), random.Random(1)
    model.clog(1_000_000)
    times = [model.plan(now, 100, dice)[0] for now in range(0, 900_000, 100_000)]
    assert min(times) == 1_000_000
    assert set(times) <= {1_000_000, 1_000_000 + model.reorder_by_us}
    assert min(model.plan(2_000_000 + n, 100, dice)[0] for n in range(20)) < 2_001_000


@pytest.mark.parametrize("spread", ["exponential", "wan"])
def test_a_spread_has_its_mean_and_a_long_tail(spread: Spread) -> None:
    """Jitter is the mean, some packets wait much longer, and the order is kept."""
    dice = random.Random(1)
    drawn = [LinkModel(delay_us=0, jitter_us=1_000, spread=spread).plan(0, 100, dice)[0] for _ in range(20_000)]
    assert 950 < sum(drawn) / len(drawn) < (1_050 if spread == "exponential" else 1_200)
    assert max(drawn) > (5_000 if spread == "exponential" else 15_000)
    model = LinkModel(delay_us=0, jitter_us=1_000, spread=spread)
    times = [model.plan(now, 100, dice)[0] for now in range(1_000)]
    assert times == sorted(times)
