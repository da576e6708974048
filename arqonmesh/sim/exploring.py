"""A search over many seeds as one result, and two such results held against each other."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from arqonmesh.errors import ConfigError
from arqonmesh.sim.checkout import commit
from arqonmesh.sim.play import Tried, attempts, replay
from arqonmesh.sim.progress import Progress


class Failure(Struct, frozen=True):
    seed: int
    failure: str
    replay: str


class Figures(Struct, frozen=True):
    """Of one metric, over the seeds (or the deaths) that have it."""

    count: int
    mean: float
    p50: float
    p99: float
    max: float


class Explored(Struct, frozen=True, kw_only=True):
    """What `explore` answers; `compare` reads it as a baseline."""

    scenario: str
    first: int
    seeds: int
    commit: str
    broken: tuple[Failure, ...]
    events: int
    wall_s: float
    metrics: dict[str, Figures]


UNITS: Final = {
    "converge_s": "seconds from the last trouble until all agree",
    "packets": "packets handed to the network, per world",
    "bytes": "bytes handed to the network, per world",
    "detection_s": "seconds from a death until the first other node notices",
}
FIELDS: Final = ("mean", "p50", "p99", "max")


def explore(
    scenario: str, first: int, seeds: int, jobs: int, *, failed: Callable[[Failure], object] = lambda failure: None
) -> Explored:
    """Every seed from `first` on. `failed` is told of each that breaks a rule, as it is found."""
    began = time.perf_counter()
    progress = Progress(seeds, "seeds")
    broken: list[Failure] = []
    tries: list[Tried] = []
    for done, tried in enumerate(attempts(scenario, range(first, first + seeds), jobs), start=1):
        tries.append(tried)
        if tried.failure:
            broken.append(Failure(tried.seed, tried.failure, replay(scenario, tried.seed)))
            progress.clear()
            failed(broken[-1])
        progress.show(done, f"{len(broken)} broken")
    progress.clear()
    sound = [tried for tried in tries if not tried.failure]
    series = {
        "converge_s": [tried.settled_s for tried in sound],
        "packets": [float(tried.packets) for tried in sound],
        "bytes": [float(tried.bytes) for tried in sound],
        "detection_s": [s for tried in sound for s in tried.detection_s],
    }
    return Explored(
        scenario=scenario,
        first=first,
        seeds=seeds,
        commit=commit(),
        broken=tuple(broken),
        events=sum(tried.events for tried in tries),
        wall_s=time.perf_counter() - began,
        metrics={name: figures(values) for name, values in series.items() if values},
    )


def figures(values: list[float]) -> Figures:
    """Percentiles are values that occurred (nearest rank)."""
    ranked = sorted(values)

    def rank(percent: int) -> float:
        return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]

    return Figures(len(ranked), round(sum(ranked) / len(ranked), 6), rank(50), rank(99), ranked[-1])


def read_explored(path: Path) -> Explored:
    """What `explore --json` printed or `--save` wrote. Raises ConfigError `sim.baseline`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            "sim.baseline", f"{path} cannot be read: {error.strerror}", hint="arqon sim explore --save BASELINE.json"
        ) from None
    try:
        return msgspec.json.decode(text, type=_Answer).data
    except msgspec.DecodeError as error:
        raise ConfigError(
            "sim.baseline",
            f"{path} is no baseline: {error}; it needs what `arqon sim explore --save` writes",
            hint="arqon sim explore --save BASELINE.json",
        ) from None


class _Answer(Struct):
    """As every command answers under --json."""

    v: int
    ok: bool
    data: Explored


def unwritable(path: Path, error: OSError) -> ConfigError:
    """What is said of a file that cannot be written."""
    hint = f"ls -ld {shlex.quote(str(path.parent))}"
    return ConfigError("sim.save", f"{path} cannot be written: {error.strerror}", hint=hint)


def write_explored(path: Path, explored: Explored) -> None:
    """Raises ConfigError `sim.save`."""
    text = msgspec.json.format(msgspec.json.encode(_Answer(1, True, explored)), indent=2)
    try:
        path.write_bytes(text + b"\n")
    except OSError as error:
        raise unwritable(path, error) from None


class Compared(Struct, frozen=True):
    """One metric's figure, then and now."""

    metric: str
    figure: str
    before: float
    now: float
    change: float
    """Now over before, less one; 0 when both are zero."""


def compare(before: Explored, now: Explored) -> tuple[Compared, ...]:
    """Every figure that both have."""
    rows = []
    for metric, then in before.metrics.items():
        if metric not in now.metrics:
            continue
        for figure in FIELDS:
            a, b = getattr(then, figure), getattr(now.metrics[metric], figure)
            rows.append(Compared(metric, figure, a, b, (b / a - 1) if a else float(b > 0)))
    return tuple(rows)
