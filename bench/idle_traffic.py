"""What does a node of a large idle mesh send and receive? Bytes per second and node, by kind of message.

    python -m bench.idle_traffic                          # 1,000 nodes, 10 s
    python -m bench.idle_traffic --nodes 200 --seconds 10

A mesh that has settled, six links per node, default heartbeats, probes and repair rounds. Nothing happens but that 15
times a second some node says something of ordinary size to everybody (its coordinate, or its links with another round
trip time). Every message counts with its bytes and `OVERHEAD_BYTES` for IP, UDP and QUIC, as if none shared a packet;
acknowledgements of the transport are not in it.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections import Counter
from functools import partial

import msgspec

from arqonmesh.config.model import GossipSettings, LinkSettings
from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND, SECOND, Lane
from arqonmesh.ids import NodeId
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.field.graphs import regular_graph
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.network import OVERHEAD_BYTES, End
from arqonmesh.sim.process import Process
from arqonmesh.sim.restart import restart
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.codec import MESSAGE_TYPES
from arqonmesh.wire.statement import Coordinate, Kind, Links

WARM_US = 5 * SECOND
"""The update traffic runs so long before it is counted: trees have formed by then."""
LINKS_PER_NODE = 6
UPDATES_PER_S = 15


class Meter:
    """Counts every message at its sender, for its receiver too."""

    def __init__(self) -> None:
        self.sent: Counter[NodeId] = Counter()
        self.received: Counter[NodeId] = Counter()
        self.bytes: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()

    def note(self, end: End, data: bytes) -> None:
        size = len(data) + OVERHEAD_BYTES
        tag = data[1] if data[1] < 24 else data[2]
        kind = MESSAGE_TYPES[tag].__name__
        self.sent[end.endpoint.node_id] += size
        self.received[end.peer] += size
        self.bytes[kind] += size
        self.messages[kind] += 1


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


def share(values: Counter[NodeId], nodes: list[NodeId], seconds: float) -> dict[str, int]:
    rates = sorted(values[node] / seconds for node in nodes)
    at = {"p50": len(rates) // 2, "p99": len(rates) * 99 // 100, "max": len(rates) - 1}
    return {name: round(rates[index]) for name, index in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--heartbeat-ms", type=int, default=LinkSettings().heartbeat_ms)
    parser.add_argument("--repair-ms", type=int, default=GossipSettings().repair_interval_ms)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    gc.disable()
    began = time.monotonic()
    sim = MeteredSimulation(given.seed)
    sim.network.new_model = partial(LinkModel, delay_us=5 * MILLISECOND)
    names = [f"node-{number:04}" for number in range(given.nodes)]
    links = LinkSettings(auto="none", heartbeat_ms=given.heartbeat_ms)
    gossip = GossipSettings(repair_interval_ms=given.repair_ms)
    for name in names:
        sim.add(name, links=links, gossip=gossip)
    restart(sim, [(names[a], names[b]) for a, b in regular_graph(given.nodes, LINKS_PER_NODE, seed=given.seed)])
    wait_for_convergence(sim, every_us=SECOND)
    sim.update()
    sim.run_for(WARM_US)
    meter = Meter()
    send = End.send

    def metered(end: End, lane: Lane, data: bytes) -> bool:
        meter.note(end, data)
        return send(end, lane, data)

    End.send = metered  # type: ignore[assignment, method-assign]
    sim.run_for(given.seconds * SECOND)
    End.send = send  # type: ignore[method-assign]
    nodes = [process.node_id for process in sim.processes.values()]
    per = given.nodes * given.seconds
    by = {
        kind: {"bytes_per_s": round(size / per, 1), "messages_per_s": round(meter.messages[kind] / per, 2)}
        for kind, size in meter.bytes.most_common()
    }
    figures = {
        "nodes": given.nodes,
        "heartbeat_ms": given.heartbeat_ms,
        "sent_bytes_per_s": share(meter.sent, nodes, given.seconds),
        "received_bytes_per_s": share(meter.received, nodes, given.seconds),
        "by_message_sent_per_node": by,
        "wall_s": round(time.monotonic() - began),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
