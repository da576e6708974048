"""One world from one seed as a result, and many of them, shared among processes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkout import commit
from arqonmesh.sim.draw import draw
from arqonmesh.sim.enact import play_plan
from arqonmesh.sim.minimise import TRIES_MAX, Minimal, Minimiser
from arqonmesh.sim.plan import Plan
from arqonmesh.sim.progress import Progress
from arqonmesh.sim.scenarios import SCENARIOS
from arqonmesh.sim.simulation import Simulation

PLANNED: Final[dict[str, Callable[[int], Plan]]] = {"swarm": draw}
"""Scenarios that are plans: these can be written down and made smaller."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one world was like."""

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
    packets: int = 0
    bytes: int = 0
    settled_s: float = 0.0
    """How long after the last trouble all agreed."""
    detection_s: list[float] = field(default_factory=list)
    """From each death until the first other node noticed."""
    peaks: dict[str, int] = field(default_factory=dict)
    """The most that a node held in each of its queues."""

    @property
    def replay(self) -> str:
        return replay(self.scenario, self.seed)


def replay(scenario: str, seed: int) -> str:
    """The line that runs this world again, and for which commit that was said."""
    at = commit()
    return f"python -m arqonmesh.sim run --seed {seed} --scenario {scenario}" + (f"  # commit {at}" if at else "")


def play(name: str, seed: int) -> tuple[Result, Simulation]:
    """One scenario, one seed. An assertion of a core that fails keeps its traceback."""
    return _play(name, Simulation(seed), SCENARIOS[name].play)


def replay_plan(plan: Plan, *, quiet: bool = False) -> tuple[Result, Simulation]:
    """A plan, as it is written down."""
    return _play("plan", Simulation(plan.seed), lambda sim: play_plan(sim, plan), quiet=quiet)


def _play(
    name: str, sim: Simulation, story: Callable[[Simulation], None], *, quiet: bool = False
) -> tuple[Result, Simulation]:
    clock = Progress(0, "s of the mesh")
    if not quiet:
        sim.world.on_progress = lambda now_us: clock.show(now_us // SECOND, f"{sim.world.handled:,} events")
    began, broken = time.perf_counter(), ""
    try:
        story(sim)
    except Broken as error:
        broken = str(error)
    finally:
        clock.clear()
        sim.close()
    return result_of(name, sim, broken, time.perf_counter() - began), sim


def result_of(name: str, sim: Simulation, broken: str, wall_s: float) -> Result:
    """The figures of a world whose story is over."""
    return Result(
        scenario=name,
        seed=sim.world.seed,
        broken=broken,
        trace=sim.world.trace.digest(),
        events=sim.world.handled,
        virtual_s=sim.world.now / SECOND,
        wall_s=wall_s,
        said=len(sim.ledger.said),
        heard=sum(len(messages) for messages in sim.ledger.heard.values()),
        dropped={f"{where} {reason}": count for (where, reason), count in sorted(sim.observer.dropped.items())},
        packets=sim.network.packets,
        bytes=sim.network.bytes,
        settled_s=sim.settled_us / SECOND,
        detection_s=[us / SECOND for us in sim.observer.detections_us],
        peaks=dict(sorted(sim.peaks.items())),
    )


def outcome(plan: Plan) -> str:
    """The rule that a plan breaks. Any failure at all is one."""
    try:
        return replay_plan(plan, quiet=True)[0].broken
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def minimised(plan: Plan, broken: str, tries_max: int = TRIES_MAX) -> Minimal:
    """The smallest plan that a search finds which breaks the same rule; tells how far it is."""
    progress = Progress(tries_max, "worlds tried")

    def tried(found: Minimal) -> None:
        progress.show(found.tries, f"{len(found.plan.actions)} of {found.actions_before} actions left")

    found = Minimiser(outcome, tries_max=tries_max, tried=tried).search(plan, broken)
    progress.clear()
    return found


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one seed of a search."""

    seed: int
    failure: str
    """Empty when every rule held and nothing was raised."""
    events: int
    trace: str
    settled_s: float = 0.0
    packets: int = 0
    bytes: int = 0
    detection_s: list[float] = field(default_factory=list)


def attempt(scenario: str, seed: int) -> Tried:
    """One seed of a search. Any failure at all is a finding, and the search goes on."""
    try:
        result, _ = play(scenario, seed)
    except Exception as error:
        return Tried(seed, f"{type(error).__name__}: {error}", 0, "")
    return Tried(
        seed,
        result.broken,
        result.events,
        result.trace,
        result.settled_s,
        result.packets,
        result.bytes,
        result.detection_s,
    )


def attempts(scenario: str, seeds: Sequence[int], jobs: int) -> Iterator[Tried]:
    """Every seed, in their order, whatever the number of processes that share the work."""
    if jobs <= 1:
        yield from (attempt(scenario, seed) for seed in seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(partial(attempt, scenario), seeds)
