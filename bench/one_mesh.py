"""Every row of real nodes on one mesh: joined once, then idle, killed, frozen, told of events.

    python -m bench.one_mesh                                          # 64 nodes, 4 hubs, an idle hour, serf beside
    python -m bench.one_mesh --nodes 12 --minutes 1 --repeats 1 --no-serf

Joining 64 processes keeps two cores busy for minutes, so the rows share a mesh where `bench.idle_nodes`,
`bench.events`, `bench.detection` and `bench.gray` would build one each; their figures mean here what they mean there.
Each row is printed as it is read. `--minutes 0` leaves out the idling, `--seconds 0` the freezing.

Exits non-zero when a running node was called dead while idling or during a kill, an event was missed, more than 3 false
deaths were raised during the freezing, or the mesh was not whole after it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from typing import Any

from bench import detection, events, gray
from bench.idle_nodes import Watch, idling, start_all, whole
from bench.serf_agents import installed, serf_agents
from bench.standing import Standing, settle, standing_mesh

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--hubs", type=int, default=gray.HUBS, help="1: a star")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long they idle")
    parser.add_argument("--repeats", type=int, default=5, help="kills, events, and admissions")
    parser.add_argument("--settle", type=float, default=25.0, help="seconds of quiet before each row and each kill")
    parser.add_argument("--stop-s", type=float, default=8.0)
    parser.add_argument("--run-s", type=float, default=0.064)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long a quarter of them stop and go")
    parser.add_argument("--no-serf", action="store_true")
    args = parser.parse_args()
    if args.nodes < 2 * gray.HUBS:
        parser.error(f"--nodes {args.nodes}; it needs to be {2 * gray.HUBS} or more")
    if not 0 < args.hubs <= args.nodes // 2:
        parser.error(f"--hubs {args.hubs} of --nodes {args.nodes}; it needs to be 1 to {args.nodes // 2}")
    began = time.monotonic()
    with standing_mesh(args.nodes, args.hubs) as standing:
        say("whole", {"nodes": args.nodes, "hubs": args.hubs, "after_s": round(time.monotonic() - began, 1)})
        failed = not all(ours(standing, args))
    if not args.no_serf and (version := installed()):
        serfs(version, args)
    sys.exit(failed)


def say(name: str, row: Row) -> None:
    print(json.dumps({"row": name, **row}), flush=True)


def ours(standing: Standing, args: argparse.Namespace) -> list[bool]:
    """Whether each row is without a failure."""
    settle(args.settle)
    passed = []
    if args.minutes:
        watch = Watch(standing.nodes)
        watch.start_over()
        row = idling(standing.nodes, standing.hubs, args.minutes * 60, watch)
        for death in watch.deaths:
            say("false death", {"said": death})
        say("idle", row)
        passed.append(not row["false_deaths"] and bool(row["whole_at_end"]))
    for turn in range(args.repeats):
        try:
            row = asdict(detection.ours(standing, turn, args.settle))
        except TimeoutError as problem:  # not whole for minutes: the other rows still say something
            row = {"missing": 0, "false": -1, "problem": str(problem)}
        say("kill", row)
        passed.append(not row["missing"] and not row["false"])
    if args.seconds:
        settle(args.settle)
        row = gray.frozen(standing, args, args.nodes // 4)
        say("freeze", row)
        passed.append(row["FP-"] <= gray.FALSE_MAX and row["alive_after_s"] >= 0)
    passed.append(whole(standing.nodes))
    for turn in range(args.repeats):
        row = events.sent(standing, f"event-{turn}")
        say("event", row)
        passed.append(not row["missed"])
        settle(3.0)
    spare = [standing.mesh.make(f"x{turn}", "spoke") for turn in range(args.repeats)]
    start_all(spare, 2)
    settle(args.settle)
    for newcomer in spare:
        row = events.admitted(standing, newcomer)
        say("admission", row)
        passed.append(not row["missed"])
        settle(3.0)
    return passed


def serfs(version: str, args: argparse.Namespace) -> None:
    """The same of serf, for comparison: nothing of it fails the run."""
    with serf_agents(args.nodes) as agents:
        settle(args.settle)
        for turn in range(args.repeats):
            say(f"{version} event", events.announced(agents, f"event-{turn}"))
            settle(3.0)
        for turn in range(args.repeats):
            say(f"{version} kill", asdict(detection.serfs(agents, turn, args.settle)))
    if args.seconds:
        say(f"{version} freeze", gray.serfs(args, args.nodes // 4))


if __name__ == "__main__":
    main()
