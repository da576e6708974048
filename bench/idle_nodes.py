"""Many idle nodes on one machine, a process each: is anyone wrongly taken for dead, and what does idling cost?

    python -m bench.idle_nodes                            # 32 nodes, 10 minutes: the long run
    python -m bench.idle_nodes --nodes 8 --minutes 1 --hubs 2

One or more hubs, the rest spokes, each node a cluster of its own. Nothing is published; heartbeats, probes and gossip
are all there is. What the members say of each other is read from every node's log.

| figure         | meaning                                                                                    |
|----------------|--------------------------------------------------------------------------------------------|
| false deaths   | "dead" said by any node of any other while all run; one is a failure of the run            |
| suspicions     | "suspect" said by any node, each of them refuted unless it ended in a death                |
| cpu_s_per_min  | CPU seconds per node and minute, from /proc/PID/stat                                       |
| machine idle   | the machine's idle share, from /proc/stat: some virtual machines count too little per process |
| rss_mib        | resident memory per node; libraries are shared between them, so the sum is less            |

Exits non-zero when there was a false death, or the mesh was not whole at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arqonmesh_cli.detach import start_detached
from arqonmesh_cli.retrying import PASSING_JOIN
from arqonmesh_cli.where import place_of
from arqonmesh_testbed.loopback import CommandFailed, LoopbackMesh, LoopbackNode, loopback_mesh, until
from bench import inline

START_PATIENCE_S = 120.0
WHOLE_PATIENCE_S = 300.0
LOOKS_PER_S = 4
"""So many nodes are asked for their status in a second: on a small machine the asking is a load of its own."""
LOOK_EVERY_S = 10.0
STATUS_TIMEOUT_S = 20.0
LET_IN_TRIES_MAX = 12
PASSING = PASSING_JOIN | {"mesh.read-only", "api.deadline"}
"""A mesh that grows on a starved machine has no quorum in reach for moments, and answers late."""


@dataclass(slots=True)
class Log:
    """A node's log, read from where the last reading ended."""

    path: Path
    offset: int = 0

    def news(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.offset += len(line)
                if line.startswith(b"{"):
                    yield json.loads(line)


class Watch:
    """Counts what the nodes say of each other."""

    def __init__(self, nodes: Sequence[LoopbackNode]) -> None:
        self._logs = {node.name: Log(node.data_dir / "node.log") for node in nodes}
        self.counts: Counter[str] = Counter()
        self.deaths: list[str] = []

    def look(self) -> None:
        for name, log in self._logs.items():
            for entry in log.news():
                kind, state = entry.get("kind"), str(entry.get("state", ""))
                if kind == "member" and state in ("suspect", "dead"):
                    self.counts[state] += 1
                    if state == "dead":
                        self.deaths.append(f"{entry['at']} {name}: {entry['event']}")
                elif kind == "link" and state == "down":
                    self.counts["links down"] += 1
                elif kind == "partition" and state != "healthy":
                    self.counts["not healthy"] += 1

    def start_over(self) -> Counter[str]:
        """What has been counted so far, which is counted no more."""
        self.look()
        before, self.counts, self.deaths = self.counts, Counter(), []
        return before


@dataclass(frozen=True, slots=True)
class Load:
    """The machine and its nodes at one moment."""

    at_s: float
    idle: int
    total: int
    cpu_s: dict[str, float]

    @classmethod
    def now(cls, nodes: Sequence[LoopbackNode]) -> Load:
        ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return cls(time.monotonic(), ticks[3] + ticks[4], sum(ticks), {node.name: node.cpu_s() for node in nodes})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=32, help="how many nodes in all")
    parser.add_argument("--hubs", type=int, default=1, help="how many of them are hubs")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long they idle")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 2, help="how many are started at a time")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not 0 < args.hubs <= args.nodes:
        parser.error(f"--hubs {args.hubs} of --nodes {args.nodes}; it needs to be 1 to {args.nodes}")
    with loopback_mesh(command=inline.arqon) as mesh:
        result = run(mesh, args.nodes, args.hubs, args.minutes * 60, args.at_once, quiet=args.json)
    if args.json:
        print(json.dumps({"v": 1, **result}))
    else:
        for name, value in result.items():
            shown = "  ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            print(f"{name:15} {shown}")
    sys.exit(0 if not result["false_deaths"] and result["whole_at_end"] else 1)


