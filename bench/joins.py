"""A mesh of processes that grows one by one: what a join takes, and what it costs everybody who is there.

    python -m bench.joins                          # 26 nodes, a join per second
    python -m bench.joins --nodes 64 --every 0     # as fast as they are let in

One hub, the rest spokes, each a cluster of its own. All processes run from the start; those that are in no mesh yet
cost nothing. A join is an `arqon invite new` at the hub and an `arqon mesh join` at the joiner. After every `--stage`
joins the mesh idles, and what idling costs is taken off.

| figure     | meaning                                                                                     |
|------------|---------------------------------------------------------------------------------------------|
| join s     | seconds from asking for the ticket until the joiner is in, median and worst                 |
| tries      | tries that the command gave up on, or that found the mesh read-only, and were begun anew     |
| hub, spoke | CPU milliseconds per join at the hub and at a member among the others, above idling         |
| statements | per join, by what they say; as the hub heard them, which hears them all                     |

Exits non-zero when the mesh is not whole at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from prometheus_client.parser import text_string_to_metric_families

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, loopback_mesh, until
from bench import inline
from bench.idle_nodes import let_in, start_all, whole

SETTLE_S = 2.0
WHOLE_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Joins that took the mesh from one size to another."""

    members: tuple[int, int]
    join_s_median: float
    join_s_max: float
    tries: int
    hub_ms: float
    spoke_ms: float
    idle_hub: float
    """CPU seconds per second."""
    idle_spoke: float
    statements: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Reading:
    at_s: float
    cpu_s: tuple[float, ...]
    news: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=26)
    parser.add_argument("--stage", type=int, default=8, help="joins between two looks")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="a join begins this often")
    parser.add_argument("--idle", type=float, default=8.0, metavar="SECONDS", help="after each stage")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 2, help="how many are started at a time")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with loopback_mesh(command=inline.arqon) as mesh:
        stages, whole_s = run(mesh, args.nodes, args.stage, args.every, args.idle, args.at_once, quiet=args.json)
    if args.json:
        told = {"v": 1, "stages": [asdict(stage) for stage in stages], "whole_after_s": whole_s}
        print(json.dumps(told))
    else:
        print("not whole" if whole_s is None else f"whole {whole_s:.1f} s after the last join")
    sys.exit(1 if whole_s is None else 0)


def run(
    mesh: LoopbackMesh, count: int, stage: int, every_s: float, idle_s: float, at_once: int, *, quiet: bool
) -> tuple[list[Stage], float | None]:
    """The stages, and how long after the last join everyone agreed; None when that did not happen."""
    nodes = [mesh.make(f"n{n:02}", "hub" if n == 0 else "spoke") for n in range(count)]
    start_all(nodes, at_once)
    hub, *joiners = nodes
    hub("mesh", "seed", "joins")
    stages: list[Stage] = []
    members = [hub]
    for first in range(0, len(joiners), stage):
        batch = joiners[first : first + stage]
        before = _read(members + batch, hub)
        joins = [_joined(hub, node, every_s) for node in batch]
        time.sleep(SETTLE_S)
        after = _read(members + batch, hub)
        time.sleep(idle_s)
        rested = _read(members + batch, hub)
        stages.append(_stage(len(members), joins, before, after, rested))
        members += batch
        if not quiet:
            print(_line(stages[-1]), flush=True)
    began = time.monotonic()
    try:
        until("a whole mesh", lambda: whole(nodes), WHOLE_PATIENCE_S, every_s=2.0)
    except TimeoutError:
        return stages, None
    return stages, time.monotonic() - began


def _joined(hub: LoopbackNode, node: LoopbackNode, every_s: float) -> tuple[float, int]:
    """Seconds it took, and tries that were in vain."""
    began = time.monotonic()
    vain = let_in(hub, node)
    took_s = time.monotonic() - began
    time.sleep(max(0.0, every_s - took_s))
    return took_s, vain


def _read(nodes: Sequence[LoopbackNode], hub: LoopbackNode) -> _Reading:
    with urllib.request.urlopen(f"http://127.0.0.1:{hub.http}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    news = {
        sample.labels["kind"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "arqon_gossip_news_total"
    }
    return _Reading(time.monotonic(), tuple(node.cpu_s() for node in nodes), news)


def _stage(
    members: int, joins: Sequence[tuple[float, int]], before: _Reading, after: _Reading, rested: _Reading
) -> Stage:
    count, took_s, rest_s = len(joins), after.at_s - before.at_s, rested.at_s - after.at_s
    idle = [(b - a) / rest_s for a, b in zip(after.cpu_s, rested.cpu_s, strict=True)]
    busy = [(b - a) / took_s for a, b in zip(before.cpu_s, after.cpu_s, strict=True)]
    above_ms = [(b - i) * took_s * 1_000 / count for i, b in zip(idle, busy, strict=True)]
    there = above_ms[1:members]  # whoever joined in this stage has its own join in it
    return Stage(
        members=(members, members + count),
        join_s_median=statistics.median(took for took, _ in joins),
        join_s_max=max(took for took, _ in joins),
        tries=sum(vain for _, vain in joins),
        hub_ms=above_ms[0],
        spoke_ms=statistics.median(there) if there else 0.0,
        idle_hub=idle[0],
        idle_spoke=statistics.median(idle[1:members]) if there else 0.0,
        statements={
            kind: (value - before.news.get(kind, 0)) / count
            for kind, value in sorted(after.news.items())
            if value > before.news.get(kind, 0)
        },
    )


def _line(stage: Stage) -> str:
    said = "  ".join(f"{kind} {count:.1f}" for kind, count in stage.statements.items())
    return (
        f"{stage.members[0]:3} to {stage.members[1]:3}   join {stage.join_s_median:.2f} s, worst {stage.join_s_max:.2f}"
        f", {stage.tries} again   hub {stage.hub_ms:.0f} ms, spoke {stage.spoke_ms:.1f} ms (idle {stage.idle_hub:.1%},"
        f" {stage.idle_spoke:.1%})   statements {sum(stage.statements.values()):.1f}: {said}"
    )


if __name__ == "__main__":
    main()
