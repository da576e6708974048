"""`python -m arqonmesh.sim`: run one scenario from one seed, or search many seeds for one that breaks a rule."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.checkers import Broken
from arqonmesh.sim.scenarios import SCENARIOS
from arqonmesh.sim.simulation import Simulation


@dataclass(frozen=True, slots=True)
class Result:
    scenario: str
    seed: int
    broken: str
    """Empty when every rule held."""
    trace: str
    events: int
    virtual_s: float
    wall_s: float
    said: int
    heard: int
    dropped: dict[str, int]

    @property
    def replay(self) -> str:
        return f"python -m arqonmesh.sim run --seed {self.seed} --scenario {self.scenario}"


def play(name: str, seed: int) -> tuple[Result, Simulation]:
    """One scenario, one seed. An assertion of a core that fails is a broken rule too, and keeps its traceback."""
    sim = Simulation(seed)
    began, broken = time.perf_counter(), ""
    try:
        SCENARIOS[name].play(sim)
    except Broken as error:
        broken = str(error)
    heard = sum(len(messages) for messages in sim.ledger.heard.values())
    result = Result(
        scenario=name,
        seed=seed,
        broken=broken,
        trace=sim.world.trace.digest(),
        events=sim.world.steps,
        virtual_s=sim.world.now / SECOND,
        wall_s=time.perf_counter() - began,
        said=len(sim.ledger.said),
        heard=heard,
        dropped={f"{where} {reason}": count for (where, reason), count in sorted(sim.dropped.items())},
    )
    return result, sim


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
    failures = 0
    began = time.perf_counter()
    events = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            result, _ = play(arguments.scenario, seed)
        except Exception as error:  # any failure at all is a finding, and the search goes on
            failures += 1
            print(f"{type(error).__name__}: {error}")
            print(f"  replay: python -m arqonmesh.sim run --seed {seed} --scenario {arguments.scenario}")
            continue
        events += result.events
        if result.broken:
            failures += 1
            print(f"{result.broken}\n  replay: {result.replay}", flush=True)
    took = time.perf_counter() - began
    print(
        f"{arguments.seeds} seeds of {arguments.scenario}: {failures} broken, "
        f"{events:,} events in {took:.1f} s ({events / took:,.0f} events/s)"
    )
    return 1 if failures else 0


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
    many.set_defaults(do=explore)
    arguments = parser.parse_args(argv)
    return int(arguments.do(arguments))


if __name__ == "__main__":
    sys.exit(main())
