"""One event to every node of a standing mesh: how long from the first node that knows to the last?

    python -m bench.events --nodes 64 --repeats 5
    python -m bench.events --nodes 12 --repeats 2 --no-serf

Ours: `arqon mesh event` at the founder, and every node's log says when it heard that (signed, verified by each). Serf:
`serf event`, which is not signed; each agent's log line is stamped as it arrives here. And a harder one of ours: the
founder admits a new node, a signed statement that is on its disk before it leaves, while that node is shaking hands and
its links and states are news as well. Milliseconds from the first node that knows:

| figure | meaning                                          |
|--------|--------------------------------------------------|
| half   | until half of the nodes know                     |
| last   | until all know, those that never heard apart     |
| missed | nodes that had not heard of it after ten seconds |

Exits non-zero when a node of ours missed one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from arqonmesh_testbed.loopback import LoopbackNode
from bench.idle_nodes import start_all
from bench.serf_agents import SerfAgents, installed, serf_agents
from bench.standing import Standing, settle, standing_mesh

PATIENCE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--hubs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--settle", type=float, default=10.0)
    parser.add_argument("--no-serf", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    version = "" if args.no_serf else installed()
    rows: dict[str, list[dict[str, Any]]] = {"event": [], "admission": []}
    with standing_mesh(args.nodes, args.hubs) as standing:
        settle(args.settle)
        for turn in range(args.repeats):
            rows["event"].append(sent(standing, f"event-{turn}"))
            settle(3.0)
        spare = [standing.mesh.make(f"x{turn}", "spoke") for turn in range(args.repeats)]
        start_all(spare, 2)
        settle(args.settle)
        for turn in range(args.repeats):
            rows["admission"].append(admitted(standing, spare[turn]))
            settle(3.0)
    if version:
        rows[version] = []
        with serf_agents(args.nodes) as agents:
            settle(args.settle)
            for turn in range(args.repeats):
                rows[version].append(announced(agents, f"event-{turn}"))
                settle(3.0)
    if args.json:
        print(json.dumps({"v": 1, "nodes": args.nodes, "rows": rows}))
    else:
        for name, events in rows.items():
            half, last = [event["half_ms"] for event in events], [event["last_ms"] for event in events]
            missed = sum(event["missed"] for event in events)
            print(
                f"{name:16} {len(events)} times to {args.nodes} nodes: half {min(half):.0f}..{max(half):.0f} ms  "
                f"last {min(last):.0f}..{max(last):.0f} ms  missed {missed}"
            )
        if not version:
            print("serf: not installed or not asked for")
    sys.exit(1 if any(event["missed"] for name in ("event", "admission") for event in rows[name]) else 0)


def sent(standing: Standing, name: str) -> dict[str, Any]:
    """`arqon mesh event NAME` at the first node, which counts among those that know."""
    standing.logs.news()
    standing.nodes[0]("mesh", "event", name)
    heard: dict[str, float] = {}

    def read() -> None:
        for line in standing.logs.news():
            if line.fields.get("kind") == "event" and line.fields.get("name") == name:
                heard.setdefault(line.node, line.at_s)

    return spread(read, heard, len(standing.nodes))


def admitted(standing: Standing, newcomer: LoopbackNode) -> dict[str, Any]:
    first = standing.nodes[0]
    ticket = first("invite", "new", "--cluster", newcomer.name, "--role", "spoke")["ticket"]
    settle(1.0)
    standing.logs.news()
    newcomer("mesh", "join", ticket)
    heard: dict[str, float] = {}

    def read() -> None:
        for line in standing.logs.news():
            if line.fields.get("kind") == "mesh" and str(line.fields.get("event", "")).startswith(newcomer.name):
                heard.setdefault(line.node, line.at_s)

    return spread(read, heard, len(standing.nodes))


def announced(agents: SerfAgents, name: str) -> dict[str, Any]:
    offset = len(agents.said)
    agents.event(name)
    heard: dict[str, float] = {}

    def read() -> None:
        for said in agents.said[offset:]:
            if said.what == "event" and said.about == name:
                heard.setdefault(said.agent, said.at_s)

    return spread(read, heard, len(agents.agents))


def spread(read: Callable[[], None], heard: dict[str, float], count: int) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while len(heard) < count and time.monotonic() < deadline:
        time.sleep(0.1)
        read()
    times = sorted(heard.values()) or [0.0]
    return {
        "half_ms": round((times[len(times) // 2] - times[0]) * 1_000, 1),
        "last_ms": round((times[-1] - times[0]) * 1_000, 1),
        "missed": count - len(heard),
    }


if __name__ == "__main__":
    main()
