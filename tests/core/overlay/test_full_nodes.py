"""Whole nodes, with every core, whose links the overlay chooses."""

from __future__ import annotations

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import SECOND
from arqonmesh.core.overlay.core import OverlayReport
from arqonmesh.ids import NodeId
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.simulation import Simulation

NODES = 16
"""Far more than anyone has links to; forty behave alike and take a minute on a busy machine."""


def test_a_mesh_of_full_nodes_comes_together_over_a_few_links_each() -> None:
    """One component, everyone within its limits, every edge known at both ends, and the same records everywhere."""
    sim = Simulation(11)
    for number in range(NODES):
        sim.add(f"n{number}", links=LinkSettings(auto="overlay"))
    sim.found()
    sim.run_for(3 * SECOND)
    wait_for_convergence(sim, 30 * SECOND)

    reports: dict[NodeId, OverlayReport] = {}
    for process in sim.processes.values():
        plane, endpoint = process.running.plane, process.endpoint
        assert plane is not None
        assert endpoint is not None
        report = reports[process.node_id] = plane.overlay.report()
        assert 1 <= len(report.active) <= 5
        assert len(report.passive) <= 30
        assert set(report.active) <= set(endpoint.ends)
        assert len(endpoint.ends) <= 7, "no links but those of the view, and one or two in between"
    queue = [next(iter(reports))]
    seen = dict.fromkeys(queue)
    for node in queue:
        for peer in reports[node].active:
            assert node in reports[peer].active
            if peer not in seen:
                seen[peer] = None
                queue.append(peer)
    assert len(seen) == NODES
    assert ("node", "malformed") not in sim.observer.dropped
