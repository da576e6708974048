"""HyParView after a mass failure: how many of those left are reached, and how soon all of them again.

    python -m bench.overlay                                            # 1,000 and 10,000 nodes, as below
    python -m bench.overlay --nodes 1000 --cycles 10 --kill 50 80 90 95
    python -m bench.overlay --nodes 10000 --contact single --seed 7

The workload is that of the paper (Leitao, Pereira, Rodrigues, DSN 2007, section 5): all nodes join one by one, each
through one contact that is already in (`--contact random`, or `single`: everybody through the first), shuffle cycles
settle the views, then x % of the nodes are killed at one instant and 1,000 broadcasts begin right away, each from a
random node that is left. The cores are those that ship (core/overlay and core/topology), one-way latency 5-50 ms.

- A broadcast is a flood over the active views as they stand at its instant: a node passes it to every neighbour, the
  dead answer nothing. Ten a second (`--every-ms`), so the first 100 take 10 s, all of them 100 s.
- The failure signal is the broken link, `--detection-ms` after the kill (300: three heartbeats missed). The repair that
  it sets off counts from the first message on, as in the paper; the first shuffle comes up to 30 s later.
- "healed": from then on every broadcast reached everyone; in seconds and in shuffle cycles of 30 s.
- "component": the largest set of live nodes that reach each other, in % of those left: once the broken links are
  noticed and nothing is repaired yet, and after the last broadcast.
- "in-degree": in how many active views a live node is, after the last broadcast: least, mean, most.

One mesh is built per size; each x begins from it in a process of its own (fork), so all see the same mesh.
"""

from __future__ import annotations

import argparse
import gc
import os
import pickle
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from arqonmesh.config.model import LinkSettings, OverlaySettings
from arqonmesh.core.events import MemberIntroduced, NeighbourDown, NeighbourUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Core
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.core.topology import Topology
from arqonmesh.ids import NodeId
from arqonmesh.sim.field import EnvOf, Field, uniform

JOIN_EVERY_US: Final = 20 * MILLISECOND
NOTICED_US: Final = MILLISECOND
"""So long after the broken links are told nobody has answered yet."""
KILLS: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
FIRST: Final = 100
SOMEWHERE: Final = ("field:1",)
"""Everyone's address: a field dials by name."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mesh after one mass failure; shares from 0 to 1."""

    killed_percent: int
    live: int
    first: float
    """Mean reach of the first 100 broadcasts."""
    rest: float
    """Mean reach of the others."""
    worst_of_rest: float
    component_cut: float
    component_end: float
    healed_s: float | None
    degree: tuple[int, float, int]
    links_per_node: float
    """New entries of active views per live node."""
    wall_s: float


