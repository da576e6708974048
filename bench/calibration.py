"""The simulator held against the lab: one scenario file, played by real processes in namespaces and in virtual time.

    python -m bench.calibration [--times 12] [--seeds 5] [--json]      # needs root

Per measure the p50 of both and their ratio, the larger over the smaller; 1.5 is the most that may be. One run of the
lab against several seeds of the simulator. What is compared: how soon both ends notice a silent cut, how soon their
link is back after it heals, how soon all nodes' records are equal then, and how long a message takes from a client of
one spoke to clients of the hub and of another spoke (held ones too, so that the p50 is of all that was said).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from arqonmesh_testbed import lab, namespaces, scenario
from arqonmesh_testbed.ledger import percentile
from arqonmesh_testbed.simulated import Simulated

SCENARIO: Final = "calibration"
RATIO_MAX: Final = 1.5


def shortened(script: scenario.Scenario, times: int) -> scenario.Scenario:
    """The scenario with its repetitions cut down (or up) to `times`."""
    steps = tuple(
        step if step.repeat is None else scenario.Step(repeat=msgspec.structs.replace(step.repeat, times=times))
        for step in script.steps
    )
    return msgspec.structs.replace(script, steps=steps)


def in_simulator(script: scenario.Scenario, topology: Any, seeds: int) -> dict[str, float]:
    """p50 of every measure and of every stream, over all seeds together."""
    measures: dict[str, list[float]] = {}
    for seed in range(1, seeds + 1):
        played = Simulated(topology, seed)
        report = played.run(script)
        for name, values in played.measures.items():
            measures.setdefault(name, []).extend(values)
        for row in report["traffic"]:
            measures.setdefault(_stream(row), []).append(row["p50_ms"])
    return {name: percentile(values, 0.5) for name, values in measures.items()}


def in_lab(script: scenario.Scenario) -> dict[str, float]:
    """The same of one lab. Raises ArqonError where none can be built, RuntimeError when a step did not hold."""
    with tempfile.TemporaryDirectory() as folder, _lab_of_its_own(folder):
        path = Path(folder) / f"{SCENARIO}.yaml"
        path.write_bytes(msgspec.yaml.encode(script))
        report = lab.run(str(path))
    if not report["ok"]:
        raise RuntimeError(f"the lab's run did not hold: {[step for step in report['steps'] if not step['ok']]}")
    measured = {row["measure"]: float(row["p50"]) for row in report["measures"]}
    return measured | {_stream(row): row["p50_ms"] for row in report["traffic"]}


def compared(lab_ms: dict[str, float], simulated_ms: dict[str, float]) -> list[dict[str, Any]]:
    """One row per measure that both have."""
    rows = []
    for name, real in lab_ms.items():
        virtual = simulated_ms[name]
        ratio = max(real, virtual) / max(min(real, virtual), 0.001)
        rows.append({
            "measure": name,
            "lab_p50_ms": round(real, 1),
            "sim_p50_ms": round(virtual, 1),
            "ratio": round(ratio, 2),
            "ok": ratio <= RATIO_MAX,
        })  # fmt: skip
    return rows


def calibrate(times: int, seeds: int) -> list[dict[str, Any]]:
    _, script, _, topology = scenario.read(SCENARIO)
    script = shortened(script, times)
    return compared(in_lab(script), in_simulator(script, topology, seeds))


def _stream(row: dict[str, Any]) -> str:
    return f"{row['from']} to {row['to']}"


@contextmanager
def _lab_of_its_own(folder: str) -> Iterator[None]:
    """A lab beside any other that is up."""
    wanted = {"ARQON_LAB_DIR": str(Path(folder) / "labs"), "ARQON_LAB_NAME": f"c{os.getpid()}"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=12, help="cuts in the lab, and in each seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    reason = namespaces.why_not()
    if reason is not None:
        print(f"not measured: {reason}", file=sys.stderr)
        return 2
    rows = calibrate(arguments.times, arguments.seeds)
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(f"{'p50, ms':<20} {'lab':>8} {'simulator':>10} {'ratio':>6}")
        for row in rows:
            mark = "" if row["ok"] else f"  more than {RATIO_MAX:g}"
            figures = f"{row['lab_p50_ms']:>8.1f} {row['sim_p50_ms']:>10.1f} {row['ratio']:>6.2f}"
            print(f"{row['measure']:<20} {figures}{mark}")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
