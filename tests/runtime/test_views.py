"""What a node shows of the mesh, read out of real cores in the simulator."""

from __future__ import annotations

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import SECOND
from arqonmesh.runtime.throughput import Throughput
from arqonmesh.runtime.views import mesh_status
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.simulation import Simulation


def test_a_link_between_two_dead_members_is_down() -> None:
    """Both last said that it is up, and neither will say otherwise; links of the living stay as they tell them."""
    sim = Simulation(1)
    for name in ("a", "b", "c", "d", "e"):
        sim.add(name, links=LinkSettings(auto="full"))
    sim.found()
    wait_for_convergence(sim)

    def seen() -> dict[frozenset[str], str]:
        node = sim.machine("a").node
        assert node is not None
        names: dict[str, str] = {process.node_id: name for name, process in sim.processes.items()}
        links = mesh_status(node, Throughput()).links
        return {frozenset((names[link.a], names[link.b])): link.state for link in links}

    sim.run_for(5 * SECOND)
    assert seen()[frozenset("de")] == "up"
    sim.crash("d")
    sim.crash("e")
    sim.run_for(30 * SECOND)
    assert seen()[frozenset("de")] == "down"
    assert seen()[frozenset("bc")] == seen()[frozenset("ab")] == "up"


def test_another_version_is_only_what_a_member_that_is_not_alive_may_speak() -> None:
    """Whoever is seen alive has been updated, or goes by another way; its address may still be remembered."""
    sim = Simulation(1)
    for name in ("a", "b", "c", "d"):
        sim.add(name, links=LinkSettings(auto="full"))
    sim.found()
    wait_for_convergence(sim)
    node, other = sim.machine("a").node, sim.processes["b"].node_id
    assert node is not None
    assert {view.refused for view in mesh_status(node, Throughput(), (other,)).nodes} == {""}
    sim.crash("b")
    sim.run_for(30 * SECOND)
    assert {view.id: view.refused for view in mesh_status(node, Throughput(), (other,)).nodes}[other] == "link.version"
