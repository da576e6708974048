"""The command tree and its one way out: every verb's answer and every error pass through `run`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import typer
import typer.core
import typer.main

from arqonmesh.errors import ArqonError, UsageError
from arqonmesh_cli import wrong_values
from arqonmesh_cli.answer import show_error

VERBS: Final[dict[str, str]] = {
    "init": "init:init",
    "node": "node",
    "mesh": "mesh",
    "status": "mesh:status",
    "invite": "invite",
    "link": "link",
    "peer": "peer",
    "pub": "bus:pub",
    "sub": "bus:sub",
    "tail": "bus:tail",
    "bus": "bus_admin",
    "certs": "certs",
    "policy": "policy",
    "config": "config",
    "sim": "sim",
    "lab": "lab",
    "demo": "demo:demo",
    "explain": "explain:explain",
    "version": "version:version",
}
"""Name to `module` (a noun: all its verbs) or `module:verb` (one verb at the top level)."""


class _Commands(Mapping[str, Any]):
    """Imports a noun's module when it is asked for, so that one verb does not pay for all."""

    def __getitem__(self, name: str) -> Any:
        module, _, verb = VERBS[name].partition(":")
        group = typer.main.get_group(importlib.import_module(f"arqonmesh_cli.{module}").app)
        if not verb:
            group.name = name
            return group
        command = group.commands[verb]
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class _Root(typer.core.TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # never written to

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)


_app: Final = typer.Typer(
    name="arqon",
    cls=_Root,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    epilog="\b\nExamples:\n  arqon demo                      three clusters on this machine, live\n"
    "  arqon init --cluster hq && arqon node start\n  arqon explain api.not-running",
)


@_app.callback()
def _arqon(version: bool = typer.Option(False, "--version", "-V", help="Print the version and exit.")) -> None:
    """Join message buses into a mesh over QUIC, and say why a message did or did not arrive.

    Exit codes: 0 ok, 1 failed, 2 usage, 3 node not running, 4 denied, 5 not found, 6 timeout, 7 degraded.
    """


def root() -> Any:
    """The whole command tree as typer's group."""
    return typer.main.get_command(_app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Prints everything, errors included."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    try:
        return _answered(arguments)
    except BrokenPipeError:
        # `arqon sub ... | head -1`: the reader has had enough, which is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` is among the options, so that even a usage error can be told as JSON."""
    arguments = list(arguments)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _answered(arguments: Sequence[str]) -> int:
    try:
        code = _run(list(arguments) or ["--help"])
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        return told(error, arguments)


def told(error: BaseException, arguments: Sequence[str]) -> int:
    """Print what ended this command line; its exit code."""
    as_json = wants_json(arguments)
    try:
        raise error
    except KeyboardInterrupt:
        return 130
    except typer.TyperException as wrong:
        return show_error(_usage_error(wrong), as_json)
    except ArqonError as seen:
        return show_error(seen, as_json)
    except Exception:
        if os.environ.get("ARQON_DEBUG"):
            raise
        if isinstance(error, UnicodeEncodeError) and not all(map(_is_text, arguments)):
            return show_error(UsageError("cli.not-text", "an argument is not UTF-8; it needs to be text"), as_json)
        unforeseen = ArqonError(
            "cli.unforeseen",
            f"{type(error).__name__}: {error}; nobody foresaw this here",
            hint="ARQON_DEBUG=1 arqon " + " ".join(arguments),
        )
        return show_error(unforeseen, as_json)


def _run(arguments: list[str]) -> int:
    group = root()
    try:
        with group.make_context("arqon", arguments) as context:
            result = group.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        return 1
    return result if isinstance(result, int) else 0


def _is_text(argument: str) -> bool:
    """False for one with bytes that are no UTF-8: Python keeps those as halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _usage_error(error: typer.TyperException) -> ArqonError:
    """What typer noticed about the command line, in the shape of our errors."""
    seen = wrong_values.told(error.format_message(), getattr(error, "param", None), error.__cause__)
    seen = seen.strip().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return UsageError("cli.usage", _lower(seen), hint="arqon --help")
    usage = " ".join(context.get_usage().split()).replace("Usage: ", "usage: ")
    commands = getattr(context.command, "commands", None)
    if commands and ("No such command" in seen or "Missing command" in seen):
        usage = "one of: " + ", ".join(commands)
    return UsageError("cli.usage", f"{_lower(seen)}; {usage}", hint=f"{context.command_path} --help")


def _lower(sentence: str) -> str:
    return sentence if sentence[:2].isupper() else sentence[:1].lower() + sentence[1:]
