"""The stories that the simulator can tell. Each follows from its seed; `SCENARIOS` is what the command line offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from arqonmesh.config.model import GossipSettings, LinkSettings
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.adversaries.scenario import byzantine
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import ending, wait_for_convergence, watched
from arqonmesh.sim.draw import draw
from arqonmesh.sim.enact import play_plan
from arqonmesh.sim.field.graphs import regular_graph
from arqonmesh.sim.governed import Governed
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.nemesis import Nemesis
from arqonmesh.sim.residency import residency
from arqonmesh.sim.restart import restart
from arqonmesh.sim.rotation import rotation
from arqonmesh.sim.sharing import no_garbage
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.starved import starved


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    summary: str
    play: Callable[[Simulation], None]
    """Raises checkers.Broken when a rule does not hold."""


def star(sim: Simulation, spokes: int, *, talks_every_us: int = 0) -> None:
    """One hub, and spokes that dial it; each a cluster of its own. Linked, agreed and talking."""
    sim.add("hub", talks_every_us=talks_every_us)
    for number in range(1, spokes + 1):
        sim.add(f"spoke-{number}", role="spoke", talks_every_us=talks_every_us)
    sim.found()
    took = wait_for_convergence(sim)
    sim.tell("world", f"all agree after {took / SECOND:.1f} s")


def partition(sim: Simulation) -> None:
    star(sim, 2, talks_every_us=100 * MILLISECOND)
    sim.talk()
    watched(sim, 2 * SECOND)
    sim.cut(["spoke-1"], ["hub", "spoke-2"])
    watched(sim, 20 * SECOND)
    ending(sim)


def one_way(sim: Simulation) -> None:
    star(sim, 2, talks_every_us=100 * MILLISECOND)
    sim.talk()
    watched(sim, 2 * SECOND)
    sim.cut(["hub"], ["spoke-1"], one_way=True)
    watched(sim, 20 * SECOND)
    ending(sim)


def churn(sim: Simulation) -> None:
    star(sim, 3, talks_every_us=100 * MILLISECOND)
    sim.talk()
    dice = sim.world.dice("churn")
    for _ in range(12):
        victim = dice.choice(sim.alive()).name
        sim.crash(victim)
        watched(sim, dice.randrange(200 * MILLISECOND, 4 * SECOND))
        sim.boot(victim)
        watched(sim, dice.randrange(0, 4 * SECOND))
    ending(sim)


def power(sim: Simulation) -> None:
    """Nodes lose power again and again: unsynced writes are gone, and still nobody ever contradicts itself."""
    star(sim, 3, talks_every_us=200 * MILLISECOND)
    sim.talk()
    dice = sim.world.dice("power")
    for _ in range(15):
        victim = dice.choice(sim.alive()).name
        sim.power_off(victim)
        watched(sim, dice.randrange(0, 2 * SECOND))
        sim.boot(victim)
        watched(sim, dice.randrange(0, 2 * SECOND))
    ending(sim)


def idle32(sim: Simulation) -> None:
    """Nothing happens, and nobody is suspected to death. Three hubs, everyone dials all of them."""
    idle(sim, 32, 120 * SECOND)


def idle(sim: Simulation, nodes: int, duration_us: int) -> None:
    roles: tuple[Literal["hub", "spoke"], ...] = ("hub", "spoke")
    for number in range(nodes):
        sim.add(f"node-{number:02}", role=roles[number >= 3])
    sim.found()
    took = wait_for_convergence(sim)
    sim.tell("world", f"{nodes} nodes agree after {took / SECOND:.1f} s")
    watched(sim, duration_us, every_us=SECOND)


def idle1000(sim: Simulation) -> None:
    """A thousand full nodes, six links each, for a minute after they have settled."""
    idle_graph(sim, 1_000, 60 * SECOND)


def settled1000(sim: Simulation) -> None:
    """The same minute, without the news that all have started."""
    idle_graph(sim, 1_000, 60 * SECOND, settled=True)


def idle_graph(sim: Simulation, nodes: int, duration_us: int, *, settled: bool = False) -> None:
    """A mesh that an operator wired as a random graph of six links per node, started again all at once. Heartbeats once
    a second and a repair round every ten: in a mesh of this size the defaults of a small one would be most of its
    traffic. One region, 5 ms one way."""
    sim.network.new_model = partial(LinkModel, delay_us=5 * MILLISECOND)
    names = [f"node-{number:04}" for number in range(nodes)]
    links, gossip = LinkSettings(auto="none", heartbeat_ms=1_000), GossipSettings(repair_interval_ms=10_000)
    for name in names:
        sim.add(name, links=links, gossip=gossip)
    restart(sim, [(names[a], names[b]) for a, b in regular_graph(nodes, 6, seed=sim.world.seed)], settled=settled)
    with no_garbage():
        took = wait_for_convergence(sim, every_us=SECOND)
    sim.tell("world", f"{nodes} nodes agree after {took / SECOND:.1f} s")
    watched(sim, duration_us, every_us=10 * SECOND)


def chaos(sim: Simulation) -> None:
    """Any shape of mesh, any trouble; then peace, and everything must come right."""
    dice = sim.world.dice("chaos")
    nodes = dice.randrange(2, 7)
    hubs = dice.randrange(1, nodes + 1)
    clusters = dice.randrange(1, nodes + 1)
    roles: tuple[Literal["hub", "spoke"], ...] = ("hub", "spoke")
    for number in range(nodes):
        cluster = f"cluster-{dice.randrange(0, clusters)}"
        sim.add(f"node-{number}", cluster=cluster, role=roles[number >= hubs], talks_every_us=150 * MILLISECOND)
    sim.found()
    wait_for_convergence(sim)
    sim.talk()
    nemesis = Nemesis(sim)
    nemesis.start()
    watched(sim, dice.randrange(5, 40) * SECOND)
    nemesis.stop()
    ending(sim)


def splits(sim: Simulation) -> None:
    """Random cuts, and on every side, all the time, somebody wants to let someone in. Then one roster everywhere."""
    dice = sim.world.dice("splits")
    nodes = dice.randrange(3, 8)
    for number in range(nodes):
        sim.add(f"node-{number}")
    sim.found()
    wait_for_convergence(sim)
    governed = Governed(sim)
    governed.start()
    watched(sim, 3 * SECOND, governed=governed)
    for _ in range(dice.randrange(1, 4)):
        names = list(sim.processes)
        dice.shuffle(names)
        parts = [names[start :: dice.randrange(2, 4)] for start in range(2)]
        sim.cut(parts[0], [name for name in names if name not in parts[0]], one_way=dice.random() < 0.2)
        watched(sim, dice.randrange(1, 12) * SECOND, governed=governed)
        if dice.random() < 0.5:
            sim.heal()
            watched(sim, dice.randrange(0, 3) * SECOND, governed=governed)
    governed.stop()
    ending(sim, complete=False)
    rosters: dict[object, str] = {}
    for process in sim.alive():
        plane = process.running.plane
        assert plane is not None
        rosters.setdefault((plane.admission.members(), tuple(plane.partition.electorate.voters())), process.name)
    if len(rosters) > 1:
        raise Broken(f"after the heal, the rosters of {list(rosters.values())} differ")
    sim.tell("world", f"{len(governed.accepted)} governed writes accepted, {governed.refused} refused")


def swarm(sim: Simulation) -> None:
    """What sim/draw.py draws from the seed."""
    play_plan(sim, draw(sim.world.seed))


SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        Scenario("partition", "one hub, two spokes, traffic; a spoke is cut off silently and comes back", partition),
        Scenario("one-way", "the same, but only packets towards the spoke are lost", one_way),
        Scenario("churn", "one hub, three spokes, traffic; nodes are killed and started again", churn),
        Scenario("power", "one hub, three spokes, traffic; nodes lose power and what was not synced", power),
        Scenario("idle32", "32 nodes, two minutes, no trouble, no false suspicion that ends in dead", idle32),
        Scenario("splits", "three to seven nodes, random cuts, admissions and invites attempted on all sides", splits),
        Scenario("idle1000", "1,000 nodes start again, settle, and live for a minute", idle1000),
        Scenario("settled1000", "1,000 nodes that know of each other that they run live for a minute", settled1000),
        Scenario("rotation", "an hour of certificates renewed every 30 s, partitions, wrong clocks", rotation),
        Scenario("byzantine", "7 to 10 nodes, up to f of them adversaries of drawn kinds, then peace", byzantine),
        Scenario("residency", "a cluster in two regions, a partner, a relay elsewhere, trouble; pins hold", residency),
        Scenario("starved", "64 nodes, all short of processor time for two minutes; nobody is called dead", starved),
        Scenario("chaos", "any mesh, any trouble, then peace", chaos),
        Scenario("swarm", "any mesh, a drawn set of troubles, a quorum healed alone, then peace", swarm),
    )
}
