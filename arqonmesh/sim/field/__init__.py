"""A field of nodes: ten thousand of them in one process, each with the few cores that a question is about.

    field = Field(seed=1, latency=uniform(1, 10_000, 100_000))
    for _ in range(1_000):
        field.add(lambda env: (Plumtree(env("broadcast"), BroadcastSettings(), lambda: 1_000),))
    field.lay(regular_graph(1_000, 5, seed=1))          # links that stand at once; or let a core Connect
    field.watch(BroadcastArrived, lambda now, index, event: ...)
    field.tell(0, Broadcast("news", b"..."))
    field.run_for(2 * SECOND)
    print(field.sent, field.bytes_by_type)

The difference to `sim.simulation`: no codec, no disk, no lanes, no `core.node.Node`. Cores are composed by the real
`core.router.Router`, given the real `Env` (toy crypto), and driven with message *objects* over one-way latencies that a
function of the pair gives. So a protocol's shape (rounds, reach, redundancy, latency) is measured at the scale where it
matters, with the code that ships; what bytes, disks and processes do to it is measured elsewhere.

What a node sees:

- `Send` to a linked peer arrives after the pair's latency, in order; to anyone else it is dropped and counted
  (`unlinked="direct"` carries it all the same: as if source routes always worked, at the pair's latency).
- `Connect` begins a handshake of 1.5 round trips, repeated for ever while the peer does not answer, after which both
  sides hear `TransportUp`, and unless the real link core is among the cores also `LinkUp` and one `LinkMeasured`.
- `Disconnect` tells the caller at once and the peer one latency later. `kill` tells the neighbours after
  `detection_us`: what heartbeats need to notice. `mute` leaves a node with its links and without a voice.
- `Persist` is answered in the same instant, or after `persist_us`.
- Loss (`loss_ppm`): a datagram is gone; on the other lanes it costs a retransmission, and what follows waits for it
  (`lossy_streams=True`: gone as well, for protocols that are measured without a transport's help).

Same seed, same run: one heap, integer microseconds, ties in the order of their making, nothing drawn but from
generators seeded by name. `traced=True` keeps a checksum over every delivery in `fingerprint`.
"""

from __future__ import annotations

from arqonmesh.sim.field.field import Field
from arqonmesh.sim.field.graphs import full_graph, regular_graph, ring_graph
from arqonmesh.sim.field.latency import Latency, constant, regions, uniform
from arqonmesh.sim.field.node import Compose, End, EnvOf, FieldNode

__all__ = [
    "Compose",
    "End",
    "EnvOf",
    "Field",
    "FieldNode",
    "Latency",
    "constant",
    "full_graph",
    "regions",
    "regular_graph",
    "ring_graph",
    "uniform",
]
