"""Admissions are let go of by a side that may write, and of nobody who was only on the other side of a cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import Publish
from arqonmesh.core.gossip import core, own
from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.statement import JoinPolicy, Kind

HORIZON_S = 30
ALL = {"founder", "h1", "h2", "n1", "n2"}


@pytest.fixture(autouse=True)
def small_batches() -> Iterator[None]:
    """One record that is over is worth a floor, and whether there is one is looked at every ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "VOID_BATCH", 1)
        patch.setattr(core, "FLOOR_INTERVAL", 10 * SECOND)
        yield


def without_founder() -> Simulation:
    """Three voters, of whom the founder is down, and two members without a vote whom h1 let in."""
    gossip = GossipSettings(tombstone_horizon_s=float(HORIZON_S))
    sim = Simulation(1)
    for name in ("founder", "h1", "h2"):
        sim.add(name, gossip=gossip)
    sim.found()
    wait_for_convergence(sim)
    sim.run_for(5 * SECOND)
    founder = sim.processes["founder"]
    opened = Publish(Kind.JOIN_POLICY, "", JoinPolicy("open", b"", b""))
    founder.perform(founder.running.publish(founder.now(), [opened]))
    sim.run_for(5 * SECOND)
    sim.crash("founder")
    sim.run_for(10 * SECOND)
    for name in ("n1", "n2"):
        assert sim.admit("h1", sim.add(name, role="spoke", gossip=gossip))
        sim.run_for(10 * SECOND)
    return sim


def roster(sim: Simulation, at: str) -> set[str]:
    plane = sim.processes[at].running.plane
    assert plane is not None
    return {sim.names[member.node] for member in plane.admission.members()}


def writable(sim: Simulation, at: str) -> bool:
    plane = sim.processes[at].running.plane
    assert plane is not None
    return plane.partition.writable


def test_a_side_without_a_quorum_lets_nobody_of_the_other_side_go() -> None:
    """n2 lives behind a cut for many horizons, and dies of nothing but h1 not seeing it: neither during the cut nor
    right after the heal is its admission void."""
    sim = without_founder()
    sim.cut(["h1", "n1"], ["h2", "n2"])
    sim.run_for(7 * HORIZON_S * SECOND)
    assert not writable(sim, "h1") and not writable(sim, "h2")
    assert {at: roster(sim, at) for at in ("h1", "h2", "n1", "n2")} == dict.fromkeys(("h1", "h2", "n1", "n2"), ALL)
    sim.heal()
    sim.run_for(2 * HORIZON_S * SECOND)
    assert writable(sim, "h1")
    assert {at: roster(sim, at) for at in ("h1", "h2", "n1", "n2")} == dict.fromkeys(("h1", "h2", "n1", "n2"), ALL)


def test_who_is_still_gone_a_horizon_after_the_heal_is_let_go() -> None:
    """The absence counts from the moment at which writing is possible again, not from the cut."""
    sim = without_founder()
    sim.cut(["h1", "n1"], ["h2", "n2"])
    sim.run_for(HORIZON_S * SECOND)
    sim.crash("n2")
    sim.run_for(6 * HORIZON_S * SECOND)
    sim.heal()
    while not writable(sim, "h1"):
        sim.run_for(SECOND)
    sim.run_for((HORIZON_S - 2) * SECOND)
    assert roster(sim, "h1") == ALL
    sim.run_for(2 * HORIZON_S * SECOND)
    assert roster(sim, "h1") == roster(sim, "h2") == ALL - {"n2"}
