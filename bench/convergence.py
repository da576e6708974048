"""Convergence time: from the publishing of one update to the last node of the mesh having merged it.

    python -m bench.convergence                       # all three rows
    python -m bench.convergence --row region          # 1,000 nodes, one region, 5 ms one way: within 100 ms
    python -m bench.convergence --row regions         # 10 regions of 1,000, 100 ms one way between them: within 500 ms
    python -m bench.convergence --row aggregate       # 100 regions of 1,000 as aggregates: within 1 s
    python -m bench.convergence --cost                # what one update costs a node here: decode, verify, merge

What is real: the broadcast core (`core/broadcast`) on every node, the choice of leaders and their wishes for links
(`core/regions`), driven by `arqonmesh.sim.field` on a simulated clock. What is modelled: latency, and the work of each
node, `--cost-us` (200 us) added to every hop; no queueing, no loss. In a region a random graph of 5 links per node (the
overlay's active view), one update at a time from a random node, after `--warm-up` updates that form the tree. Payload
320 B, a usual statement.

`aggregate`: the inside of a region is not simulated but drawn from samples of real regions of 1,000 nodes, which are
measured first in the same run: (a) from a random node to each of the two leaders and to the last node, drawn together,
for the region where the update is published; (b) from a leader to the last node, for every other region, and from one
leader to the other. The leaders themselves are real nodes with real cores, and the update crosses between regions on
the links that they want. A region is converged at the earlier of (leader has it + its drawn time to the last node) over
its two leaders: what both bring together is not faster than the faster of the two, so this errs on the slow side.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final

from arqonmesh.config.model import BroadcastSettings, GossipSettings, RegionSettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import (
    Broadcast,
    BroadcastArrived,
    LinkWanted,
    MemberChanged,
    MemberDescribed,
    Persisted,
    Publish,
)
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.kernel import MILLISECOND, SECOND, Emit, Env, Persist
from arqonmesh.core.regions.choice import Region, rank_of
from arqonmesh.core.regions.core import Regions
from arqonmesh.ids import MeshId, NodeId, encode_ulid
from arqonmesh.sim.field import Field, Latency, regular_graph
from arqonmesh.sim.field.accept import Accepting
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import MAX_FRAME_BYTES, GossipDelta
from arqonmesh.wire.statement import Kind, NodeRecord
from bench.core_env import core_env

LINKS: Final = 5
REGION_NODES: Final = 1_000
WITHIN_US: Final = 5 * MILLISECOND
BETWEEN_US: Final = 100 * MILLISECOND
SPACING_US: Final = 2 * SECOND
TARGETS_MS: Final = {"region": 100, "regions": 500, "aggregate": 1_000}


@dataclass(frozen=True, slots=True)
class Setup:
    """What a run is made of."""

    seed: int
    updates: int
    warm_up: int
    payload_bytes: int
    cost_us: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Milliseconds over all updates of all seeds."""

    row: str
    nodes: int
    seeds: int
    updates: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    missed: int
    target_ms: int
    took_s: float

    @property
    def met(self) -> bool:
        return self.missed == 0 and self.max_ms <= self.target_ms


class Spread:
    """A field of nodes in regions, whose leaders are linked, and when each node had the update that is on its way."""

    def __init__(self, setup: Setup, regions: int, nodes: int, latency: Latency) -> None:
        self.field = Field(setup.seed, latency)
        self.setup = setup
        self.arrived: dict[int, int] = {}
        self._envs: list[Env] = []
        self._number = 0
        count = regions * nodes

        def compose(env: Callable[[str], Env]) -> tuple[Plumtree, Accepting]:
            self._envs.append(env("regions"))
            return Plumtree(env("broadcast"), BroadcastSettings(), lambda: count), Accepting(env("accept"))

        for index in range(count):
            self.field.add(compose, region=f"region {index // nodes}")
        self.leaders = [self._leaders_of(range(region * nodes, (region + 1) * nodes)) for region in range(regions)]
        self.field.watch(BroadcastArrived, self._arrives)

    def bridge(self) -> None:
        """Lay the links that the leaders want, as their own region cores say it."""
        leaders = [index for region in self.leaders for index in region]
        for index in leaders:
            core = Regions(self._envs[index], RegionSettings(), lambda: ())
            wanted: dict[NodeId, None] = {}
            for other in leaders:
                env = self._envs[other]
                described = MemberDescribed(env.node_id, env.cluster, env.role, env.region, ("a:1",), "")
                for event in (described, MemberChanged(env.node_id, "", "alive", 1, "joined")):
                    for effect in core.on_event(0, event):
                        if isinstance(effect, Emit) and isinstance(effect.event, LinkWanted):
                            wanted.pop(effect.event.peer, None)
                            if effect.event.addresses:
                                wanted[effect.event.peer] = None
            for peer in wanted:
                self.field.link(index, self.field.by_id[peer])
                self.field.tell(index, LinkWanted(peer, Regions.NAME, ("a:1",)))

    def update(self, sources: list[tuple[int, int]]) -> None:
        """One update, at each (delay, node) of `sources`: usually one. Runs until it has come to rest."""
        self._number += 1
        self.arrived = {}
        began = self.field.now
        head = b"%016d" % self._number
        event = Broadcast("bench", head + bytes(self.setup.payload_bytes - len(head)))
        for delay, source in sources:
            self.field.tell_at(began + delay, source, event)
            self.arrived[source] = began + delay
        self.field.run_for(SPACING_US)
        self.arrived = {index: at - began for index, at in self.arrived.items()}

    @property
    def missed(self) -> int:
        return len(self.field.nodes) - len(self.arrived)

    def _arrives(self, now: int, index: int, event: BroadcastArrived) -> None:
        self.arrived[index] = min(now, self.arrived.get(index, now))

    def _leaders_of(self, members: range) -> tuple[int, ...]:
        region = Region()
        for index in members:
            env = self._envs[index]
            region.stand(env.node_id, rank_of(env.region, env.node_id, env.role), "alive")
        return tuple(self.field.by_id[node] for node in region.seated(RegionSettings().leaders))


