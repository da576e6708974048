"""Whole nodes in a simulated world: three regions, a leader that is killed, and who takes its place."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LinkSettings, MembershipSettings
from arqonmesh.core.events import LeadersChanged
from arqonmesh.core.kernel import SECOND
from arqonmesh.ids import NodeId
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation

REGIONS = ("ap", "eu", "us")


def leaders(process: Process, region: str) -> list[NodeId]:
    """Names are told by the caller; here ids, as this node sees them."""
    plane = process.running.plane
    assert plane is not None
    return sorted(plane.regions.leaders(region))


def linked(process: Process) -> list[NodeId]:
    plane = process.running.plane
    assert plane is not None
    return [report.peer for report in plane.links.report() if report.state == "up"]


@pytest.mark.requirement("R-CR-9")
@pytest.mark.requirement("R-PT-4")
def test_a_killed_leader_is_replaced_everywhere_and_the_regions_stay_linked() -> None:
    """Of twelve spokes each dials the founder only; leaders link the regions, publish summaries, and one is killed."""
    sim = Simulation(seed=5)
    for number in range(12):
        sim.add(
            f"n{number}",
            role="spoke",
            region=REGIONS[number % 3],
            membership=MembershipSettings(probe_interval_ms=300, probe_timeout_ms=150),
        )
    changes: list[tuple[str, str]] = []
    for process in sim.processes.values():
        process.watchers.append(
            lambda who, event: changes.append((who.name, event.region)) if isinstance(event, LeadersChanged) else None
        )
    sim.found()
    sim.run_for(20 * SECOND)
    founder = next(iter(sim.processes.values()))
    before = {region: leaders(founder, region) for region in REGIONS}
    assert all(len(seats) == 2 for seats in before.values())
    assert all(leaders(process, region) == before[region] for process in sim.alive() for region in REGIONS)
    for process in sim.alive():
        own = process.config.node.region
        others = [leader for region in REGIONS if region != own for leader in before[region]]
        assert process.node_id not in before[own] or all(leader in linked(process) for leader in others)

    victim = next(sim.names[leader] for leader in before["eu"] if leader != founder.node_id)
    changes.clear()
    sim.crash(victim)
    sim.run_for(20 * SECOND)
    after = leaders(founder, "eu")

    assert len(after) == 2
    assert sim.processes[victim].node_id not in after
    assert len([leader for leader in after if leader in before["eu"]]) == 1, "the other leader stays"
    assert sorted(changes) == sorted((process.name, "eu") for process in sim.alive()), "one change on each node"
    for process in sim.alive():
        assert leaders(process, "eu") == after
        if process.node_id in [*before["ap"], *before["us"]]:
            assert all(leader in linked(process) for leader in after if leader != process.node_id)
        plane = process.running.plane
        assert plane is not None
        report = {line.region: line for line in plane.regions.report()}["eu"]
        assert report.summary is not None
        assert (report.summary.alive, report.summary.dead) == (3, 1)


def test_where_nobody_is_to_be_dialled_leaders_link_no_regions() -> None:
    """`links.auto: none`: a star that the operator made by hand stays one, also with spokes that lead regions."""
    sim = Simulation(seed=6)
    for number in range(6):
        sim.add(f"n{number}", role="spoke", region=REGIONS[number % 3], links=LinkSettings(auto="none"))
    sim.found()
    sim.run_for(20 * SECOND)
    founder, *others = sim.alive()

    assert any(process.node_id in leaders(founder, process.config.node.region) for process in others)
    assert all(linked(process) == [founder.node_id] for process in others)
