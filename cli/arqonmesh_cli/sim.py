"""`arqon sim`: the cores of real nodes on a simulated network, clock and disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arqonmesh.errors import UsageError
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.durations import parse_duration
from arqonmesh_cli.options import Json

if TYPE_CHECKING:
    from arqonmesh.sim.exploring import Failure

app = noun("A mesh in simulation: one seed replays its world, many seeds search for one that breaks a rule.")

Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="The world to play.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, metavar="N", help="How many worlds.")]
First = Annotated[int, typer.Option("--first", min=0, metavar="N", help="The first seed.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, metavar="N", help="Share the seeds among N processes.")]
ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="`arqon sim scenarios` lists them.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="The result without the story.")]
Small = Annotated[
    bool, typer.Option("--minimise/--no-minimise", help="When a drawn plan breaks a rule, search for a smaller one.")
]


@verb(app, "scenarios", "arqon sim scenarios")
def scenarios(as_json: Json = False) -> Answer:
    """List the stories that the simulator can tell."""
    from arqonmesh.sim.scenarios import SCENARIOS

    rows = [(name, scenario.summary) for name, scenario in SCENARIOS.items()]
    return Answer(
        [{"name": name, "summary": summary} for name, summary in rows],
        lambda screen: screen.table(("SCENARIO", "STORY"), rows),
    )


@verb(app, "run", "arqon sim run partition", "arqon sim run swarm --seed 7 --save plan.json")
def run(
    scenario: ScenarioName = "partition",
    seed: Seed = 42,
    quiet: Quiet = False,
    minimise: Small = True,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Write the plan that the seed drew.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Play one scenario from one seed and tell its story. Exit code 1 when a rule is broken."""
    from arqonmesh.sim.play import PLANNED, play
    from arqonmesh_cli.sim_telling import result_answer, write_plan

    _known(scenario)
    plan = PLANNED[scenario](seed) if scenario in PLANNED else None
    if save is not None:
        if plan is None:
            raise UsageError(
                "sim.no-plan",
                f"scenario {scenario} draws no plan; --save needs one of {', '.join(PLANNED)}",
                hint=f"arqon sim run {next(iter(PLANNED))} --seed {seed} --save {save}",
            )
        write_plan(save, plan)
    result, sim = play(scenario, seed)
    return result_answer(result, sim, quiet=quiet, plan=plan if minimise else None)


@verb(app, "replay", "arqon sim replay swarm-7.min.json")
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan, as `run --save` or a failing run wrote it.")],
    quiet: Quiet = False,
    minimise: Annotated[bool, typer.Option("--minimise", help="Search for a smaller plan that breaks it too.")] = False,
    as_json: Json = False,
) -> Answer:
    """Play a plan from a file. Exit code 1 when a rule is broken."""
    from arqonmesh.sim.plan import read_plan
    from arqonmesh.sim.play import replay_plan
    from arqonmesh_cli.sim_telling import result_answer

    plan = read_plan(file)
    result, sim = replay_plan(plan)
    return result_answer(result, sim, quiet=quiet, plan=plan if minimise else None)


@verb(app, "explore", "arqon sim explore --seeds 1000 --jobs 2", "arqon sim explore splits --save before.json")
def explore(
    scenario: ScenarioName = "swarm",
    seeds: Seeds = 100,
    first: First = 1,
    jobs: Jobs = 1,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep the result, for `compare`.", dir_okay=False)
    ] = None,
    minimise: Small = True,
    as_json: Json = False,
) -> Answer:
    """Search many seeds for one that breaks a rule; each failure prints the line that replays it."""
    from arqonmesh.sim import exploring
    from arqonmesh_cli.sim_telling import explored_answer

    _known(scenario)

    def failed(failure: Failure) -> None:
        if not as_json:
            print(f"{failure.failure}\n  replay: {failure.replay}", flush=True)

    explored = exploring.explore(scenario, first, seeds, jobs, failed=failed)
    if save is not None:
        exploring.write_explored(save, explored)
    return explored_answer(explored, minimise=minimise)


@verb(app, "compare", "arqon sim compare before.json", "arqon sim compare before.json --plot change.png --jobs 2")
def compare(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE", help="What `explore --save` wrote.")],
    jobs: Jobs = 1,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw it; needs the extra `plots`.", dir_okay=False)
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--with", metavar="FILE", help="Compare with this result instead of exploring again."),
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Play the seeds of an earlier `explore` again and hold the figures against each other."""
    from arqonmesh.sim import exploring
    from arqonmesh_cli import sim_plots
    from arqonmesh_cli.sim_telling import compared_answer

    before = exploring.read_explored(baseline)
    _known(before.scenario)
    if plot is not None:
        sim_plots.check_plots()
    if against is None:
        now = exploring.explore(before.scenario, before.first, before.seeds, jobs)
    else:
        now = exploring.read_explored(against)
    rows = exploring.compare(before, now)
    if plot is not None:
        sim_plots.draw_plot(plot, before, now, rows)
    return compared_answer(before, now, rows, plot)


@verb(
    app,
    "from",
    "arqon sim from hq/arqon.yaml factory/arqon.yaml --fail link:hq-factory --at 30s",
    "arqon sim from */arqon.yaml --fail node:hq --at 10s --heal-at 40s --for 2m",
)
def from_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="One arqon.yaml per node.")],
    fail: Annotated[
        list[str] | None,
        typer.Option("--fail", metavar="WHAT", help="link:A-B, node:A or site:A (a region or cluster); repeatable."),
    ] = None,
    at: Annotated[str, typer.Option("--at", metavar="SPAN", help="When it fails, after the mesh has formed.")] = "10s",
    heal_at: Annotated[
        str | None, typer.Option("--heal-at", metavar="SPAN", help="When it is whole again; left out: never.")
    ] = None,
    duration: Annotated[str, typer.Option("--for", metavar="SPAN", help="How long the story is.")] = "60s",
    seed: Seed = 42,
    as_json: Json = False,
) -> Answer:
    """Try a failure on your own configuration files: who sees what when, and what becomes of messages."""
    from arqonmesh.sim.own import Trial, tell_trial
    from arqonmesh_cli.sim_telling import trial_answer

    trial = Trial(
        files=tuple(files),
        fail=tuple(fail or ()),
        at_us=round(parse_duration(at, "--at 30s") * 1e6),
        heal_at_us=None if heal_at is None else round(parse_duration(heal_at, "--heal-at 60s") * 1e6),
        for_us=round(parse_duration(duration, "--for 2m") * 1e6),
        seed=seed,
    )
    return trial_answer(*tell_trial(trial))


def _known(scenario: str) -> None:
    from arqonmesh.sim.scenarios import SCENARIOS

    if scenario not in SCENARIOS:
        raise UsageError(
            "sim.scenario",
            f"no scenario is called {scenario!r}; it needs to be one of {', '.join(SCENARIOS)}",
            hint="arqon sim scenarios",
        )
