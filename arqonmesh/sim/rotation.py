"""An hour in which every node renews its leaf certificate every 30 seconds, while links are cut, nodes die and clocks
go wrong. Nothing is lost, nothing that has expired is accepted, and nobody is taken for a liar because of it.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.config.model import (
    CertificateSettings,
    Config,
    FederationSettings,
    NodeSettings,
    Rules,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.ids import node_id_of
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import ending, wait_for_convergence, watched
from arqonmesh.sim.credentials import Credentials, Witness, sim_key
from arqonmesh.sim.network import Network
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import World

HOUR_US: Final = 3_600 * SECOND
RENEW_AFTER_S: Final = 30.0
LIFETIME_S: Final = 60.0
SKEW_S: Final = 5.0
WRONG_CLOCK_MS: Final = 10 * 60_000
NODES: Final = 4
TALK_EVERY_US: Final = 2_000 * MILLISECOND


class Keyed(Process):
    """A machine whose node has a real key."""

    def __init__(self, world: World, network: Network, name: str, config: Config) -> None:
        super().__init__(world, network, name, config)
        self.public_key = sim_key(name).public
        self.node_id = node_id_of(self.public_key)


def four(sim: Simulation) -> Witness:
    """Two hubs, two spokes, all with leaves of a minute; not founded yet."""
    sim.witness = witness = Witness()
    for number in range(NODES):
        process = sim.add_config(
            f"node-{number}",
            Config(
                node=NodeSettings(cluster=f"cluster-{number}", role="hub" if number < 2 else "spoke"),
                certificates=CertificateSettings(
                    lifetime_s=LIFETIME_S, renew_after_s=RENEW_AFTER_S, clock_skew_s=SKEW_S
                ),
                federation=FederationSettings(export=Rules(allow=("telemetry:*",))),
            ),
            talks_every_us=TALK_EVERY_US,
            kind=Keyed,
        )
        Credentials(process, witness)
    return witness


def rotation(sim: Simulation, length_us: int = HOUR_US) -> None:
    """Raises Broken."""
    witness = four(sim)
    sim.found()
    wait_for_convergence(sim)
    sim.talk()
    dice = sim.world.dice("rotation")
    until = sim.world.now + length_us
    while sim.world.now < until:
        watched(sim, dice.randrange(5, 20) * SECOND, every_us=SECOND)
        _trouble(sim, dice.choice(("cut", "cut", "isolate", "crash", "power", "clock")))
        watched(sim, dice.randrange(1, 15) * SECOND, every_us=SECOND)
        for process in sim.processes.values():
            process.wall_offset_ms = 0
        sim.calm()
    ending(sim)
    least = int(length_us / SECOND / RENEW_AFTER_S) * NODES // 2
    if witness.rotations < least:
        raise Broken(f"credentials: {witness.rotations} renewals; it needs to be {least} or more")
    refused = ", ".join(f"{code}: {count}" for code, count in witness.refused.items()) or "nothing"
    sim.tell("world", f"{witness.rotations} leaves renewed, {witness.accepted} accepted, refused {refused}")


def _trouble(sim: Simulation, kind: str) -> None:
    dice = sim.world.dice(f"rotation trouble {sim.world.now}")
    names = list(sim.processes)
    dice.shuffle(names)
    if kind == "cut":
        middle = dice.randrange(1, len(names))
        sim.cut(names[:middle], names[middle:], one_way=dice.random() < 0.3)
    elif kind == "isolate":
        sim.cut(names[:1], names[1:])
    elif kind == "crash":
        sim.crash(names[0])
    elif kind == "power":
        sim.power_off(names[0])
    else:  # its links stand until they are cut; what it shows then is of another time
        sim.trouble()
        process, step_ms = sim.processes[names[0]], dice.choice((-WRONG_CLOCK_MS, WRONG_CLOCK_MS))
        sim.tell(names[0], f"its wall clock is wrong by {step_ms // 1_000} s")
        process.wall_offset_ms = step_ms
        sim.cut(names[:1], names[1:])
        sim.world.after(SECOND, sim.heal)
