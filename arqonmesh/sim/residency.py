"""A cluster in two regions, a partner, a relay elsewhere: what is pinned to Europe is heard there and nowhere else.

Only the cluster that owns the data has the rule. Links are cut, nodes die and lose power; the shortest way around a cut
often leads through the relay, which is outside of the region, and must not be taken.
"""

from __future__ import annotations

from typing import Final, Literal

from arqonmesh.config.model import Config, FederationSettings, NodeSettings, PinRule, Rules
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import ending, wait_for_convergence, watched
from arqonmesh.sim.nemesis import Nemesis
from arqonmesh.sim.simulation import Simulation

PINNED: Final = "plant:press"
CHANNELS: Final = (PINNED, "telemetry:host")
OWNERS: Final = ("home", "branch")
"""Nodes whose rules pin."""

_NODES: Final[tuple[tuple[str, str, str, Literal["hub", "spoke"]], ...]] = (
    ("home", "acme", "eu-west", "hub"),
    ("branch", "acme", "us-east", "hub"),
    ("partner", "partner", "eu-north", "hub"),
    ("relay", "relay", "us-west", "hub"),
    ("customer", "customer", "eu-south", "spoke"),
)


def residency(sim: Simulation) -> None:
    for name, cluster, region, role in _NODES:
        pin = (PinRule(channels=("plant:*",), regions=("eu-*",)),) if name in OWNERS else ()
        config = Config(
            node=NodeSettings(cluster=cluster, role=role, region=region),
            federation=FederationSettings(export=Rules(allow=("*",)), pin=pin),
        )
        sim.add_config(name, config, talks_every_us=150 * MILLISECOND, channels=CHANNELS)
    regions = {name: region for name, _, region, _ in _NODES}

    def may_hear(listener: str, origin: str, channel: str) -> bool:
        pinned = channel == PINNED and origin in OWNERS
        return listener == origin or not pinned or regions[listener].startswith("eu-")

    sim.ledger.may_hear = sim.ledger.must_hear = may_hear
    sim.found()
    wait_for_convergence(sim)
    sim.talk()
    watched(sim, 2 * SECOND)
    nemesis = Nemesis(sim)
    nemesis.start()
    watched(sim, 15 * SECOND)
    nemesis.stop()
    ending(sim)
    kept = 0
    for process in sim.alive():
        plane = process.running.plane
        assert plane is not None
        kept += sum(
            decision.messages
            for decision in plane.federation.decisions()
            if decision.channel == PINNED and "pin" in decision.rule and not decision.allowed
        )
    if not kept:
        raise Broken("nothing was ever kept back by a pin: this run shows nothing")
    sim.tell("world", f"{kept} pinned messages kept from a link out of their region")
