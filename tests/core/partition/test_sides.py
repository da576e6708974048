"""No two sides both change the membership, whatever comes and goes; the story itself is bench/partitions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arqonmesh.core.partition.electorate import Count, Electorate
from arqonmesh.core.partition.quorum import required
from arqonmesh.ids import NodeId
from bench.partitions.exhaustive import exhaustive
from bench.partitions.node import Preset
from bench.partitions.story import play
from bench.partitions.world import Broken

PRESETS: tuple[Preset, ...] = ("crash", "byzantine")
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.requirement("R-PA-10")
def test_no_cut_in_two_leaves_two_sides_that_write() -> None:
    """Every cut of two to six nodes, both presets; exactly the side with a quorum writes."""
    assert exhaustive(6) == 2 * sum(2 ** (size - 1) - 1 for size in range(2, 7))


@pytest.mark.requirement("R-PA-10")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(12))
def test_no_story_of_cuts_and_churn_leaves_two_sides_that_write(seed: int, preset: Preset) -> None:
    """Cuts in two and many, chains, one-way links, admissions in flight, leaving, coming back; and all agree after."""
    world = play(seed, preset)
    assert world.admitted > 0


def newest_only(self: Electorate, reaches: Callable[[NodeId], bool]) -> Count:
    """The rule that seems enough: a quorum of the newest voters that one knows."""
    voters = self.voters()
    votes = sum(1 for node in voters if reaches(node))
    return Count(votes, len(voters), required(len(voters), "crash"))


def test_a_quorum_of_the_newest_voters_alone_would_not_be_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two admitted on one side just before the cut: four of its seven, and three of five there. The checker sees it."""
    monkeypatch.setattr(Electorate, "count", newest_only)
    with pytest.raises(Broken, match="two sides accept governed writes"):
        play(27, "crash")


STORY = """
from bench.partitions.story import play
for seed in range(4):
    world = play(seed, "byzantine")
    print(world.admitted, world.invited, world.refused, world.now, world.dice.random())
"""


def test_a_seed_replays_whatever_the_hash_seed() -> None:
    """The line that a broken seed prints is worth nothing if another process plays another story."""
    told = [
        subprocess.run(
            [sys.executable, "-c", STORY],
            env={**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in (1, 2)
    ]
    assert told[0] == told[1] != ""
