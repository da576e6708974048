"""Every adversary of the library against an honest mesh, with the defence and without.

    python -m bench.byzantine                               # seeds 1 to 3; about two minutes
    python -m bench.byzantine --seeds 20 --only slanderer framer
    python -m bench.byzantine --json

f = ceil(n/3) - 1 of n nodes are the adversary: 2 of 7 whole nodes (real codec, disks, lanes; one honest node loses
power meanwhile), or 3 of 10 and 33 of 100 nodes with the core in question; the pretenders are 2 of 40, for their
question is how few are believed. "on" counts the seeds in which everything
held: honest nodes agree, hear everything from each other once, blame and convict nobody honest, ignore at most f on
observations. Below it, what broke with that one defence taken away. "contained" is how long the slowest adversary took
to fall below one half with everyone whom it harms; "-": what it does does no harm, and is not held against it.

Exit code 1 when a defence did not hold with any seed, or a trial did not break without its defence.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from arqonmesh.sim.adversaries import TRIALS, face
from arqonmesh.sim.adversaries.outcome import Outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="byzantine.py", description=__doc__, formatter_class=_Raw)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[], help="names of adversaries")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seeds = range(1, arguments.seeds + 1)
    rows: list[dict[str, object]] = []
    failed = False
    known: dict[str, list[Outcome]] = {}
    if not arguments.json:
        head = f"{'adversary':22} {'f of n':>9} {'on':>7} {'contained':>10} {'score':>6}"
        print(f"{head}  defence; below: what happens without it")
    for trial in TRIALS:
        if arguments.only and trial.adversary not in arguments.only:
            continue
        began = time.perf_counter()
        if trial.adversary not in known:
            known[trial.adversary] = [face(trial, seed) for seed in seeds]
        defended = known[trial.adversary]
        bare = face(trial, trial.seed, defended=False)
        held = sum(not outcome.broken for outcome in defended)
        times = [outcome.contained_s for outcome in defended if outcome.contained_s is not None]
        row = {
            "adversary": trial.adversary,
            "defence": trial.defence,
            "nodes": trial.nodes,
            "faulty": trial.faulty,
            "held": held,
            "seeds": len(seeds),
            "broken": [f"seed {seed}: {o.broken}" for seed, o in zip(seeds, defended, strict=True) if o.broken],
            "contained_s_max": max(times, default=None),
            "score_max": max(outcome.score for outcome in defended),
            "off": bare.broken,
            "wall_s": round(time.perf_counter() - began, 2),
        }
        rows.append(row)
        failed |= held < len(seeds) or not bare.broken
        if not arguments.json:
            _show(row)
    if arguments.json:
        print(json.dumps({"v": 1, "ok": not failed, "data": rows}))
    return int(failed)


def _show(row: dict[str, object]) -> None:
    contained = "-" if row["contained_s_max"] is None else f"{row['contained_s_max']} s"
    share, on = f"{row['faulty']} of {row['nodes']}", f"{row['held']}/{row['seeds']}"
    score = "-" if row["contained_s_max"] is None else f"{row['score_max']:.2f}"
    print(f"{row['adversary']:22} {share:>9} {on:>7} {contained:>10} {score:>6}  {row['defence']}", flush=True)
    print(f"{'':59} {row['off'] or 'HELD ALL THE SAME'}")
    broken = row["broken"]
    assert isinstance(broken, list)
    for sentence in broken:
        print(f"{'':30} BROKEN {sentence}")


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


if __name__ == "__main__":
    sys.exit(main())
