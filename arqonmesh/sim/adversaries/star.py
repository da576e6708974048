"""The trial of patience: a mesh in which one honest hub has a link to everybody, and so have its adversaries.

How long machines stand still is believed by the share of a node's links that say so (core/link/stalls.py), so the
question needs a node with many links: two of 39 say nothing that counts, two of seven would be a fifth and more. A
spoke has three links, two of them to adversaries: those slow its heartbeats down, but its death is known when the hub
says so, and the hub listens to all.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import Final

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.adversaries.arena import Arena, plane_of
from arqonmesh.sim.adversaries.outcome import Outcome
from arqonmesh.sim.adversaries.pretender import Pretender
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.restart import restart

NODES: Final = 40
PRETENDERS: Final = 2
BEFORE_US: Final = 5 * SECOND
"""Each has stood still, the second of them a moment ago."""
LOOK_US: Final = 50 * MILLISECOND
KNOWN_US: Final = 4 * SECOND
"""A death is known to everyone within this time, though the victim's heartbeats were slow."""


def pretender(seed: int) -> Outcome:
    """A spoke is killed while two liars pretend by turns: its death is known hardly later than if they did not."""
    arena = Arena(seed, NODES, (Pretender,), faulty=PRETENDERS, links=LinkSettings(auto="none"), talks=False)
    with arena.sim:
        hub, *spokes = arena.honest
        bad = [adversary.process for adversary in arena.adversaries]
        links = [*product(spokes, (hub, *bad)), *((one, hub) for one in bad), *pairwise(bad)]
        restart(arena.sim, [(one.name, other.name) for one, other in links], settled=True)
        arena.relink(links)
        wait_for_convergence(arena.sim, every_us=SECOND // 2)
        arena.begin()
        arena.fight(BEFORE_US, power=False)
        took_us = _known_after_us(arena, spokes[seed % len(spokes)].name)
        if took_us > KNOWN_US:
            raise Broken(f"all know of a death after {took_us / SECOND:.2f} s only ({KNOWN_US // SECOND} s may be)")
        arena.peace()
    return Outcome()


def _known_after_us(arena: Arena, victim: str) -> int:
    """Kill it; how long until every honest member holds it dead. It runs again then."""
    node = arena.sim.processes[victim].node_id
    arena.lost_power[victim] = None
    arena.sim.crash(victim)
    began = arena.sim.world.now
    while any(plane_of(process).membership.state_of(node) != "dead" for process in arena.running):
        arena.sim.run_for(LOOK_US)
        arena.check()
    took_us = arena.sim.world.now - began
    arena.sim.boot(victim)
    return took_us
