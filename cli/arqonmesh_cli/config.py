"""`arqon config`: the settings: what is wrong with them, what holds and why, what a running node makes of them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from arqonmesh.errors import ConfigError
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.connect import ask_at
from arqonmesh_cli.options import Context, DataDir, Json
from arqonmesh_cli.screen import Screen
from arqonmesh_cli.where import place_of

if TYPE_CHECKING:
    from arqonmesh.api.node_views import ConfigChangesView
    from arqonmesh.config.load import Examined
    from arqonmesh.config.problems import Origin, Problem

app = noun("The settings in arqon.yaml.")

INVALID: Final = 2
"""Exit code of a check that found problems: as for any configuration that does not hold."""

File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="Another file than the node's arqon.yaml.", show_default=False)
]


@verb(app, "schema", "arqon config schema > arqon.schema.json", "arqon config schema --json | jq .data.title")
def schema(as_json: Json = False) -> Answer:
    """Print the JSON Schema of arqon.yaml: every setting with its type, bounds, default and meaning."""
    from arqonmesh.config.schema import json_schema, render

    return Answer(json_schema(), lambda screen: _write(render()))


@verb(
    app,
    "check",
    "arqon config check",
    "arqon config check new.yaml",
    "ARQON_BUS__CLIENTS_MAX=100 arqon config check --json | jq .data.settings.bus",
)
def check(file: File = None, data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Check arqon.yaml with the environment over it, as the next start would, and tell every problem.

    The files that it names are looked for in the node's data directory, or beside FILE where there is no node.
    Exit code 2 when there are any; --json prints what holds.
    """
    path, seen = _examined(file, data_dir, context)
    problems = list(seen.problems)
    if seen.config is not None:
        from arqonmesh.runtime.preflight import refusals

        place = place_of(data_dir, context)
        node = place.data_dir if place.files.initialised else path.parent
        problems += refusals(seen.config, node, seen)
    data = {
        "file": str(path),
        "valid": not problems,
        "problems": [_told(problem) for problem in problems],
        "warnings": [
            {"variable": stranger.variable, "nearest": stranger.nearest, "message": str(stranger)}
            for stranger in seen.strangers
        ],
        "settings": None if seen.config is None else _masked(seen),
    }

    def text(screen: Screen) -> None:
        for problem in problems:
            sees, _, right = problem.sentence.partition("; ")
            screen.line((f"{problem.origin}: ", "bold"), (sees, "red"), (f" [{problem.code}]", "dim"))
            screen.line("    " + (right or f"arqon explain {problem.code}"))
            if problem.hint:
                screen.line(("    try: ", "bold"), problem.hint)
        for stranger in seen.strangers:
            screen.line(("warning: ", "yellow"), str(stranger))
        if problems:
            count = len(problems)
            screen.line(f"{path}: {count} problem{'s' if count > 1 else ''}; a node would not start with it")
        else:
            screen.line(f"{path} holds together")
            screen.line(("a running node takes it with arqon config reload; arqon config diff says what of it", "dim"))

    return Answer(data, text, exit_code=INVALID if problems else 0)


@verb(
    app,
    "show",
    "arqon config show",
    "arqon config show --origin",
    "arqon config show --all --json | jq '.data.settings[] | select(.hot)'",
)
def show(
    file: File = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Defaults too, which --origin shows anyway.")] = False,
    data_dir: DataDir = None,
    context: Context = None,
    as_json: Json = False,
) -> Answer:
    """Show the settings that hold for the next start; secrets are masked.

    Nothing on a command line changes a setting: a value is a default, or from the file or the environment.
    """
    from arqonmesh.config.changes import plain
    from arqonmesh.config.fields import settings
    from arqonmesh.config.relations import read

    path, seen = _examined(file, data_dir, context)
    if seen.config is None:
        raise seen.problems[0].error()
    rows = []
    for setting in settings().values():
        if not setting.section:
            said = seen.origin(setting.path)
            if origin or every or as_json or said.kind != "default":
                rows.append((setting, plain(setting, read(seen.config, setting.path)), said))
    data = {
        "file": str(path),
        "settings": [
            {"key": setting.name, "value": value, "hot": setting.hot, "origin": _place(said)}
            for setting, value, said in rows
        ],
    }

    def text(screen: Screen) -> None:
        cells = [(setting.name, json.dumps(value, ensure_ascii=False), str(said)) for setting, value, said in rows]
        if origin:
            screen.table(("SETTING", "VALUE", "FROM"), cells)
        else:
            screen.table(("SETTING", "VALUE"), [cell[:2] for cell in cells])
        for stranger in seen.strangers:
            screen.line(("warning: ", "yellow"), str(stranger))

    return Answer(data, text)


