"""`arqon lab`: real nodes in network namespaces, with a network that fails on purpose. Needs root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.contexts import register
from arqonmesh_cli.options import Json
from arqonmesh_cli.screen import Screen

app = noun("A network that fails on purpose: nodes in namespaces, cuts, scenarios. Needs root.")

SCENARIOS: Final = "partition, long_partition, silent_cut, one_way_cut, outbound_only, detour, or a file."

Node = Annotated[str, typer.Argument(help="A node of the lab, from `arqon lab status`.")]


@verb(app, "up", "sudo arqon lab up star3", "sudo arqon mesh status --context hub    (a node of the lab by its name)")
def up(
    topology: Annotated[str, typer.Argument(help="star3, line3, ring5, or a file.")] = "star3", as_json: Json = False
) -> Answer:
    """Build a lab: namespaces, the switch between them, one node in each, joined to one mesh."""
    import arqonmesh_testbed.lab as lab

    built = lab.up(topology)
    # The names hold for as long as the lab's switch runs.
    register({row["node"]: Path(row["data_dir"]) for row in built["nodes"]}, owner=built["switch_pid"])
    return _plain(built)


@verb(app, "cut", "sudo arqon lab cut hub s1", "sudo arqon lab cut hub s1 --one-way")
def cut(
    a: Node,
    b: Node,
    one_way: Annotated[bool, typer.Option("--one-way", help="Lose only what A sends to B.")] = False,
    as_json: Json = False,
) -> Answer:
    """Lose every packet between two nodes, silently."""
    import arqonmesh_testbed.lab as lab

    return _plain(lab.cut(a, b, one_way))


@verb(app, "heal", "sudo arqon lab heal")
def heal(as_json: Json = False) -> Answer:
    """End all cuts."""
    import arqonmesh_testbed.lab as lab

    return _plain(lab.heal())


@verb(app, "status", "sudo arqon lab status --json")
def status(as_json: Json = False) -> Answer:
    """Show the lab that is up: nodes, addresses, cuts, packets."""
    import arqonmesh_testbed.lab as lab

    return _plain(lab.status())


@verb(app, "run", "sudo arqon lab run partition")
def run(
    scenario: Annotated[
        str,
        typer.Argument(help=SCENARIOS),
    ],
    as_json: Json = False,
) -> Answer:
    """Build a lab, run a scenario on it, say what held and what did not, take it down."""
    import arqonmesh_testbed.lab as lab

    report = lab.run(scenario)
    failed = isinstance(report, dict) and report.get("ok") is False
    return _plain(report, 1 if failed else 0)


@verb(app, "down", "sudo arqon lab down")
def down(as_json: Json = False) -> Answer:
    """Take the lab down and leave nothing behind."""
    import arqonmesh_testbed.lab as lab

    return _plain(lab.down())


def _plain(data: Any, exit_code: int = 0) -> Answer:
    return Answer(data, lambda screen: show_plain(screen, data), exit_code)


def show_plain(screen: Screen, data: Any, indent: str = "") -> None:
    """Plain data as text: lists of records as tables, the rest as names and values."""
    if not isinstance(data, dict):
        screen.line(indent + str(data))
        return
    simple = [(indent + str(name), _cell(value)) for name, value in data.items() if not _is_table(value)]
    screen.fields(simple)
    for name, value in data.items():
        if _is_table(value):
            screen.line()
            headers = list(dict.fromkeys(key for row in value for key in row))
            screen.line((indent + str(name), "bold"))
            screen.table([h.upper() for h in headers], [[_cell(row.get(h, "")) for h in headers] for row in value])


def _is_table(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(row, dict) for row in value)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(inner) for inner in value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
