"""How a verb answers: data for scripts, text for people, and the same three lines for every error."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import typer

from arqonmesh.errors import CATALOGUE, ArqonError
from arqonmesh_cli.screen import Screen

FORMAT: Final = 1
"""`v` of every JSON answer; raised when a field changes its meaning."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb has to say. `data` is encoded by msgspec; `text` draws the same for a person."""

    data: Any
    text: Callable[[Screen], None]
    exit_code: int = 0


def verb(app: typer.Typer, name: str, *examples: str, hidden: bool = False) -> Callable[..., Callable[..., None]]:
    """Register a function as a verb. It returns an Answer, or None when it has printed its own (streams)."""

    def register(function: Callable[..., Answer | None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            answer = function(**arguments)
            if answer is None:
                return
            if arguments.get("as_json"):
                print_json(answer.data)
            else:
                answer.text(Screen(sys.stdout))
            if answer.exit_code:
                raise typer.Exit(answer.exit_code)

        epilog = "\b\n" + ("Example:" if len(examples) == 1 else "Examples:")
        epilog += "".join(f"\n  {example}" for example in examples)
        app.command(name, epilog=epilog, hidden=hidden)(command)
        return command

    return register


def noun(help_text: str) -> typer.Typer:
    """A group of verbs."""
    app = typer.Typer(help=help_text, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_nothing)
    return app


def _nothing() -> None:
    return None


def print_json(data: Any) -> None:
    """One successful answer, one line."""
    _write({"v": FORMAT, "ok": True, "data": data})


def show_error(error: ArqonError, as_json: bool) -> int:
    """Tell an error; returns its exit code."""
    if as_json:
        told = {"code": error.code, "message": _text(str(error)), "hint": _text(_next_step(error))}
        _write({"v": FORMAT, "ok": False, "error": told})
    else:
        screen = Screen(sys.stderr)
        seen, right, step = three_lines(error)
        screen.line(("error: ", "bold red"), (seen, ""))
        screen.line(("       ", ""), (right, ""))
        screen.line(("try:   ", "bold"), (step, ""))
    return error.exit_code


def three_lines(error: ArqonError) -> tuple[str, str, str]:
    """What was seen, what would be right, and the command that helps."""
    seen, _, right = str(error).partition("; ")
    known = CATALOGUE.get(error.code)
    if not right:
        right = known[1] if known else "the code in brackets is new to this command; the node may be of a newer version"
    return f"{seen} [{error.code}]", right, _next_step(error)


def _next_step(error: ArqonError) -> str:
    if error.hint.startswith("connect("):
        return f"--token TOKEN of somebody who may  # arqon explain {error.code}"
    if error.hint.startswith(("{", "bus.")):  # what would be right is told to programs: a frame, a call
        return f"arqon explain {error.code}"
    return error.hint or f"arqon explain {error.code}"


def _text(seen: str) -> str:
    """What an error quotes of a command line may be no text; JSON takes nothing else."""
    return seen.encode("utf-8", "replace").decode()


def _write(answer: dict[str, Any]) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    sys.stdout.flush()
