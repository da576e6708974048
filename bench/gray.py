"""Gray failure among real processes: a quarter of the nodes stop and go. Who is called dead that never stopped?

    python -m bench.gray --nodes 64                           # 16 stop 8 s, run 64 ms, for 120 s; then serf the same
    python -m bench.gray --nodes 16 --stopped 4 --seconds 40 --no-serf

SIGSTOP and SIGCONT to `--stopped` nodes at the same time, again and again, as in Lifeguard's interval experiment. Of
our mesh one hub in four is among the stopped; the nodes' own logs say whom they hold dead.

| figure        | meaning                                                                                          |
|---------------|--------------------------------------------------------------------------------------------------|
| FP            | "dead" (serf: "failed") about a node that never stopped, said by anyone                           |
| FP-           | the same, said by a node that never stopped either: the one that counts                           |
| about stopped | "dead" about a stopped node: it was unreachable, and that is no mistake                           |
| alive_after_s | from the last SIGCONT until the last node saw the last stopped one alive again; -1: not in a minute |

Exits non-zero when our FP- is above 3, or our mesh was not whole again after a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from arqonmesh_testbed.loopback import until
from bench.idle_nodes import look_every_s, whole
from bench.serf_agents import installed, serf_agents
from bench.standing import Standing, settle, standing_mesh

HUBS = 4
FALSE_MAX = 3
RECOVERY_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--stopped", type=int, default=0, help="how many stop; a quarter when not said")
    parser.add_argument("--stop-s", type=float, default=8.0)
    parser.add_argument("--run-s", type=float, default=0.064)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--settle", type=float, default=10.0)
    parser.add_argument("--no-serf", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.nodes < 2 * HUBS:
        parser.error(f"--nodes {args.nodes}; it needs to be {2 * HUBS} or more")
    stopped = args.stopped or args.nodes // 4
    version = "" if args.no_serf else installed()
    rows = {"ours": ours(args, stopped)}
    if version:
        rows[version] = serfs(args, stopped)
    if args.json:
        print(json.dumps({"v": 1, "nodes": args.nodes, "stopped": stopped, "rows": rows}))
    else:
        print(
            f"{stopped} of {args.nodes} nodes stopped {args.stop_s} s, released {args.run_s} s, for {args.seconds:g} s"
        )
        for name, row in rows.items():
            print(f"{name:16} " + "  ".join(f"{key} {value}" for key, value in row.items()))
        if not version:
            print("serf: not installed or not asked for")
    sys.exit(0 if rows["ours"]["FP-"] <= FALSE_MAX and rows["ours"]["alive_after_s"] >= 0 else 1)


def stop_and_go(args: argparse.Namespace, send: Callable[[signal.Signals], None]) -> None:
    """Always ends with everybody running, also when it is interrupted."""
    until_s = time.monotonic() + args.seconds
    try:
        while time.monotonic() < until_s:
            send(signal.SIGSTOP)
            time.sleep(args.stop_s)
            send(signal.SIGCONT)
            time.sleep(args.run_s)
    finally:
        send(signal.SIGCONT)


def ours(args: argparse.Namespace, count: int) -> dict[str, Any]:
    with standing_mesh(args.nodes, HUBS) as standing:
        settle(args.settle)
        return frozen(standing, args, count)


def frozen(standing: Standing, args: argparse.Namespace, count: int) -> dict[str, Any]:
    """Stop and go on a mesh that stands, a hub among the stopped where there are several; it is whole again at the end,
    or `alive_after_s` is -1."""
    hubs = standing.nodes[1:2] if standing.hubs > 1 else []
    chosen = [*hubs, *standing.nodes[standing.hubs : standing.hubs + count - len(hubs)]]
    names = {standing.ids[node.name]: None for node in chosen}
    standing.logs.news()

    def send(number: signal.Signals) -> None:
        for node in chosen:
            os.kill(node.pid, number)

    stop_and_go(args, send)
    ended = time.time()
    alive_after_s = 0.0
    try:
        until("a whole mesh", lambda: whole(standing.nodes), RECOVERY_S, every_s=look_every_s(standing.nodes))
    except TimeoutError:
        alive_after_s = -1.0
    told = [line for line in standing.logs.news() if line.is_member]
    dead = [line for line in told if line.state == "dead"]
    if alive_after_s == 0.0:
        alive = [line.at_s - ended for line in told if line.state == "alive"]
        alive_after_s = round(max([0.0, *alive]), 1)
    false = [line for line in dead if line.about not in names]
    return {
        "FP": len(false),
        "FP-": sum(standing.ids[line.node] not in names for line in false),
        "about_stopped": len(dead) - len(false),
        "alive_after_s": alive_after_s,
    }


def serfs(args: argparse.Namespace, count: int) -> dict[str, Any]:
    with serf_agents(args.nodes) as agents:
        chosen = dict.fromkeys(list(agents.agents)[1 : 1 + count])
        settle(args.settle)
        offset = len(agents.said)

        def send(number: signal.Signals) -> None:
            for name in chosen:
                agents.signal(name, number)

        stop_and_go(args, send)
        ended = time.monotonic()
        try:
            until("all serf agents seeing each other", agents.is_whole, RECOVERY_S, every_s=0.5)
            alive_after_s = round(time.monotonic() - ended, 1)
        except TimeoutError:
            alive_after_s = -1.0
        dead = [said for said in agents.said[offset:] if said.what == "failed"]
        false = [said for said in dead if said.about not in chosen]
        return {
            "FP": len(false),
            "FP-": sum(said.agent not in chosen for said in false),
            "about_stopped": len(dead) - len(false),
            "alive_after_s": alive_after_s,
        }


if __name__ == "__main__":
    main()
