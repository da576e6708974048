"""`python -m arqonmesh.sim`: run one scenario from one seed, or search many seeds for one that breaks a rule."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

import msgspec

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim import exploring
from arqonmesh.sim.exploring import Explored, Failure
from arqonmesh.sim.play import play
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
    def failed(failure: Failure) -> None:
        if not arguments.json:
            print(f"{failure.failure}\n  replay: {failure.replay}", flush=True)

    explored = exploring.explore(arguments.scenario, arguments.first, arguments.seeds, arguments.jobs, failed=failed)
    if arguments.json:
        print(json.dumps({"v": 1, "ok": not explored.broken, "data": msgspec.to_builtins(explored)}))
    else:
        print(summary(explored))
    return 1 if explored.broken else 0


def summary(explored: Explored) -> str:
    return (
        f"{explored.seeds} seeds of {explored.scenario}: {len(explored.broken)} broken, {explored.events:,} events "
        f"in {explored.wall_s:.1f} s ({explored.events / explored.wall_s:,.0f} events/s)"
    )


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
