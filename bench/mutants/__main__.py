"""Plant one bug at a time in a copy of the tree, run the tests that should notice, and say which did.

    python -m bench.mutants                 all of them, two at a time
    python -m bench.mutants NAME ...        some
    python -m bench.mutants --list
    python -m bench.mutants --jobs 1 --timeout 3000     on a machine that has little time for it

A mutant is killed when a test fails; it survives when all pass. Exit code 1 when more than one survives, or when the
catalogue does not fit the code. The untouched copy is tested first: a suite that fails anyway kills nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bench.mutants.catalogue import MUTANTS
from bench.mutants.mutant import Mutant, StaleMutant

ROOT: Final = Path(__file__).resolve().parents[2]
COPIED: Final = ("arqonmesh", "cli", "testbed", "tests", "bench", "examples", "pyproject.toml")
TIMEOUT_S: Final = 240
SOUND_SHARE: Final = 4
"""How many times as long all the tests together may take before anything is planted."""
SURVIVORS_MAX: Final = 1
"""19 of 20: a rule may be held by something that no single planted line can break."""


@dataclass(frozen=True, slots=True)
class Verdict:
    name: str
    rule: str
    outcome: str
    """killed, survived or stale."""
    by: str
    """The first test that failed; what is wrong, for a stale one."""
    took_s: float


def copy_of_the_tree(to: Path) -> Path:
    """Sources without caches, so that nothing compiled earlier is run."""
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis", ".pytest_cache", ".mypy_cache")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=ignore)
        elif source.exists():
            shutil.copy2(source, to / name)
    return to


def tested(tree: Path, tests: Sequence[str], timeout_s: int) -> tuple[bool, str]:
    """Whether all pass, and the first that does not. A run that does not end has noticed something too."""
    options = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "bench.mutants.unshrunk", "-o"]
    command = [sys.executable, "-m", "pytest", *options, f"timeout={timeout_s}", *tests]
    try:
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return False, f"no end within {timeout_s} s"
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode and not failures:  # it did not come to the tests
        raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-2_000:]}")
    return done.returncode == 0, failures[0].split(" - ")[0] if failures else ""


def tried(mutant: Mutant, timeout_s: int = TIMEOUT_S) -> Verdict:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="arqon-mutant-") as folder:
        tree = copy_of_the_tree(Path(folder))
        try:
            mutant.plant(tree)
        except StaleMutant as error:
            return Verdict(mutant.name, mutant.rule, "stale", str(error), 0.0)
        passed, by = tested(tree, mutant.tests, timeout_s)
    return Verdict(mutant.name, mutant.rule, "survived" if passed else "killed", by, time.monotonic() - began)


def sound(mutants: Sequence[Mutant], timeout_s: int = TIMEOUT_S) -> str:
    """The first test of all those used that fails without any bug planted; empty when none does."""
    tests = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
    with tempfile.TemporaryDirectory(prefix="arqon-mutant-") as folder:
        return tested(copy_of_the_tree(Path(folder)), tests, timeout_s * SOUND_SHARE)[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.mutants", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="so many at a time (default 2)")
    parser.add_argument(
        "--timeout", type=int, default=TIMEOUT_S, metavar="S", help=f"a run that takes longer is killed ({TIMEOUT_S})"
    )
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        for mutant in MUTANTS:
            print(f"{mutant.name:32} {mutant.rule}")
        return 0
    unknown = sorted(set(arguments.names) - {mutant.name for mutant in MUTANTS})
    if unknown:
        parser.error(f"no such mutant: {', '.join(unknown)}; --list tells what there is")
    chosen = [mutant for mutant in MUTANTS if not arguments.names or mutant.name in arguments.names]
    broken = sound(chosen, arguments.timeout)
    if broken:
        print(f"the tests fail without any bug planted: {broken}", file=sys.stderr)
        return 2
    verdicts: list[Verdict] = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for verdict in pool.map(partial(tried, timeout_s=arguments.timeout), chosen):
            verdicts.append(verdict)
            if not arguments.json:
                print(f"{verdict.outcome:9} {verdict.name:32} {verdict.took_s:5.1f} s  {verdict.by}", flush=True)
    killed = sum(verdict.outcome == "killed" for verdict in verdicts)
    if arguments.json:
        print(json.dumps({"v": 1, "killed": killed, "of": len(verdicts), "verdicts": [asdict(v) for v in verdicts]}))
    else:
        print(f"{killed} of {len(verdicts)} planted bugs killed")
    stale = any(verdict.outcome == "stale" for verdict in verdicts)
    return 1 if stale or len(verdicts) - killed > SURVIVORS_MAX else 0


if __name__ == "__main__":
    sys.exit(main())
