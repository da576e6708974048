"""A node of a mesh with four hubs dies: how soon does everybody know, and is anybody else called dead?"""

from __future__ import annotations

from typing import Literal

import pytest

from arqonmesh.core.events import LinkDown, MemberChanged
from arqonmesh.core.kernel import MILLISECOND, SECOND, Event
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.machine import Crowded, Machine
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.statement import Kind

HUBS = 4


class Witness:
    """What all nodes say of each other from now on."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.at = sim.world.now
        self.died: dict[str, dict[str, int]] = {}
        """Whom they call dead, to who does, and how long after now."""
        self.lost: list[tuple[str, str]] = []
        """Links that went down, by (who says so, to whom)."""
        for process in sim.processes.values():
            process.watchers.append(self._saw)

    def _saw(self, process: Process, event: Event) -> None:
        if isinstance(event, MemberChanged) and event.new == "dead":
            known = self.died.setdefault(self._sim.names[event.node], {})
            known.setdefault(process.name, self._sim.world.now - self.at)
        elif isinstance(event, LinkDown):
            self.lost.append((process.name, self._sim.names[event.peer]))


def mesh(seed: int, nodes: int, machine: dict[str, int] | None = None) -> Simulation:
    """Each spoke is linked to all four hubs, and the hubs to each other; on a machine of its own, or all on one."""
    sim = Simulation(seed)
    roles: tuple[Literal["hub", "spoke"], ...] = ("hub", "spoke")
    shared = None if machine is None else Machine(sim.world, **machine)
    for number in range(nodes):
        process = sim.add(f"n{number:02}", role=roles[number >= HUBS], kind=Process if shared is None else Crowded)
        if isinstance(process, Crowded):
            process.machine = shared
    sim.found()
    wait_for_convergence(sim)
    sim.run_for(6 * SECOND)
    if shared is not None:
        shared.start(hogs=6)
        for process in sim.processes.values():
            process.listening = False
        sim.run_for(2 * SECOND)
    return sim


def accusations(sim: Simulation) -> int:
    """ACCUSATIONS records that became news at one node that lives through all of it."""
    plane = sim.processes["n00"].running.plane
    assert plane is not None
    return plane.gossip.kinds.get(int(Kind.ACCUSATIONS), 0)


def all_know(sim: Simulation, *victims: str, within_us: int) -> Witness:
    """Kill them at once; everyone knows of each within this time, and of nobody else."""
    witness = Witness(sim)
    for victim in victims:
        sim.crash(victim)
    sim.run_for(within_us)
    living = {process.name for process in sim.alive()}
    assert sorted(witness.died) == sorted(victims), "nobody who runs is called dead"
    for victim in victims:
        assert living <= set(witness.died[victim]), f"{victim}: not everybody knows after {within_us // 1_000} ms"
    return witness


@pytest.mark.parametrize("seed", [1])
def test_everybody_knows_of_a_dead_hub_and_a_dead_spoke_within_two_seconds(seed: int) -> None:
    """Link loss 350 ms, a flood, a second of link evidence: and as many accusations as are needed, not one per node."""
    sim = mesh(seed, 20)
    before = accusations(sim)
    all_know(sim, f"n{1 + seed:02}", within_us=1_500 * MILLISECOND)
    sim.run_for(3 * SECOND)
    assert accusations(sim) - before <= 8, "four suspect, and four hold dead"
    all_know(sim, f"n{6 + seed:02}", within_us=1_500 * MILLISECOND)


@pytest.mark.parametrize("victims", [("n00", "n02"), ("n00", "n01", "n03"), ("n02", "n05")])
def test_everybody_knows_of_linked_nodes_that_died_at_once_within_three_seconds(victims: tuple[str, ...]) -> None:
    """What each of them said of the others is as old as they are. It might be a cut: so they have twice the time."""
    all_know(mesh(3, 12), *victims, within_us=3 * SECOND)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_a_machine_that_is_too_busy_everybody_knows_in_little_more_than_two_seconds_and_hardly_a_living_link_falls(
    seed: int,
) -> None:
    """Twenty nodes and six other programs on two cores: heartbeats have found a pace that all can keep. At full pace
    it is no sooner, and up to two dozen links of the living fall: of eight seeds most lose none, and one a dozen."""
    sim = mesh(seed, 20, {})
    victim = f"n{1 + seed % 3:02}"
    witness = all_know(sim, victim, within_us=2_250 * MILLISECOND)
    sim.run_for(2 * SECOND)
    assert list(witness.died) == [victim]
    assert sum(to != victim for _, to in witness.lost) <= 13
