"""kill -9 one of n nodes: how long until every other node knows? Serf agents in the same run, where it is installed.

    python -m bench.detection --nodes 20 64 --repeats 5
    python -m bench.detection --nodes 8 --repeats 1 --no-serf

Three set-ups per n, one after the other on this machine: `star` (one hub, a spoke is killed), `hubs` (four hubs, each
spoke linked to all; a hub and a spoke are killed by turns), and `serf` (LAN profile, an agent is killed). All are whole
and settled before each kill. Seconds from the kill:

| figure   | meaning                                                                                                  |
|----------|----------------------------------------------------------------------------------------------------------|
| suspect  | the first node that said "suspect" (serf: the first probe that failed)                                    |
| first    | the first node that said "dead" (serf: "failed")                                                          |
| median   | the median of the others                                                                                 |
| last     | the last of them: from here on everybody knows                                                            |
| missing  | others that had not said so after the patience; one makes the run fail                                    |
| false    | nodes that ran and were called dead by anyone meanwhile; one makes the run fail                           |

A node's knowledge is timed by its own log, serf's by the arrival of the agent's log line. Exits non-zero on a failure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from arqonmesh_testbed.loopback import LoopbackNode
from bench.serf_agents import SerfAgents, installed, serf_agents
from bench.standing import Standing, settle, standing_mesh

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Death:
    suspect_s: float
    first_s: float
    median_s: float
    last_s: float
    missing: int
    false: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[20, 64], help="sizes, one after the other")
    parser.add_argument("--repeats", type=int, default=5, help="kills per set-up")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds of quiet before each kill")
    parser.add_argument("--no-serf", action="store_true", help="ours alone")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if min(args.nodes) < 6:
        parser.error(f"--nodes {min(args.nodes)}; it needs to be 6 or more: four hubs and two spokes")
    version = "" if args.no_serf else installed()
    if not version and not args.json:
        print("serf: not installed or not asked for; ours alone")
    found: dict[str, list[Death]] = {}

    def note(setup: str, death: Death) -> None:
        found.setdefault(setup, []).append(death)
        if not args.json:
            print(f"  {setup:10} {death}", flush=True)

    for count in args.nodes:
        for setup, hubs in (("star", 1), ("hubs", 4)):
            with standing_mesh(count, hubs) as standing:
                for turn in range(args.repeats):
                    note(f"{setup} {count}", ours(standing, turn, args.settle))
        if version:
            with serf_agents(count) as agents:
                for turn in range(args.repeats):
                    note(f"serf {count}", serfs(agents, turn, args.settle))
    if args.json:
        rows = {setup: [asdict(death) for death in deaths] for setup, deaths in found.items()}
        print(json.dumps({"v": 1, "serf": version, "repeats": args.repeats, "deaths": rows}))
    else:
        table(found, version)
    failed = any(
        death.missing or death.false for name, deaths in found.items() for death in deaths if "serf" not in name
    )
    sys.exit(1 if failed else 0)


def ours(standing: Standing, turn: int, settle_s: float) -> Death:
    """Kill one, read everyone's log, start it again."""
    settle(settle_s)
    nodes, hubs = standing.nodes, standing.hubs
    spokes = nodes[hubs:]
    kill_a_hub = hubs > 1 and turn % 2 == 0
    victim = nodes[1 + turn % (hubs - 1)] if kill_a_hub else spokes[turn * 7 % len(spokes)]
    standing.logs.news()
    at_s = time.time()
    victim.kill()
    said: dict[str, float] = {}
    suspected: list[float] = []
    false = 0

    def read() -> bool:
        nonlocal false
        for line in standing.logs.news():
            if line.is_member and line.state in ("suspect", "dead") and line.node != victim.name:
                if line.about != standing.ids[victim.name]:
                    false += line.state == "dead"
                elif line.state == "dead":
                    said.setdefault(line.node, line.at_s - at_s)
                else:
                    suspected.append(line.at_s - at_s)
        return len(said) == len(nodes) - 1

    death = watched(read, said, suspected, len(nodes) - 1, lambda: false)
    standing.start_again(_stopped(victim))
    return death


def serfs(agents: SerfAgents, turn: int, settle_s: float) -> Death:
    """The same with a serf agent, which is replaced by a new one of the same name."""
    settle(settle_s)
    names = list(agents.agents)
    victim = names[1 + turn * 7 % (len(names) - 1)]
    address = agents.agents[victim].address
    offset, at_s = len(agents.said), time.time()
    agents.kill(victim)
    said: dict[str, float] = {}
    suspected: list[float] = []
    false = 0

    def read() -> bool:
        nonlocal offset, false
        news = agents.said[offset:]
        offset += len(news)
        for line in news:
            if line.what == "failed" and line.about != victim:
                false += 1
            elif line.what == "failed":
                said.setdefault(line.agent, line.at_s - at_s)
            elif line.what == "suspect" and line.about == victim:
                suspected.append(line.at_s - at_s)
        return len(said) == len(names) - 1

    death = watched(read, said, suspected, len(names) - 1, lambda: false)
    agents.add(victim, address)
    settle(2.0)
    return death


def watched(
    read: Callable[[], bool], said: dict[str, float], suspected: list[float], others: int, false: Callable[[], int]
) -> Death:
    """Read until everyone has said so, or patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while not read() and time.monotonic() < deadline:
        time.sleep(0.1)
    times = sorted(said.values()) or [PATIENCE_S]
    return Death(
        suspect_s=round(min(suspected, default=times[0]), 3),
        first_s=round(times[0], 3),
        median_s=round(statistics.median(times), 3),
        last_s=round(times[-1], 3),
        missing=others - len(said),
        false=false(),
    )


def table(found: dict[str, list[Death]], version: str) -> None:
    print(f"\nseconds from kill -9, min..max over the kills{f'; beside {version}' if version else ''}")
    print(f"{'set-up':12}{'kills':>6}{'suspect':>14}{'first':>14}{'median':>14}{'last':>14}{'missing':>9}{'false':>7}")
    for setup, deaths in found.items():
        cells = "".join(
            f"{min(values):6.2f}..{max(values):<6.2f}"
            for values in (
                [death.suspect_s for death in deaths],
                [death.first_s for death in deaths],
                [death.median_s for death in deaths],
                [death.last_s for death in deaths],
            )
        )
        missing, false = sum(death.missing for death in deaths), sum(death.false for death in deaths)
        print(f"{setup:12}{len(deaths):6}{cells}{missing:9}{false:7}")


def _stopped(node: LoopbackNode) -> LoopbackNode:
    (node.data_dir / "node.pid").unlink(missing_ok=True)
    return node


if __name__ == "__main__":
    main()