def run(mesh: LoopbackMesh, count: int, hubs: int, seconds: float, at_once: int, *, quiet: bool) -> dict[str, Any]:
    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    nodes = [mesh.make(f"n{n:02}", "hub" if n < hubs else "spoke") for n in range(count)]
    starts_s = start_all(nodes, at_once)
    cpu_at_start = [node.cpu_s() for node in nodes]
    say(f"{count} nodes started, {statistics.median(starts_s):.2f} s each, {at_once} at a time")
    began = time.monotonic()
    first = nodes[0]
    first("mesh", "seed", "idle")
    for node in nodes[1:]:
        let_in(first, node)
    until(
        "a whole mesh", lambda: whole(nodes), WHOLE_PATIENCE_S, every_s=look_every_s(nodes)
    )  # asking all of them costs half a core second
    whole_s = time.monotonic() - began
    watch = Watch(nodes)
    at_first = watch.start_over()
    say(f"whole after {whole_s:.1f} s; idling for {seconds:.0f} s")
    idle = idling(nodes, hubs, seconds, watch)
    for death in watch.deaths:
        say(f"false death: {death}")
    start = {
        "wall_s": spread(starts_s, 2),
        "cpu_s": spread(cpu_at_start, 2),
        "whole_after_s": round(whole_s, 1),
        "suspicions": at_first["suspect"],
    }
    return {"nodes": idle.pop("nodes"), "start": start, **idle}


def idling(nodes: Sequence[LoopbackNode], hubs: int, seconds: float, watch: Watch) -> dict[str, Any]:
    """What the nodes of a standing mesh say of each other in `seconds`, and what that costs them."""
    before = Load.now(nodes)
    while (left_s := before.at_s + seconds - time.monotonic()) > 0:
        time.sleep(min(LOOK_EVERY_S, left_s))
        watch.look()
    after = Load.now(nodes)
    watch.look()
    minutes = (after.at_s - before.at_s) / 60
    cpu = {name: (after.cpu_s[name] - before.cpu_s[name]) / minutes for name in before.cpu_s}
    spokes = [cpu[node.name] for node in nodes[hubs:]]
    rss = [node.rss_mib() for node in nodes]
    return {
        "nodes": {"total": len(nodes), "hubs": hubs, "minutes": round(minutes, 2), "cores": os.cpu_count()},
        "false_deaths": watch.counts["dead"],
        "suspicions": watch.counts["suspect"],
        "links_down": watch.counts["links down"],
        "not_healthy": watch.counts["not healthy"],
        "whole_at_end": whole(nodes),
        "cpu_s_per_min": {
            "hub": spread([cpu[node.name] for node in nodes[:hubs]], 2),
            "spoke": spread(spokes, 2) if spokes else "-",
        },
        "machine_idle": f"{(after.idle - before.idle) / max(1, after.total - before.total):.1%}",
        "rss_mib": {"hub": spread(rss[:hubs], 0), "spoke": spread(rss[hubs:], 0) if rss[hubs:] else "-"},
    }


def start_all(nodes: Sequence[LoopbackNode], at_once: int) -> list[float]:
    """Start the processes, a few at a time; seconds until each was ready."""

    def start(node: LoopbackNode) -> float:
        began = time.monotonic()
        node.pid = start_detached(place_of(node.data_dir, None), START_PATIENCE_S)
        return time.monotonic() - began

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(start, nodes))


def let_in(hub: LoopbackNode, node: LoopbackNode) -> int:
    """Ask the hub for a ticket and join with it; how many tries were in vain. The command itself asks a busy member
    again; what it gives up on is begun anew, as people would, a bounded number of times."""
    for vain in range(LET_IN_TRIES_MAX):
        try:
            ticket = hub("invite", "new", "--cluster", node.name, "--role", node.role)["ticket"]
            node("mesh", "join", ticket)
        except CommandFailed as failed:
            code = failed.error.get("code")
            if code == "mesh.already":  # the answer to the try before was lost on its way to us
                return vain
            if code not in PASSING or vain == LET_IN_TRIES_MAX - 1:
                raise
            time.sleep(1.0 + vain)
            continue
        return vain
    raise AssertionError("the last try returns or raises")


def look_every_s(nodes: Sequence[LoopbackNode]) -> float:
    """How often to ask whether a mesh of these is whole."""
    return max(2.0, len(nodes) / LOOKS_PER_S)


def whole(nodes: Sequence[LoopbackNode]) -> bool:
    """Everyone sees everyone alive, and all have the same records. Asked over HTTP, which costs a node little."""
    roots = set()
    for node in nodes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{node.http}/status", timeout=STATUS_TIMEOUT_S) as answer:
                mesh = json.load(answer)["mesh"]
        except OSError:  # a starved node: not whole yet
            return False
        if len(mesh["nodes"]) != len(nodes) or any(other["state"] != "alive" for other in mesh["nodes"]):
            return False
        roots.add((mesh["mesh"]["root"], mesh["mesh"]["health"]))
    return len(roots) == 1 and roots.pop()[1] == "healthy"


def spread(values: Sequence[float], digits: int) -> str:
    """min/median/max."""
    found = (min(values), statistics.median(values), max(values))
    return "/".join(f"{value:.{digits}f}" for value in found)


if __name__ == "__main__":
    main()
