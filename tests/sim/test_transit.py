"""A star whose hub one spoke thinks ill of: what goes over it even so, what does not, and that all is well after."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import Dropped, Fault, LastResort, PeerRuled
from arqonmesh.core.kernel import SECOND, Event
from arqonmesh.sim.adversaries.arena import plane_of
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation

SPOKES = ("ant", "bee", "cat")


@pytest.fixture
def sim() -> Simulation:
    sim = Simulation(1)
    sim.add("hub")
    for name in SPOKES:
        sim.add(name, role="spoke")
    sim.found()
    wait_for_convergence(sim)
    return sim


def seen_by(process: Process) -> list[Event]:
    """What its cores and the node itself emit from now on."""
    seen: list[Event] = []
    process.watchers.append(lambda _, event: seen.append(event))
    return seen


def states(process: Process, sim: Simulation) -> dict[str, str]:
    """Of the other spokes, as it sees them."""
    membership = plane_of(process).membership
    return {name: membership.state_of(sim.machine(name).node_id) for name in SPOKES if name != process.name}


@pytest.mark.requirement("R-PT-9")
def test_a_hub_that_is_ignored_carries_as_a_last_resort_and_nobody_is_taken_for_dead(sim: Simulation) -> None:
    """The probes of the others go over it, with one warning, counted; on observations alone nobody is cut off."""
    hub, ant = sim.machine("hub"), sim.machine("ant")
    seen = seen_by(ant)
    for _ in range(6):
        ant.perform(ant.running.event(ant.now(), Fault(hub.node_id, "bad-signature")))
    plane = plane_of(ant)
    assert plane.peers.ignored(hub.node_id) and not plane.peers.convicted(hub.node_id)
    for _ in range(20):
        sim.run_for(SECOND)
        assert states(ant, sim) == {"bee": "alive", "cat": "alive"}
    warned = [event for event in seen if isinstance(event, LastResort)]
    assert [event.via for event in warned] == [hub.node_id]
    assert plane.routing.last_resorts > 10
    assert plane.routing.transit.count() == (0, 1)


@pytest.mark.requirement("R-PT-9")
def test_a_hub_that_is_banned_carries_nothing_and_all_agree_after_a_pardon(sim: Simulation) -> None:
    """The drops name the reason; where no trusted way leads, those behind it are gone until it is forgiven."""
    hub, ant = sim.machine("hub"), sim.machine("ant")
    seen = seen_by(ant)
    ant.perform(ant.running.event(ant.now(), PeerRuled(hub.node_id, True, "strange")))
    sim.run_for(20 * SECOND)
    drops = {event.reason for event in seen if isinstance(event, Dropped) and event.where == "routing"}
    assert "untrusted-transit" in drops
    assert plane_of(ant).routing.last_resorts == 0
    assert not [event for event in seen if isinstance(event, LastResort)]
    assert plane_of(ant).membership.state_of(hub.node_id) == "alive", "it is still an end"
    ant.perform(ant.running.event(ant.now(), PeerRuled(hub.node_id, False, "")))
    wait_for_convergence(sim)
    assert states(ant, sim) == {"bee": "alive", "cat": "alive"}
