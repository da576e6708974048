"""How well coordinates guess round trips, on the five topologies of Serf's own performance tests.

    python -m bench.vivaldi                 # 20 seeds, each 1,000 cycles; about a minute
    python -m bench.vivaldi --seeds 3

Each cycle every node picks another one at random and takes in the true round trip to it. Then every pair is compared:
|guess - truth| / truth. The bounds are Serf's times 1.2; its generator is another one, so the median over the seeds
counts. Exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin
from typing import Final

from arqonmesh.core.coordinates.vivaldi import DIMENSIONS, Vivaldi
from arqonmesh.ids import NodeId

CYCLES: Final = 1_000
SLACK: Final = 1.2
Truth = list[list[float]]


@dataclass(frozen=True, slots=True)
class Topology:
    """A network's true round trips, and the published bounds on the average and the largest relative error."""

    name: str
    truth: Callable[[random.Random], Truth]
    average_max: float
    largest_max: float
    dimensions: int = DIMENSIONS


@dataclass(frozen=True, slots=True)
class Errors:
    average: float
    largest: float
    heights: tuple[float, ...]


def _between(count: int, distance_s: Callable[[int, int], float]) -> Truth:
    return [[0.0 if i == j else distance_s(i, j) for j in range(count)] for i in range(count)]


def line(_: random.Random) -> Truth:
    return _between(10, lambda i, j: abs(i - j) * 0.010)


def grid(_: random.Random) -> Truth:
    return _between(25, lambda i, j: hypot(i % 5 - j % 5, i // 5 - j // 5) * 0.010)


def two_clusters(_: random.Random) -> Truth:
    """1 ms within; 10 ms more between."""
    return _between(25, lambda i, j: 0.001 if (i < 12) == (j < 12) else 0.011)


def circle(_: random.Random) -> Truth:
    """Node 0 is the centre, as far above the plane as the circle is wide: everyone is two radii from it."""

    def distance_s(i: int, j: int) -> float:
        if 0 in (i, j):
            return 0.200
        a, b = (2 * pi * (index / 25) for index in (i, j))
        return hypot(0.100 * (cos(a) - cos(b)), 0.100 * (sin(a) - sin(b)))

    return _between(25, distance_s)


def at_random(rng: random.Random) -> Truth:
    truth = [[0.0] * 25 for _ in range(25)]
    for i in range(25):
        for j in range(i + 1, 25):
            truth[i][j] = truth[j][i] = max(0.001, rng.normalvariate(0.100, 0.010))
    return truth


TOPOLOGIES: Final = (
    Topology("line, 10 ms apart", line, 0.0031, 0.0130),
    Topology("5 x 5 grid, 10 ms", grid, 0.0016, 0.0230),
    Topology("two clusters", two_clusters, 0.000060, 0.00048),
    Topology("circle and centre", circle, 0.0028, 0.064, dimensions=2),
    Topology("random N(100, 10) ms", at_random, 0.075, 0.33),
)


def measure(topology: Topology, seed: int, cycles: int = CYCLES) -> Errors:
    """One seed: run the cycles, compare all pairs."""
    rng = random.Random(f"{topology.name} {seed}")
    truth = topology.truth(rng)
    count = len(truth)
    nodes = [Vivaldi(random.Random(f"{seed} {index}"), topology.dimensions) for index in range(count)]
    names = [NodeId(str(index)) for index in range(count)]
    for _ in range(cycles):
        for i, node in enumerate(nodes):
            j = rng.randrange(0, count - 1)
            j += j >= i
            node.update(names[j], nodes[j].coordinate, truth[i][j])
    errors = [
        abs(nodes[i].distance_to(nodes[j].coordinate) - truth[i][j]) / truth[i][j]
        for i in range(count)
        for j in range(count)
        if i != j
    ]
    return Errors(statistics.mean(errors), max(errors), tuple(node.coordinate.height for node in nodes))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(1, parser.parse_args(arguments).seeds + 1)
    missed = 0
    print(f"{'topology':22} {'average':>10} {'bound':>10} {'largest':>10} {'bound':>10}   median of {len(seeds)} seeds")
    for topology in TOPOLOGIES:
        found = [measure(topology, seed) for seed in seeds]
        average = statistics.median(errors.average for errors in found)
        largest = statistics.median(errors.largest for errors in found)
        bounds = topology.average_max * SLACK, topology.largest_max * SLACK
        kept = average <= bounds[0] and largest <= bounds[1]
        missed += not kept
        verdict = "" if kept else "   MISSED"
        print(
            f"{topology.name:22} {average:10.6f} {bounds[0]:10.6f} {largest:10.6f} {bounds[1]:10.6f}{verdict}",
            flush=True,
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
