"""Several nodes of one cluster on simulated links: one bus, whoever dies and whatever is cut."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

import pytest

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.ids import ClientId
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.simulation import Simulation

Json = dict[str, Any]
CHANNEL = "lab:bench"


class Guest:
    """A client of one machine, and what it has heard."""

    def __init__(self, sim: Simulation, machine: str, name: str) -> None:
        self.sim = sim
        self.machine = machine
        self.heard: list[Json] = []
        self.id: ClientId = sim.machine(machine).connect_client(name, self._receive)
        self.say({"type": "join", "channel": CHANNEL})

    def say(self, frame: Json) -> None:
        self.sim.machine(self.machine).client_says(self.id, json.dumps(frame).encode())

    def ask(self, frame: Json) -> Json:
        self.heard.clear()
        self.say(frame)
        self.sim.run_for(MILLISECOND)
        return next(heard for heard in self.heard if heard["type"] in ("response", "error"))

    def noticed(self, event: str) -> list[str]:
        payloads = [heard["payload"] for heard in self.heard if heard["type"] == "system"]
        return [payload["client_id"] for payload in payloads if payload.get("event") == event]

    def sees(self) -> list[str]:
        info = self.ask({"type": "channel_info", "channel": CHANNEL})["payload"]["channel"]
        return sorted(member["client_id"] for member in info["members"])

    def _receive(self, frames: tuple[bytes, ...]) -> None:
        self.heard += [cast(Json, json.loads(frame)) for frame in frames]


@pytest.fixture(params=[1, 2])
def sim(request: pytest.FixtureRequest) -> Simulation:
    """Three nodes of cluster hq, and one of another cluster linked with all of them."""
    sim = Simulation(request.param)
    for name in ("one", "two", "three"):
        sim.add(name, cluster="hq")
    sim.add("apart", cluster="elsewhere")
    sim.found()
    wait_for_convergence(sim)
    return sim


@pytest.mark.requirement("R-BU-21")
@pytest.mark.requirement("R-BU-24")
def test_clients_at_three_nodes_see_each_other_talk_and_whisper(sim: Simulation) -> None:
    """Presence, events that no export rule lets out, private messages; another cluster hears none of it."""
    guests = [Guest(sim, name, name) for name in ("one", "two", "three")]
    stranger = Guest(sim, "apart", "apart")
    sim.run_for(SECOND)
    everyone = sorted(guest.id for guest in guests)
    for guest in guests:
        assert guest.sees() == everyone
    assert stranger.sees() == [stranger.id]
    first, second, third = guests
    for guest in (*guests, stranger):
        guest.heard.clear()
    first.say({"type": "event", "channel": CHANNEL, "payload": "to all"})
    first.say({"type": "private", "to": [third.id], "payload": "to one"})
    sim.run_for(SECOND)
    said = [[heard["payload"] for heard in guest.heard] for guest in (first, second, third, stranger)]
    assert said == [[], ["to all"], ["to all", "to one"], []]


@pytest.mark.requirement("R-BU-24")
def test_clients_of_a_killed_node_leave_everywhere(sim: Simulation) -> None:
    """With a notice each, once the others find the node dead; the node that returns is empty, and filled again."""
    first, second, third = (Guest(sim, name, name) for name in ("one", "two", "three"))
    sim.run_for(SECOND)
    first.heard.clear()
    second.heard.clear()
    sim.crash("three")
    sim.run_for(30 * SECOND)
    assert first.noticed("left") == second.noticed("left") == [third.id]
    assert first.sees() == second.sees() == sorted([first.id, second.id])
    sim.boot("three")
    wait_for_convergence(sim)
    again = Guest(sim, "three", "three")
    sim.run_for(SECOND)
    assert first.sees() == second.sees() == again.sees() == sorted([first.id, second.id, again.id])


@pytest.mark.requirement("R-BU-24")
def test_presence_is_equal_after_a_partition_has_healed(sim: Simulation) -> None:
    """Who came and went on either side meanwhile is known on both."""
    first, second, third = (Guest(sim, name, name) for name in ("one", "two", "three"))
    gone = Guest(sim, "three", "gone")
    sim.run_for(SECOND)
    sim.cut(["three"], ["one", "two", "apart"])
    sim.run_for(30 * SECOND)
    assert first.sees() == sorted([first.id, second.id])
    gone.say({"type": "leave", "channel": CHANNEL})
    late = Guest(sim, "one", "late")
    sim.heal()
    wait_for_convergence(sim)
    sim.run_for(6 * SECOND)
    everyone = sorted([first.id, second.id, third.id, late.id])
    assert [guest.sees() for guest in (first, second, third, late)] == [everyone] * 4


@pytest.mark.parametrize(("auto", "together"), [("hubs", True), ("none", False)])
def test_a_cluster_without_links_of_its_own_gets_one(auto: Literal["hubs", "none"], together: bool) -> None:
    """Two spokes of one cluster, linked with another cluster's hub alone: what is theirs may not pass through there.
    They link with each other, unless the operator alone chooses links; when that link breaks, it is dialled again."""
    sim = Simulation(3)
    sim.add("apart", cluster="elsewhere")
    for name in ("one", "two"):
        sim.add(name, cluster="hq", role="spoke", links=LinkSettings(auto=auto))
    sim.found()
    wait_for_convergence(sim)
    first, second = Guest(sim, "one", "one"), Guest(sim, "two", "two")
    sim.run_for(8 * SECOND)
    for guest in (first, second):
        assert guest.sees() == (sorted([first.id, second.id]) if together else [guest.id])
    second.heard.clear()
    first.say({"type": "event", "channel": CHANNEL, "payload": 1})
    sim.run_for(SECOND)
    assert [heard["payload"] for heard in second.heard] == ([1] if together else [])


def test_a_cluster_whose_middle_dies_finds_together_again() -> None:
    """one - two - three in a row, and a hub of another cluster that holds the mesh together: without two, one and three
    want a link, although each still holds what the other said before."""
    sim = Simulation(4)
    sim.add("apart", cluster="elsewhere")
    sim.add("two", cluster="hq")
    for name in ("one", "three"):
        sim.add(name, cluster="hq", role="spoke")
    sim.found()
    wait_for_convergence(sim)
    first, third = Guest(sim, "one", "one"), Guest(sim, "three", "three")
    sim.run_for(8 * SECOND)
    reach = [sim.machine(name).running.bus.exchange.reach for name in ("one", "three")]
    assert [wish for one in reach for wish in one.wished] == []
    sim.crash("two")
    sim.run_for(30 * SECOND)
    assert [wish for one in reach for wish in one.wished]
    late = Guest(sim, "three", "late")
    sim.run_for(SECOND)
    assert first.sees() == third.sees() == sorted([first.id, third.id, late.id])
