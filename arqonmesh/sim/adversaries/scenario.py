"""The scenario `byzantine`: the seed draws how many nodes, how many of them are bad, and in which ways."""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.arena import Arena, faulty_max
from arqonmesh.sim.adversaries.equivocator import Equivocator
from arqonmesh.sim.adversaries.framer import Framer
from arqonmesh.sim.adversaries.link_state_liar import LinkStateLiar
from arqonmesh.sim.adversaries.on_off import OnOff
from arqonmesh.sim.adversaries.redeemer import Redeemer
from arqonmesh.sim.adversaries.replayer import Replayer
from arqonmesh.sim.adversaries.slanderer import Slanderer
from arqonmesh.sim.simulation import Simulation

KINDS: Final[tuple[type[Adversary], ...]] = (
    Equivocator,
    Replayer,
    Slanderer,
    Framer,
    OnOff,
    LinkStateLiar,
    Redeemer,
)
"""Floods are left to their own trial: they need a limit that a simulator can exceed."""


def byzantine(sim: Simulation) -> None:
    """Raises Broken when honest members are harmed."""
    dice = sim.world.dice("byzantine")
    nodes = dice.randrange(7, 11)
    faulty = dice.randrange(1, faulty_max(nodes) + 1)
    kinds = [KINDS[dice.randrange(0, len(KINDS))] for _ in range(faulty)]
    arena = Arena(sim.world.seed, nodes, kinds, faulty=faulty, sim=sim)
    for adversary in arena.adversaries:
        if isinstance(adversary, Redeemer):
            adversary.doors = tuple(arena.honest[1:3])
    arena.settle()
    arena.begin()
    arena.fight(dice.randrange(5, 16) * SECOND)
    arena.peace()
    for adversary in arena.adversaries:
        score = arena.score_ppm(adversary) / 1_000_000
        sim.tell("world", f"{adversary.process.name} ({adversary.NAME}) ends with a score of {score:.2f}")
