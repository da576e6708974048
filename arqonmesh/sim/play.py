"""One world from one seed as a result, and many of them, shared among processes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.progress import Progress
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
    """Frames, timers, answers of disks and frames of clients that nodes handled."""
    virtual_s: float
    wall_s: float
    said: int
    heard: int
    dropped: dict[str, int]

    @property
    def replay(self) -> str:
        return replay(self.scenario, self.seed)


def replay(scenario: str, seed: int) -> str:
    """The line that runs this world again."""
    return f"python -m arqonmesh.sim run --seed {seed} --scenario {scenario}"


def play(name: str, seed: int) -> tuple[Result, Simulation]:
    """One scenario, one seed. An assertion of a core that fails is a broken rule too, and keeps its traceback."""
    sim = Simulation(seed)
    clock = Progress(0, "s of the mesh")
    sim.world.on_progress = lambda now_us: clock.show(now_us // SECOND, f"{sim.world.handled:,} events")
    began, broken = time.perf_counter(), ""
    try:
        SCENARIOS[name].play(sim)
    except Broken as error:
        broken = str(error)
    clock.clear()
    heard = sum(len(messages) for messages in sim.ledger.heard.values())
    result = Result(
        scenario=name,
        seed=seed,
        broken=broken,
        trace=sim.world.trace.digest(),
        events=sim.world.handled,
        virtual_s=sim.world.now / SECOND,
        wall_s=time.perf_counter() - began,
        said=len(sim.ledger.said),
        heard=heard,
        dropped={f"{where} {reason}": count for (where, reason), count in sorted(sim.dropped.items())},
    )
    return result, sim


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one seed of a search."""

    seed: int
    failure: str
    """Empty when every rule held and nothing was raised."""
    events: int
    trace: str


def attempt(scenario: str, seed: int) -> Tried:
    """One seed of a search. Any failure at all is a finding, and the search goes on."""
    try:
        result, _ = play(scenario, seed)
    except Exception as error:
        return Tried(seed, f"{type(error).__name__}: {error}", 0, "")
    return Tried(seed, result.broken, result.events, result.trace)


def attempts(scenario: str, seeds: Sequence[int], jobs: int) -> Iterator[Tried]:
    """Every seed, in their order, whatever the number of processes that share the work."""
    if jobs <= 1:
        yield from (attempt(scenario, seed) for seed in seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(partial(attempt, scenario), seeds)
