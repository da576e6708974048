"""What does a node of a large idle mesh send and receive? Bytes per second and node, by kind of message.

    python -m bench.idle_traffic                          # 1,000 nodes, 20 s
    python -m bench.idle_traffic --nodes 200 --seconds 10
    python -m bench.idle_traffic --auto none --seconds 10  # links that stand from the first moment on: quicker

Whole nodes in the simulator, in a mesh that has settled, links chosen by the overlay as a mesh of that size does it
(eight per node at 1,000, five milliseconds each way), default heartbeats, probes and repair rounds. With `--auto none`
the links are a random graph of the same degree which nobody touches: the mesh needs no time to settle, and the
overlay's own messages are missing; heartbeats are the overlay's. Nothing happens but that 15 times a second some node
says something of ordinary size to everybody (its coordinate, or its links with another round trip time). Bytes are
those on the wire, IP, UDP, QUIC and acknowledgements included, as `bench.idle_meter` models them;
`messages_bytes_per_s` is the messages alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections import Counter
from functools import partial

import msgspec

from arqonmesh.config.model import GossipSettings, LinkSettings, OverlaySettings
from arqonmesh.core.broadcast.fan_out import COPIES_SAVED
from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND, SECOND, Lane
from arqonmesh.core.overlay.active import size_for
from arqonmesh.ids import NodeId
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.field.graphs import regular_graph
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.network import End, Endpoint
from arqonmesh.sim.process import Process
from arqonmesh.sim.restart import restart
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.statement import Coordinate, Kind, Links
from bench.idle_meter import Meter

WARM_US = 10 * SECOND
"""The update traffic runs so long before it is counted: trees have formed by then."""
SETTLE_US = 180 * SECOND
"""The overlay takes over the links that stand, and moves a few until everyone has chosen some of its own. Among 50
nodes nobody tells other links after 140 s; each that does is one more update for everyone."""
DELAY_US = 5 * MILLISECOND
UPDATES_PER_S = 15


class MeteredSimulation(Simulation):
    """Says something now and then."""

    def update(self) -> None:
        process = self.said_by.choice(list(self.processes.values()))
        process.perform(process.running.publish(process.now(), (self._news(process),)))
        self.world.after(SECOND // UPDATES_PER_S, self.update)

    def _news(self, process: Process) -> Publish:
        dice = self.said_by
        plane = process.running.plane
        assert plane is not None, f"{process.name} has left"
        links = plane.gossip.get(process.node_id, Kind.LINKS)
        if dice.random() < 0.5 and isinstance(links, Links) and links.adjacencies:
            first, *others = links.adjacencies
            first = msgspec.structs.replace(first, rtt_us=dice.randrange(9_000, 11_000))
            return Publish(Kind.LINKS, "", Links((first, *others)))
        vector = tuple(dice.randrange(-20_000, 20_000) for _ in range(8))
        return Publish(Kind.COORDINATE, "", Coordinate(vector, dice.randrange(1, 5_000), 200_000, 0))

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.said_by = self.world.dice("updates")


def hand_over(sim: Simulation, edges: list[tuple[str, str]]) -> None:
    """The links that stand at the start are nobody's wish any more: the overlay keeps what it needs."""
    sim.run_for(SECOND)
    for name, peer in edges:
        endpoint = sim.processes[name].endpoint
        assert endpoint is not None, f"{name} is down"
        endpoint.forget(sim.processes[peer].node_id)
    sim.run_for(SETTLE_US)


def share(values: Counter[NodeId], nodes: list[NodeId], seconds: float) -> dict[str, int]:
    rates = sorted(values[node] / seconds for node in nodes)
    at = {"p50": len(rates) // 2, "p99": len(rates) * 99 // 100, "max": len(rates) - 1}
    return {"mean": round(sum(rates) / len(rates))} | {name: round(rates[index]) for name, index in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--auto", choices=("overlay", "none"), default="overlay", help="none: no overlay, a graph")
    parser.add_argument("--links", type=int, default=0, help="per node; 0: as many as the overlay keeps")
    parser.add_argument("--repair-ms", type=int, default=GossipSettings().repair_interval_ms)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    gc.disable()
    began = time.process_time()
    sim = MeteredSimulation(given.seed)
    sim.network.new_model = partial(LinkModel, delay_us=DELAY_US)
    names = [f"node-{number:04}" for number in range(given.nodes)]
    overlay = OverlaySettings()
    links = LinkSettings(auto=given.auto, heartbeat_ms=overlay.heartbeat_ms)
    gossip = GossipSettings(repair_interval_ms=given.repair_ms)
    for name in names:
        sim.add(name, links=links, gossip=gossip)
    degree = given.links or size_for(given.nodes, overlay.active_max)
    edges = regular_graph(given.nodes, degree, seed=given.seed)
    restart(sim, [(names[a], names[b]) for a, b in edges], settled=True)
    if given.auto == "overlay":
        hand_over(sim, [(names[a], names[b]) for a, b in edges])
    wait_for_convergence(sim, every_us=SECOND)
    sim.update()
    sim.run_for(WARM_US)
    for process in sim.processes.values():  # as after some minutes of this traffic
        plane = process.running.plane
        assert plane is not None, f"{process.name} has left"
        plane.broadcast._fan_out.purse.spend(process.now(), COPIES_SAVED)
    meter = Meter(DELAY_US)
    send = End.send

    def metered(end: End, lane: Lane, data: bytes) -> bool:
        meter.note(end, lane, data, sim.world.now)
        return send(end, lane, data)

    come_up = Endpoint.up

    def counted(endpoint: Endpoint, end: End) -> None:
        meter.came_up(endpoint.node_id, end.peer)
        come_up(endpoint, end)

    End.send, Endpoint.up = metered, counted  # type: ignore[assignment, method-assign]
    sim.run_for(given.seconds * SECOND)
    End.send, Endpoint.up = send, come_up  # type: ignore[method-assign]
    meter.finish()
    nodes = [process.node_id for process in sim.processes.values()]
    links_up = sum(len(process.endpoint.ends) for process in sim.processes.values() if process.endpoint)
    per = given.nodes * given.seconds
    by = {
        kind: {"bytes_per_s": round(size / per, 1), "messages_per_s": round(meter.messages[kind] / per, 2)}
        for kind, size in meter.bytes.most_common()
    }
    figures = {
        "nodes": given.nodes,
        "links_per_node": round(links_up / given.nodes, 1),
        "sent_bytes_per_s": share(meter.sent, nodes, given.seconds),
        "received_bytes_per_s": share(meter.received, nodes, given.seconds),
        "messages_bytes_per_s": round(meter.inside / per),
        "by_message_sent_per_node": by,
        "cpu_s": round(time.process_time() - began),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
