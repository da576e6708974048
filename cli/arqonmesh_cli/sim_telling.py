"""What `arqon sim` answers, for scripts and for people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.exploring import unwritable
from arqonmesh.sim.plan import encode_plan, told
from arqonmesh.sim.play import minimised
from arqonmesh_cli.answer import Answer
from arqonmesh_cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arqonmesh.sim.exploring import Compared, Explored
    from arqonmesh.sim.minimise import Minimal
    from arqonmesh.sim.own import Verdict
    from arqonmesh.sim.plan import Plan
    from arqonmesh.sim.play import Result
    from arqonmesh.sim.simulation import Simulation

BAR_WIDTH: Final = 24
MINIMISE_TRIES_MAX: Final = 100


def write_plan(path: Path, plan: Plan) -> None:
    """Raises ConfigError `sim.save`."""
    try:
        path.write_text(encode_plan(plan))
    except OSError as error:
        raise unwritable(path, error) from None


def result_answer(result: Result, sim: Simulation, *, quiet: bool, plan: Plan | None) -> Answer:
    """`plan`: minimised, and the smaller one written here, when a rule was broken."""
    small = minimised(plan, result.broken, MINIMISE_TRIES_MAX) if plan is not None and result.broken else None
    file = None if small is None else Path(f"{result.scenario}-{result.seed}.min.json")
    if small is not None and file is not None:
        write_plan(file, small.plan)
    data: dict[str, Any] = {**asdict(result), "replay": result.replay if result.scenario != "plan" else ""}
    if small is not None:
        data["minimal"] = {"file": str(file), **_minimal(small)}

    def text(screen: Screen) -> None:
        if not quiet:
            tell_story(screen, sim)
        screen.fields(
            (
                ("scenario", f"{result.scenario}, seed {result.seed}"),
                ("messages", f"{result.said} said, {result.heard} heard"),
                ("dropped", ", ".join(f"{reason}: {count}" for reason, count in result.dropped.items()) or "nothing"),
                ("network", f"{result.packets:,} packets, {result.bytes:,} bytes"),
                ("settled", f"{result.settled_s:.1f} s after the last trouble"),
                ("time", f"{result.virtual_s:.1f} s of the mesh in {result.wall_s:.1f} s"),
                ("trace", result.trace),
                ("outcome", f"BROKEN: {result.broken}" if result.broken else "every rule held"),
            )
        )
        if result.broken and data["replay"]:
            screen.line(f"replay    {data['replay']}")
        if small is not None:
            tell_minimal(screen, small, str(file))

    return Answer(data, text, 1 if result.broken else 0)


def tell_story(screen: Screen, sim: Simulation) -> None:
    for at_us, who, what in sim.world.trace.story:
        screen.line((f"{at_us / SECOND:9.3f}  ", "dim"), f"{who:<10} {what}")
    if sim.world.trace.untold:
        screen.line(f"... and {sim.world.trace.untold} lines more")
    screen.line()


def tell_minimal(screen: Screen, small: Minimal, file: str) -> None:
    plan = small.plan
    screen.line(
        f"smallest  {len(plan.actions)} of {small.actions_before} actions, {len(plan.machines)} nodes, "
        f"after {small.tries} worlds: {small.broken}"
    )
    for action in plan.actions:
        screen.line(f"          {told(action)}")
    screen.line(f"          arqon sim replay {file}")


def explored_answer(explored: Explored, *, minimise: bool) -> Answer:
    from arqonmesh.sim.play import PLANNED

    small: Minimal | None = None
    file = ""
    if minimise and explored.broken and explored.scenario in PLANNED:  # the first one: each takes a minute or two
        failure = explored.broken[0]
        small = minimised(PLANNED[explored.scenario](failure.seed), failure.failure, MINIMISE_TRIES_MAX)
        file = f"{explored.scenario}-{failure.seed}.min.json"
        write_plan(Path(file), small.plan)
    data: dict[str, Any] = msgspec.to_builtins(explored)
    if small is not None:
        data["minimal"] = {"file": file, **_minimal(small)}

    def text(screen: Screen) -> None:
        screen.line(
            f"{explored.seeds} seeds of {explored.scenario}: {len(explored.broken)} broken, {explored.events:,} events "
            f"in {explored.wall_s:.1f} s ({explored.events / explored.wall_s:,.0f} events/s)"
        )
        screen.table(
            ("METRIC", "MEAN", "P50", "P99", "MAX"),
            [(name, *(_number(getattr(f, k)) for k in _FIELDS)) for name, f in explored.metrics.items()],
        )
        if small is not None:
            tell_minimal(screen, small, file)

    return Answer(data, text, 1 if explored.broken else 0)


def compared_answer(before: Explored, now: Explored, rows: Sequence[Compared], plot: Path | None) -> Answer:
    data = {
        "scenario": before.scenario,
        "seeds": before.seeds,
        "before": before.commit,
        "now": now.commit,
        "broken": len(now.broken),
        "rows": msgspec.to_builtins(rows),
        "plot": None if plot is None else str(plot),
    }

    def text(screen: Screen) -> None:
        screen.line(
            f"{before.seeds} seeds of {before.scenario} from {before.first}: "
            f"{before.commit or 'then'} against {now.commit or 'now'}"
        )
        screen.table(
            ("METRIC", "FIGURE", "BEFORE", "NOW", "CHANGE", ""),
            [
                (row.metric, row.figure, _number(row.before), _number(row.now), f"{row.change:+.1%}", bar(row))
                for row in rows
            ],
            empty="the two have no figure in common",
        )
        for failure in now.broken:
            screen.line(f"broken now: {failure.failure}", ("\n  " + failure.replay, "dim"))
        if plot is not None:
            screen.line(f"drawn: {plot}")

    return Answer(data, text, 1 if now.broken and not before.broken else 0)


def bar(row: Compared) -> str:
    """Before and now as two lengths of one line: ▒ is what both have, █ what is more now, ░ what is less."""
    most = max(row.before, row.now)
    if most <= 0:
        return ""
    a, b = round(BAR_WIDTH * row.before / most), round(BAR_WIDTH * row.now / most)
    return "▒" * min(a, b) + ("█" * (b - a) if b > a else "░" * (a - b))


def trial_answer(verdict: Verdict, sim: Simulation) -> Answer:
    def text(screen: Screen) -> None:
        tell_story(screen, sim)
        screen.table(
            ("FROM", "TO", "CHANNEL", "SAID", "HEARD", "OUTCOME"),
            [(f.origin, f.listener, f.channel, str(f.said), str(f.heard), f.outcome) for f in verdict.flows],
            empty="nobody may hear anybody: no export rule lets anything out",
        )
        screen.line()
        for sentence in verdict.sentences:
            screen.line(sentence)
        screen.line(("verdict: ", "bold"), verdict.verdict)

    return Answer(verdict, text, 0 if verdict.ok else 1)


_FIELDS: Final = ("mean", "p50", "p99", "max")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3f}".rstrip("0").rstrip(".")


def _minimal(small: Minimal) -> dict[str, Any]:
    return {
        "broken": small.broken,
        "actions": msgspec.to_builtins(small.plan.actions),
        "actions_before": small.actions_before,
        "worlds": small.tries,
        "exhausted": small.exhausted,
    }