class Mesh:
    """A field of overlays, with everyone's active view at hand as lists of indices."""

    def __init__(self, seed: int, settings: OverlaySettings, detection_us: int) -> None:
        self.field = Field(seed, uniform(seed, 5 * MILLISECOND, 50 * MILLISECOND), detection_us=detection_us)
        self.views: list[list[int]] = []
        self.ups = 0
        self._settings = settings
        self._dice = random.Random(f"{seed} overlay bench")
        self.field.watch(NeighbourUp, self._up)
        self.field.watch(NeighbourDown, self._down)

    def _compose(self, env: EnvOf) -> tuple[Core, ...]:
        founder = self.field.nodes[0].id
        topology = Topology(env("topology"), LinkSettings(auto="overlay"), founder)
        return topology, Overlay(env("overlay"), self._settings, founder, lambda _: SOMEWHERE)

    def _up(self, now: int, index: int, event: NeighbourUp) -> None:
        self.views[index].append(self.field.by_id[event.peer])
        self.ups += 1

    def _down(self, now: int, index: int, event: NeighbourDown) -> None:
        self.views[index].remove(self.field.by_id[event.peer])

    def grow(self, count: int, contact: str) -> None:
        """All join, one after the other."""
        for index in range(count):
            self.views.append([])
            self.field.add(self._compose)
            if index:
                through = 0 if contact == "single" else self._dice.randrange(0, index)
                self.field.tell(index, MemberIntroduced(self._id(through)))
            self.field.run_for(JOIN_EVERY_US)

    def settle(self, cycles: int) -> None:
        self.field.run_for(cycles * self._settings.shuffle_interval_ms * MILLISECOND)

    def kill(self, percent: int) -> None:
        count = len(self.field.nodes)
        for index in self._dice.sample(range(count), count * percent // 100):
            self.field.kill(index)

    def live(self) -> list[int]:
        return [node.index for node in self.field.nodes if node.alive]

    def reach(self, source: int) -> int:
        """How many live nodes a flood from here gets to, the source included."""
        nodes, views = self.field.nodes, self.views
        seen = bytearray(len(nodes))
        seen[source] = 1
        queue = [source]
        for index in queue:
            for peer in views[index]:
                if not seen[peer] and nodes[peer].alive:
                    seen[peer] = 1
                    queue.append(peer)
        return len(queue)

    def component(self) -> int:
        """The largest set of live nodes that a flood from one of them reaches."""
        best, left = 0, dict.fromkeys(self.live())
        while left:
            source, _ = left.popitem()
            queue = [source]
            for index in queue:
                queue += [peer for peer in self.views[index] if left.pop(peer, self) is None]
            best = max(best, len(queue))
        return best

    def degrees(self) -> tuple[int, float, int]:
        live = self.live()
        degree = dict.fromkeys(live, 0)
        for index in live:
            for peer in self.views[index]:
                if peer in degree:
                    degree[peer] += 1
        return min(degree.values()), sum(degree.values()) / len(live), max(degree.values())

    def _id(self, index: int) -> NodeId:
        return self.field.nodes[index].id


def measure(mesh: Mesh, percent: int, broadcasts: int, every_us: int, detection_us: int) -> Result:
    """Kill, then broadcast at once."""
    began = time.perf_counter()
    mesh.kill(percent)
    live = mesh.live()
    dice = random.Random(f"{percent} sources")
    killed_at, ups = mesh.field.now, mesh.ups
    mesh_cut = 0
    reached: list[float] = []
    healed_at: int | None = None
    for number in range(broadcasts):
        at = killed_at + number * every_us
        if not mesh_cut and at > killed_at + detection_us:
            mesh.field.run_until(killed_at + detection_us + NOTICED_US)
            mesh_cut = mesh.component()
        mesh.field.run_until(at)
        share = mesh.reach(live[dice.randrange(0, len(live))]) / len(live)
        if share < 1:
            healed_at = None
        elif healed_at is None:
            healed_at = at
        reached.append(share)
    first, rest = reached[:FIRST], reached[FIRST:]
    return Result(
        killed_percent=percent,
        live=len(live),
        first=sum(first) / len(first),
        rest=sum(rest) / max(1, len(rest)),
        worst_of_rest=min(rest, default=0.0),
        component_cut=mesh_cut / len(live),
        component_end=mesh.component() / len(live),
        healed_s=None if healed_at is None else (healed_at - killed_at) / SECOND,
        degree=mesh.degrees(),
        links_per_node=(mesh.ups - ups) / len(live),
        wall_s=time.perf_counter() - began,
    )


def in_a_fork(mesh: Mesh, percent: int, broadcasts: int, every_us: int, detection_us: int) -> Result:
    """As `measure`, leaving this process's mesh as it is."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(measure(mesh, percent, broadcasts, every_us, detection_us), pipe)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    _, code = os.waitpid(child, 0)
    if code:
        raise SystemExit(f"the run with {percent} % killed failed")
    result: Result = pickle.loads(told)
    return result


def line(result: Result, cycle_s: float) -> str:
    healed = "never" if result.healed_s is None else f"{result.healed_s:6.1f} s {result.healed_s / cycle_s:5.2f}"
    least, mean, most = result.degree
    return (
        f"{result.killed_percent:>3} %  {result.live:>6,}  {100 * result.first:8.3f}  {100 * result.rest:8.3f} "
        f"{100 * result.worst_of_rest:8.2f}   {100 * result.component_cut:7.2f} {100 * result.component_end:7.2f}   "
        f"{healed:>14}   {least}-{mean:.1f}-{most}   {result.links_per_node:5.1f}   {result.wall_s:6.1f}"
    )


def run(nodes: int, options: argparse.Namespace) -> bool:
    """One size. Whether it met what the paper's curves promise."""
    settings = OverlaySettings(active_max=options.active, passive_max=options.passive)
    detection_us, every_us = options.detection_ms * MILLISECOND, options.every_ms * MILLISECOND
    mesh = Mesh(options.seed, settings, detection_us)
    began = time.perf_counter()
    mesh.grow(nodes, options.contact)
    grown = time.perf_counter()
    joined = mesh.component()
    mesh.settle(options.cycles)
    least, mean, most = mesh.degrees()
    print(
        f"\n{nodes:,} nodes through {'one contact' if options.contact == 'single' else 'random contacts'}, seed "
        f"{options.seed}, active {settings.active_max}, passive {settings.passive_max}: component {joined:,} when the "
        f"last had joined,\n{mesh.component():,} after {options.cycles} cycles; in-degree {least}-{mean:.1f}-{most}; "
        f"{mesh.field.steps:,} steps; wall {grown - began:.0f} + {time.perf_counter() - grown:.0f} s"
    )
    print("                 reached, % of live         component, %        healed        in-degree    new    wall")
    print("kill     live    1-100    others    worst      cut     end      after cycles   least-most  links       s")
    gc.collect()
    gc.freeze()
    met = True
    for percent in options.kill:
        result = in_a_fork(mesh, percent, options.broadcasts, every_us, detection_us)
        print(line(result, settings.shuffle_interval_ms / 1_000), flush=True)
        wanted = 0.999 if percent <= 80 else 0.95 if percent <= 90 else 0.0
        met = met and result.rest >= wanted and result.degree[2] <= settings.active_max + 2
    return met


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--kill", type=int, nargs="+", default=list(KILLS), metavar="PERCENT")
    parser.add_argument("--contact", choices=("random", "single"), default="random")
    parser.add_argument("--cycles", type=int, default=50, help="shuffle cycles of 30 s before the failure")
    parser.add_argument("--broadcasts", type=int, default=1_000)
    parser.add_argument("--every-ms", type=int, default=100)
    parser.add_argument("--detection-ms", type=int, default=300)
    parser.add_argument("--active", type=int, default=5, help="fixed; as in the paper")
    parser.add_argument("--passive", type=int, default=OverlaySettings().passive_max)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    met = [run(nodes, options) for nodes in options.nodes]
    print(
        "\nmet" if all(met) else "\nNOT met", "- at least 99.9 % up to 80 % killed, 95 % at 90 % (broadcasts 101-1,000)"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