@verb(app, "diff", "arqon config diff", "arqon config diff --json | jq '.data.changes[] | select(.hot | not)'")
def diff(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Compare the running node with its arqon.yaml: what a reload takes at once, and what needs a restart."""
    found = ask_at(data_dir, context, lambda node: node.config_changes(False))
    return Answer(_changes(found), lambda screen: _compared(screen, found))


@verb(app, "reload", "arqon config reload", "arqon config reload --json | jq .data.restart", "kill -HUP PID")
def reload(data_dir: DataDir = None, context: Context = None, as_json: Json = False) -> Answer:
    """Make the running node read arqon.yaml again, as SIGHUP does; what needs a restart is named.

    All or nothing: a file with a problem changes nothing.
    """
    found = ask_at(data_dir, context, lambda node: node.config_changes(True))
    return Answer(_changes(found), lambda screen: _compared(screen, found))


def _examined(file: Path | None, data_dir: Path | None, context: str | None) -> tuple[Path, Examined]:
    from arqonmesh.config.load import examine, read_file

    if file is not None and not file.exists():  # a slip in its name: nobody wants a node there
        raise ConfigError(
            "config.missing-file",
            f"there is no {file}; it needs to be a file of settings, or to be left out for the node's arqon.yaml",
            hint=f"ls {file.parent}",
        )
    path = file or place_of(data_dir, context).files.config
    return path, examine(read_file(path), path.name, os.environ)


def _told(problem: Problem) -> dict[str, Any]:
    sees, _, right = problem.sentence.partition("; ")
    return {
        "code": problem.code,
        "key": problem.key,
        "seen": sees,
        "right": right,
        "hint": problem.hint,
        "origin": _place(problem.origin),
    }


def _place(origin: Origin) -> dict[str, Any]:
    return {"kind": origin.kind, "name": origin.name, "line": origin.line or None}


def _masked(seen: Examined) -> dict[str, Any]:
    import msgspec

    from arqonmesh.config.changes import plain
    from arqonmesh.config.fields import settings
    from arqonmesh.config.relations import read

    found: dict[str, Any] = msgspec.to_builtins(seen.config)
    for setting in settings().values():
        if setting.secret:
            section = found
            for part in setting.path[:-1]:
                section = section[part]
            section[setting.path[-1]] = plain(setting, read(seen.config, setting.path))
    return found


def _changes(found: ConfigChangesView) -> dict[str, Any]:
    return {
        "file": found.file,
        "applied": found.applied,
        "changes": [
            {
                "key": change.name,
                "running": json.loads(change.running),
                "file": json.loads(change.file),
                "origin": change.origin,
                "hot": change.hot,
            }
            for change in found.changes
        ],
        "restart": [change.name for change in found.changes if not change.hot],
        "warnings": list(found.warnings),
    }


def _compared(screen: Screen, found: ConfigChangesView) -> None:
    at_once = "taken now" if found.applied else "at once, by arqon config reload"
    screen.table(
        ("SETTING", "RUNNING" if not found.applied else "BEFORE", "FILE", "FROM", "TAKES EFFECT"),
        [
            (change.name, change.running, change.file, change.origin, at_once if change.hot else "after a restart")
            for change in found.changes
        ],
        empty=f"the node runs with what {found.file} says",
    )
    for warning in found.warnings:
        screen.line(("warning: ", "yellow"), warning)
    waiting = sum(not change.hot for change in found.changes)
    if waiting:
        what = "1 setting needs" if waiting == 1 else f"{waiting} settings need"
        screen.line((f"{what} a restart: arqon node stop, then arqon node start", "dim"))


def _write(text: str) -> None:
    sys.stdout.write(text)
