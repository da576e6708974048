"""`python -m arqonmesh.sim`: run one scenario from one seed, or search many seeds for one that breaks a rule."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.play import Tried, attempts, play, replay
from arqonmesh.sim.progress import Progress
from arqonmesh.sim.scenarios import SCENARIOS


def run(arguments: argparse.Namespace) -> int:
    result, sim = play(arguments.scenario, arguments.seed)
    if arguments.json:
        print(json.dumps({"v": 1, "ok": not result.broken, "data": asdict(result)}))
        return 1 if result.broken else 0
    if not arguments.quiet:
        for at_us, who, what in sim.world.trace.story:
            print(f"{at_us / SECOND:9.3f}  {who:<9} {what}")
        if sim.world.trace.untold:
            print(f"... and {sim.world.trace.untold} lines more")
        print()
    print(f"scenario  {result.scenario}, seed {result.seed}: {SCENARIOS[result.scenario].summary}")
    print(f"messages  {result.said} said, {result.heard} heard")
    print(f"dropped   {', '.join(f'{reason}: {count}' for reason, count in result.dropped.items()) or 'nothing'}")
    speed = result.events / result.wall_s
    print(f"time      {result.virtual_s:.1f} s of the mesh in {result.wall_s:.1f} s, {speed:,.0f} events/s")
    print(f"trace     {result.trace}")
    print(f"outcome   {'BROKEN: ' + result.broken if result.broken else 'every rule held'}")
    if result.broken:
        print(f"replay    {result.replay}")
    return 1 if result.broken else 0


def explore(arguments: argparse.Namespace) -> int:
    began = time.perf_counter()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    progress = Progress(len(seeds), "seeds")
    failed: list[Tried] = []
    events = 0
    for done, tried in enumerate(attempts(arguments.scenario, seeds, arguments.jobs), start=1):
        events += tried.events
        if tried.failure:
            failed.append(tried)
            if not arguments.json:
                progress.clear()
                print(f"{tried.failure}\n  replay: {replay(arguments.scenario, tried.seed)}", flush=True)
        progress.show(done, f"{len(failed)} broken")
    progress.clear()
    took = time.perf_counter() - began
    if arguments.json:
        data = {
            "scenario": arguments.scenario,
            "first": arguments.first,
            "seeds": arguments.seeds,
            "broken": [
                {"seed": tried.seed, "failure": tried.failure, "replay": replay(arguments.scenario, tried.seed)}
                for tried in failed
            ],
            "events": events,
            "wall_s": took,
        }
        print(json.dumps({"v": 1, "ok": not failed, "data": data}))
    else:
        print(
            f"{arguments.seeds} seeds of {arguments.scenario}: {len(failed)} broken, "
            f"{events:,} events in {took:.1f} s ({events / took:,.0f} events/s)"
        )
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m arqonmesh.sim",
        description="The cores of real nodes on a simulated network, clock and disk; one seed replays the world.",
        epilog="scenarios: " + "; ".join(f"{s.name}: {s.summary}" for s in SCENARIOS.values()),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="run one scenario from one seed and tell the story")
    one.add_argument("--seed", type=int, default=42)
    one.add_argument("--scenario", choices=SCENARIOS, default="partition")
    one.add_argument("--quiet", action="store_true", help="the result without the story")
    one.add_argument("--json", action="store_true", help="the result as one JSON document")
    one.set_defaults(do=run)
    many = commands.add_parser("explore", help="try many seeds; each failure prints the line that replays it")
    many.add_argument("--seeds", type=int, default=50)
    many.add_argument("--first", type=int, default=1)
    many.add_argument("--scenario", choices=SCENARIOS, default="chaos")
    many.add_argument("--jobs", type=int, default=1, metavar="N", help="share the seeds among N processes")
    many.add_argument("--json", action="store_true", help="the result as one JSON document")
    many.set_defaults(do=explore)
    arguments = parser.parse_args(argv)
    return int(arguments.do(arguments))


if __name__ == "__main__":
    sys.exit(main())
