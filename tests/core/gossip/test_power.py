"""An honest node that loses power, and with it what it had not synced, never looks like one that contradicts itself."""

from __future__ import annotations

import random

import pytest

from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND
from arqonmesh.sim.scenarios import star
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.statement import Floor

SEEDS = 40
"""In the suite. Run by hand over 300; see `endure`."""

STRANGE = 200
"""A kind that nobody reads: stored and passed on."""


def endure(seed: int) -> tuple[int, list[str]]:
    """One hub, two spokes, statements at odd moments, four losses of power. Returns how many, and the forks proven."""
    sim = Simulation(seed)
    star(sim, 2)
    dice = random.Random(seed)
    lost = 0
    for _ in range(4):
        victim = dice.choice(sim.alive())
        for _ in range(dice.randrange(1, 4)):
            speak(sim, victim.name, dice.randrange(3))
            sim.run_for(dice.randrange(0, 6 * MILLISECOND))
        sim.power_off(victim.name)
        lost += 1
        sim.run_for(dice.randrange(0, 300 * MILLISECOND))
        sim.boot(victim.name)
        for _ in range(dice.randrange(0, 3)):
            speak(sim, victim.name, dice.randrange(3))
            sim.run_for(dice.randrange(0, 400 * MILLISECOND))
    sim.run_for(1_500 * MILLISECOND)
    return lost, sim.observer.forks


def speak(sim: Simulation, name: str, key: int) -> None:
    """Something to sign, now: a record under a key that nobody reads."""
    process = sim.processes[name]
    process.perform(process.running.publish(process.now(), [Publish(STRANGE, f"spare{key}", Floor(0, sim.world.now))]))


@pytest.mark.requirement("R-CR-4")
@pytest.mark.parametrize("first", range(0, SEEDS, 10))
def test_a_loss_of_power_at_any_moment_convicts_nobody(first: int) -> None:
    """Persist before send, and an epoch for each life: ten seeds each, not one proof of a fork."""
    for seed in range(first, first + 10):
        lost, forks = endure(seed)
        assert lost == 4
        assert forks == [], f"seed {seed}"
