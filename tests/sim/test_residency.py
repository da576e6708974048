"""Residency in whole meshes: real buses, membership, gossip; trouble; private messages and history of a cluster."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from arqonmesh.config.model import AggregateRule, Config, FederationSettings, NodeSettings, PinRule, Rules
from arqonmesh.core.bus.cluster.fillup import Fillup
from arqonmesh.core.federation.residency import Pinned
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Send
from arqonmesh.ids import NodeId
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.play import play
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.messages import HistoryFrames, HistoryHeads, HistoryWanted

Json = dict[str, Any]


@pytest.mark.requirement("R-RE-1")
@pytest.mark.requirement("R-RE-4")
@pytest.mark.parametrize("seed", [1, 3])
def test_pins_hold_through_any_trouble(seed: int) -> None:
    """Everyone in the regions hears everything, once and in order; nobody outside of them hears anything."""
    result, _ = play("residency", seed)
    assert result.broken == "", result.replay
    assert result.heard > result.said > 0


def test_a_pin_that_is_not_asked_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario is able to fail."""
    monkeypatch.setattr(Pinned, "refusal", lambda self, region: None)
    result, _ = play("residency", 1)
    assert "heard what may not leave" in result.broken


class Guest:
    """A client of one machine, in one channel, and what it has heard."""

    def __init__(self, sim: Simulation, machine: str, channel: str) -> None:
        self.sim, self.machine, self.channel = sim, machine, channel
        self.heard: list[Json] = []
        self.id = sim.machine(machine).connect_client(machine, self._receive)
        self.say({"type": "join", "channel": channel})

    def say(self, frame: Json) -> None:
        self.sim.machine(self.machine).client_says(self.id, json.dumps(frame).encode())

    def payloads(self, kind: str) -> list[Any]:
        return [heard["payload"] for heard in self.heard if heard["type"] == kind]

    def _receive(self, frames: tuple[bytes, ...]) -> None:
        self.heard += [cast(Json, json.loads(frame)) for frame in frames]


def spanning(*, pin: str = "", aggregate: str = "") -> Simulation:
    """One cluster with nodes in two regions, and another cluster; all linked, all of one opinion."""
    rules = FederationSettings(
        export=Rules(allow=("*",)),
        pin=(PinRule(channels=(pin,), regions=("eu",)),) if pin else (),
        aggregate=(AggregateRule(channels=(aggregate,), every_s=5),) if aggregate else (),
    )
    sim = Simulation(3)
    for name, cluster, region in (("here", "hq", "eu"), ("mate", "hq", "eu"), ("away", "hq", "us"), ("x", "x", "eu")):
        sim.add_config(name, Config(node=NodeSettings(cluster=cluster, role="hub", region=region), federation=rules))
    sim.found()
    wait_for_convergence(sim)
    return sim


@pytest.mark.requirement("R-RE-1")
def test_private_messages_stay_in_the_region_when_they_are_pinned() -> None:
    """`$private` names them in a rule; they reach the mate in the region, and nobody beyond it."""
    sim = spanning(pin="$private")
    here, mate, away = (Guest(sim, name, "lab:bench") for name in ("here", "mate", "away"))
    sim.run_for(SECOND)
    for to in (mate, away):
        here.say({"type": "private", "to": [to.id], "payload": {"for": to.machine}})
    here.say({"type": "event", "channel": "lab:bench", "payload": "open"})
    sim.run_for(SECOND)

    assert mate.payloads("private") == [{"for": "mate"}]
    assert away.payloads("private") == []
    assert mate.payloads("event") == away.payloads("event") == ["open"]


@pytest.mark.requirement("R-RE-1")
def test_history_is_not_filled_up_over_a_pin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was away gets the open channel's past from its mates, and of the pinned one nothing."""
    told: dict[tuple[str, NodeId], None] = {}
    honest = Fillup._walk

    def walk(self: Fillup) -> list[Effect]:
        effects = honest(self)
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, HistoryHeads):
                told.update({(name, effect.to): None for name, _ in effect.message.channels})
        return effects

    monkeypatch.setattr(Fillup, "_walk", walk)
    sim = spanning(pin="plant:*")
    here, open_here = Guest(sim, "here", "plant:press"), Guest(sim, "here", "lab:bench")
    sim.run_for(SECOND)
    for guest in (here, open_here):
        for number in range(3):
            guest.say({"type": "event", "channel": guest.channel, "payload": number})
    sim.run_for(30 * SECOND)

    kept = {name: _history(sim, name, "plant:press") for name in ("mate", "away", "x")}
    assert kept == {"mate": [0, 1, 2], "away": [], "x": [0, 1, 2]}
    assert _history(sim, "away", "lab:bench") == [0, 1, 2]

    assert ("lab:bench", sim.machine("away").node_id) in told
    assert ("plant:press", sim.machine("mate").node_id) in told
    assert ("plant:press", sim.machine("away").node_id) not in told  # not even that there is anything
    bus = sim.machine("here").running.bus
    ask = HistoryWanted(1, "plant:press", bus.channels.find("plant:press").streams.epoch, ((1, 3),))  # type: ignore[union-attr]
    served = {
        name: [
            len(effect.message.frames)
            for effect in bus.on_message(sim.world.now, sim.machine(name).node_id, ask)
            if isinstance(effect, Send) and isinstance(effect.message, HistoryFrames)
        ]
        for name in ("mate", "away")
    }
    assert served == {"mate": [3], "away": [0]}


def _history(sim: Simulation, machine: str, channel: str) -> list[Any]:
    guest = Guest(sim, machine, channel)
    guest.heard.clear()
    guest.say({"type": "history", "channel": channel})
    sim.run_for(100 * MILLISECOND)
    (answer,) = (heard for heard in guest.heard if heard["type"] == "response")
    return [event["payload"] for event in answer["payload"]["messages"]]


@pytest.mark.requirement("R-RE-2")
def test_another_cluster_hears_aggregates_and_its_own_hears_events() -> None:
    """Through the whole node: the bus of the other cluster takes the aggregate as an event, and keeps it."""
    sim = spanning(aggregate="metrics:*")
    here, mate, x = (Guest(sim, name, "metrics:load") for name in ("here", "mate", "x"))
    sim.run_for(SECOND)
    for number in range(4):
        here.say({"type": "event", "channel": "metrics:load", "payload": {"load": number}})
    sim.run_for(10 * SECOND)

    assert mate.payloads("event") == [{"load": number} for number in range(4)]
    (aggregate,) = x.payloads("event")
    assert (aggregate["count"], aggregate["fields"]["load"]) == (4, {"count": 4, "min": 0, "max": 3, "mean": 1.5})
    assert x.heard[-1]["metadata"] == {"aggregate": True}
    assert len(_history(sim, "x", "metrics:load")) == 1
