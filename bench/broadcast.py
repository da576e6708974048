"""What a broadcast costs: redundancy, hops, time, control messages; missed must be none.

    python -m bench.broadcast                                  # 100 and 1,000 nodes, single and rotating, 5 seeds
    python -m bench.broadcast --senders all --nodes 100        # every node at once, 5 rounds
    python -m bench.broadcast --nodes 1000 --overlay           # over HyParView, grown by joining through one node
    python -m bench.broadcast --nodes 1000 --overlay --untold  # the same, and nobody has heard of the members
    python -m bench.broadcast --nodes 1000 --fan-out 0 --links 5   # the tree alone

The real broadcast core on a simulated field (`arqonmesh.sim.field`): latency per pair drawn evenly from 10 to 100 ms
one way, payload 1 KiB, a static random regular graph or the overlay that grows when everyone joins through one node. A
round lasts 5 s; the three workloads are those of iroh-gossip's own simulator: single sender 30 rounds, another sender
each round 30, all at once 5. RMR is payloads sent per node that had to receive one, less one (Leitao et al., 2007); LDH
the most hops to any node. Deterministic by seed.

With `--overlay` everyone hears of every member as soon as it has joined, as gossip tells them in a mesh; gossip itself
is not on the field, so that is handed to them, free of charge and at once. HyParView of the paper has no such
knowledge: with `--untold` nodes know of each other only what the overlay's own messages say.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from arqonmesh.config.model import BroadcastSettings, LinkSettings, OverlaySettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import Broadcast, BroadcastArrived, MemberDescribed, MemberIntroduced
from arqonmesh.core.kernel import MILLISECOND, SECOND, Core
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.core.topology import Topology
from arqonmesh.ids import ClusterId
from arqonmesh.sim.field import EnvOf, Field, regular_graph, uniform
from arqonmesh.sim.field.accept import Accepting
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPayload, BroadcastPrune

ROUND_US = 5 * SECOND
LATENCY_US = (10 * MILLISECOND, 100 * MILLISECOND)
PAYLOAD_BYTES = 1_024
CONTROL = (BroadcastHave, BroadcastGraft, BroadcastPrune)
TARGETS = {"single": (0.2, 15), "rotating": (1.0, 18), "all": (3.0, 30)}


@dataclass(frozen=True, slots=True)
class Round:
    """One round: everyone who had to receive counted."""

    rmr: float
    ldh: int
    missed: int
    last_ms: float
    """From the first send to the last delivery."""
    control_per_delivery: float


@dataclass(frozen=True, slots=True)
class Cost:
    """All rounds of one seed."""

    nodes: int
    links: int
    senders: str
    seed: int
    rounds: int
    rmr_mean: float
    rmr_last_10: float
    rmr_first: float
    ldh_mean: float
    ldh_max: int
    missed: int
    last_ms_mean: float
    last_ms_max: float
    control_per_delivery: float
    took_s: float

    @property
    def met(self) -> bool:
        rmr, ldh = TARGETS[self.senders]
        if self.nodes >= 1_000 and self.senders == "rotating":
            ldh = 12
        return self.missed == 0 and self.rmr_mean < rmr and self.ldh_mean < ldh


def spreading(env: EnvOf, settings: BroadcastSettings, nodes: int) -> tuple[Core, ...]:
    return Plumtree(env("broadcast"), settings, lambda: nodes), Accepting(env("accept"))


class Bench:
    """A field of nodes that accept everything, and the counts of the round that runs."""

    def __init__(
        self,
        nodes: int,
        links: int,
        seed: int,
        settings: BroadcastSettings,
        overlay: bool = False,
        *,
        untold: bool = False,
    ) -> None:
        """`untold`: nobody is handed who the members of the overlay are."""
        self.field = Field(seed, uniform(seed, *LATENCY_US))
        self.nodes = nodes
        if overlay:
            self._grow(links, settings, untold=untold)
        else:
            for _ in range(nodes):
                self.field.add(lambda env: spreading(env, settings, nodes))
            self.field.lay(regular_graph(nodes, links, seed))
        self.field.watch(BroadcastArrived, self._arrived)
        self._delivered = 0
        self._hops = 0
        self._last_us = 0

    def _grow(self, links: int, settings: BroadcastSettings, *, untold: bool) -> None:
        """Everyone joins through one node, 50 ms apart; then two shuffles."""
        overlay = OverlaySettings(active_max=links)

        def compose(env: EnvOf) -> tuple[Core, ...]:
            founder = self.field.nodes[0].id
            topology = Topology(env("topology"), LinkSettings(auto="overlay"), founder)
            hyparview = Overlay(
                env("overlay"), overlay, founder, lambda _: ("sim:1",), members=lambda: len(self.field.nodes)
            )
            return topology, hyparview, *spreading(env, settings, self.nodes)

        for index in range(self.nodes):
            self.field.add(compose)
            if index:
                self.field.tell(index, MemberIntroduced(self.field.nodes[0].id))
            for other in range(0 if untold else index):  # everyone hears of everyone, as gossip tells them
                self._describe(index, other)
                self._describe(other, index)
            self.field.run_for(50 * MILLISECOND)
        self.field.run_for(2 * overlay.shuffle_interval_ms * MILLISECOND)

    def _describe(self, to: int, member: int) -> None:
        node = self.field.nodes[member].id
        self.field.tell(to, MemberDescribed(node, ClusterId("field"), "spoke", "", ("sim:1",), ""))

    def _arrived(self, now: int, index: int, event: BroadcastArrived) -> None:
        self._delivered += 1
        self._last_us = now
        known = self.field.nodes[index].core(Plumtree)._cache.get(event.id)
        assert known is not None
        self._hops = max(self._hops, known.round)

    def round(self, number: int, senders: list[int]) -> Round:
        """One round to its end."""
        field = self.field
        payloads, control = field.sent.get(BroadcastPayload, 0), sum(field.sent.get(kind, 0) for kind in CONTROL)
        self._delivered = self._hops = 0
        began = self._last_us = field.now
        for sender in senders:
            field.tell(sender, Broadcast("bench", b"%08d%08d" % (number, sender) + bytes(PAYLOAD_BYTES - 16)))
        field.run_for(ROUND_US)
        due = len(senders) * (self.nodes - 1)
        received = field.sent.get(BroadcastPayload, 0) - payloads
        return Round(
            rmr=received / due - 1,
            ldh=self._hops,
            missed=due - self._delivered,
            last_ms=(self._last_us - began) / MILLISECOND,
            control_per_delivery=(sum(field.sent.get(kind, 0) for kind in CONTROL) - control) / due,
        )


def measure(
    nodes: int,
    links: int,
    senders: str,
    seed: int,
    settings: BroadcastSettings,
    overlay: bool = False,
    *,
    untold: bool = False,
) -> Cost:
    """One seed of one workload, from a field in which every link is still eager."""
    began = time.process_time()
    bench = Bench(nodes, links, seed, settings, overlay, untold=untold)
    dice = random.Random(f"{seed} senders")
    everyone = list(range(nodes))
    rounds = [
        bench.round(
            number,
            {"single": [0], "rotating": [dice.randrange(0, nodes)], "all": everyone}[senders],
        )
        for number in range(5 if senders == "all" else 30)
    ]
    last = rounds[-10:]
    return Cost(
        nodes=nodes,
        links=links,
        senders=senders,
        seed=seed,
        rounds=len(rounds),
        rmr_mean=round(mean(rounds, lambda r: r.rmr), 3),
        rmr_last_10=round(mean(last, lambda r: r.rmr), 3),
        rmr_first=round(rounds[0].rmr, 3),
        ldh_mean=round(mean(rounds, lambda r: r.ldh), 1),
        ldh_max=max(r.ldh for r in rounds),
        missed=sum(r.missed for r in rounds),
        last_ms_mean=round(mean(rounds, lambda r: r.last_ms), 1),
        last_ms_max=round(max(r.last_ms for r in rounds), 1),
        control_per_delivery=round(mean(rounds, lambda r: r.control_per_delivery), 2),
        took_s=round(time.process_time() - began, 1),
    )


def mean(rounds: list[Round], of: Callable[[Round], float]) -> float:
    return math.fsum(of(one) for one in rounds) / len(rounds)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.broadcast", description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, action="append", help="default: 100 and 1000")
    parser.add_argument("--senders", choices=tuple(TARGETS), action="append", help="default: single and rotating")
    parser.add_argument("--links", type=int, default=0, help="links per node; 0: ln(nodes) + 1, rounded up")
    parser.add_argument("--seeds", default="1,2,3,4,5", help="comma-separated")
    parser.add_argument("--fan-out", type=int, default=BroadcastSettings().fan_out_percent, help="percent")
    parser.add_argument("--swap-hops", type=int, default=BroadcastSettings().swap_hops)
    parser.add_argument("--eager-max", type=int, default=BroadcastSettings().eager_max)
    parser.add_argument("--overlay", action="store_true", help="over HyParView with that active view, not a graph")
    parser.add_argument("--untold", action="store_true", help="nobody is handed who the members of the overlay are")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    given = parser.parse_args(arguments)
    settings = BroadcastSettings(fan_out_percent=given.fan_out, swap_hops=given.swap_hops, eager_max=given.eager_max)
    failed = False
    for nodes in given.nodes or [100, 1_000]:
        for senders in given.senders or ["single", "rotating"]:
            for seed in map(int, given.seeds.split(",")):
                links = given.links or math.ceil(math.log(nodes)) + 1
                cost = measure(nodes, links, senders, seed, settings, given.overlay, untold=given.untold)
                failed |= not cost.met
                if given.json:
                    print(json.dumps(dataclasses.asdict(cost) | {"met": cost.met}), flush=True)
                else:
                    print(line(cost), flush=True)
    return 1 if failed else 0


def line(cost: Cost) -> str:
    return (
        f"{cost.nodes:6} nodes x {cost.links} links, {cost.senders:8} seed {cost.seed}: "
        f"RMR {cost.rmr_mean:5.2f} (last 10: {cost.rmr_last_10:5.2f})  LDH {cost.ldh_mean:4.1f} (max {cost.ldh_max})  "
        f"missed {cost.missed}  last {cost.last_ms_mean:5.0f} ms (max {cost.last_ms_max:.0f})  "
        f"control {cost.control_per_delivery:.2f}  {'met' if cost.met else 'NOT MET'}  [{cost.took_s} s]"
    )


if __name__ == "__main__":
    sys.exit(main())