def spread_of(setup: Setup, regions: int, nodes: int = REGION_NODES) -> Spread:
    """Regions of so many nodes each, random graphs inside, leaders linked as they want; warmed up."""

    def latency(one: int, other: int) -> int:
        return (WITHIN_US if one // nodes == other // nodes else BETWEEN_US) + setup.cost_us

    spread = Spread(setup, regions, nodes, latency)
    for region in range(regions):
        base = region * nodes
        spread.field.lay(
            (base + one, base + other) for one, other in regular_graph(nodes, LINKS, setup.seed * 1_000 + region)
        )
    if regions > 1:
        spread.bridge()
    dice = random.Random(f"{setup.seed} warm-up")
    for _ in range(setup.warm_up):
        spread.update([(0, dice.randrange(0, regions * nodes))])
    return spread


def plain(setup: Setup, regions: int) -> tuple[list[int], int]:
    """Convergence times, microseconds, and how many nodes missed an update."""
    spread = spread_of(setup, regions)
    dice = random.Random(f"{setup.seed} updates")
    times, missed = [], 0
    for _ in range(setup.updates):
        spread.update([(0, dice.randrange(0, regions * REGION_NODES))])
        times.append(max(spread.arrived.values()))
        missed += spread.missed
    return times, missed


@dataclass(frozen=True, slots=True)
class Samples:
    """What regions of real nodes were measured to take; microseconds."""

    published: list[tuple[int, int, int]]
    """From a random node: to the first leader, the second, the last node."""
    led: list[int]
    """From a leader to the last node."""
    across: list[int]
    """From one leader to the other."""


def sample(setup: Setup, fields: int = 3) -> Samples:
    """Measure some regions of their own, each with another graph."""
    samples = Samples([], [], [])
    for number in range(fields):
        spread = spread_of(replace(setup, seed=setup.seed * 100 + number), 1)
        (one, other), dice = spread.leaders[0], random.Random(f"{setup.seed} {number} samples")
        for _ in range(setup.updates):
            spread.update([(0, dice.randrange(0, REGION_NODES))])
            samples.published.append((spread.arrived[one], spread.arrived[other], max(spread.arrived.values())))
            for source, target in ((one, other), (other, one)):
                spread.update([(0, source)])
                samples.led.append(max(spread.arrived.values()))
                samples.across.append(spread.arrived[target])
    return samples


def aggregate(setup: Setup, regions: int) -> tuple[list[int], int]:
    """Leaders are nodes, two per region; the rest of a region is a draw from the samples."""
    samples = sample(setup)
    across = percentile(samples.across, 99)

    def latency(one: int, other: int) -> int:
        return across if one // 2 == other // 2 else BETWEEN_US + setup.cost_us

    spread = Spread(setup, regions, 2, latency)
    spread.field.lay((2 * region, 2 * region + 1) for region in range(regions))
    spread.bridge()
    dice = random.Random(f"{setup.seed} aggregate")
    times, missed = [], 0
    for number in range(setup.warm_up + setup.updates):
        home = dice.randrange(0, regions)
        first, second, last = dice.choice(samples.published)
        spread.update([(first, 2 * home), (second, 2 * home + 1)])
        ends = [last]
        for region in range(regions):
            if region != home:
                leaders = (spread.arrived.get(leader) for leader in (2 * region, 2 * region + 1))
                ends.append(min((at + dice.choice(samples.led) for at in leaders if at is not None), default=0))
        if number >= setup.warm_up:
            times.append(max(ends))
            missed += spread.missed
    return times, missed


def measured_cost_us(count: int = 2_000) -> list[float]:
    """What one statement costs a node with real keys, from the bytes of its message to its being merged."""
    mesh = MeshId(encode_ulid(0, 1))
    keys = {name: NodeKey(bytes([number]) * 32) for number, name in enumerate(("author", "reader"), start=1)}

    def gossip(name: str) -> Gossip:
        env = core_env(keys[name], mesh, random.Random(name))
        return Gossip(env, GossipSettings(), keys=lambda node: {k.node_id: k.public for k in keys.values()}.get(node))

    author, reader = gossip("author"), gossip("reader")
    author.start(0, {})
    reader.start(0, {})
    me = keys["author"].node_id
    costs = []
    for number in range(count):
        record = NodeRecord(keys["author"].public, "bench", "hub", "", ("10.0.0.1:9130",), number, False, "bench", ())
        before = next(((epoch, seq) for node, epoch, seq in author.heads() if node == me), (0, 0))
        for effect in author.on_event(number, Publish(Kind.NODE, "", record)):
            if isinstance(effect, Persist) and effect.token >= 0:
                author.on_event(number, Persisted(effect.token))
        encoded = author.encoded(me, Kind.NODE)
        assert encoded is not None, "the author did not publish"
        frame = encode_message(GossipDelta((encoded,), ((me, *before),)))
        began = time.perf_counter_ns()
        effects = reader.on_message(number, me, decode_message(frame, max_bytes=MAX_FRAME_BYTES))
        costs.append((time.perf_counter_ns() - began) / 1_000)
        for effect in effects:
            if isinstance(effect, Persist) and effect.token >= 0:
                reader.on_event(number, Persisted(effect.token))
    assert reader.heads() == author.heads(), "the reader did not merge everything"
    return costs


def percentile(values: list[int], percent: int) -> int:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


ROWS: Final[dict[str, tuple[int, Callable[[Setup, int], tuple[list[int], int]]]]] = {
    "region": (1, plain),
    "regions": (10, plain),
    "aggregate": (100, aggregate),
}


def measure(row: str, seeds: list[int], setup: Setup) -> Outcome:
    """All seeds of one row."""
    began = time.process_time()
    regions, run = ROWS[row]
    times: list[int] = []
    missed = 0
    for seed in seeds:
        more, lacking = run(replace(setup, seed=seed), regions)
        gc.collect()
        times += more
        missed += lacking
    return Outcome(
        row=row,
        nodes=regions * REGION_NODES,
        seeds=len(seeds),
        updates=len(times),
        p50_ms=percentile(times, 50) / MILLISECOND,
        p99_ms=percentile(times, 99) / MILLISECOND,
        max_ms=max(times) / MILLISECOND,
        missed=missed,
        target_ms=TARGETS_MS[row],
        took_s=round(time.process_time() - began, 1),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.convergence", description=__doc__.split("\n")[0])
    parser.add_argument("--row", choices=tuple(ROWS), action="append", help="default: all")
    parser.add_argument("--seeds", default="1,2,3", help="comma-separated")
    parser.add_argument("--updates", type=int, default=20, help="measured per seed")
    parser.add_argument("--warm-up", type=int, default=5, help="updates before that")
    parser.add_argument("--payload-bytes", type=int, default=320)
    parser.add_argument("--cost-us", type=int, default=200, help="of one node per update, added to every hop")
    parser.add_argument("--cost", action="store_true", help="measure that cost here, and nothing else")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    given = parser.parse_args(arguments)
    if given.cost:
        costs = [round(cost) for cost in measured_cost_us()]
        print(f"decode, verify, merge: p50 {percentile(costs, 50)} us, p99 {percentile(costs, 99)} us of {len(costs)}")
        return 0
    setup = Setup(0, given.updates, given.warm_up, given.payload_bytes, given.cost_us)
    gc.disable()  # ten thousand living nodes are looked at again and again for nothing; collected once per seed
    outcomes = []
    for row in given.row or list(ROWS):
        outcome = measure(row, [int(seed) for seed in given.seeds.split(",")], setup)
        outcomes.append(outcome)
        print(json.dumps(asdict(outcome) | {"met": outcome.met}) if given.json else line(outcome), flush=True)
    return 0 if all(outcome.met for outcome in outcomes) else 1


def line(outcome: Outcome) -> str:
    return (
        f"{outcome.nodes:7} nodes ({outcome.row}), {outcome.updates} updates over {outcome.seeds} seeds: "
        f"p50 {outcome.p50_ms:.0f} ms  p99 {outcome.p99_ms:.0f} ms  max {outcome.max_ms:.0f} ms  "
        f"missed {outcome.missed}  target {outcome.target_ms} ms {'met' if outcome.met else 'NOT MET'}  "
        f"[{outcome.took_s} s]"
    )


if __name__ == "__main__":
    sys.exit(main())
