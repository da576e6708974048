"""`arqon explain CODE`: what an error code means and what to do."""

from __future__ import annotations

import difflib
from typing import Annotated

import typer

from arqonmesh.errors import CATALOGUE, NotFound
from arqonmesh_cli.answer import Answer, noun, verb
from arqonmesh_cli.options import Json
from arqonmesh_cli.screen import Screen

app = noun("Error codes.")


@verb(app, "explain", "arqon explain api.not-running", "arqon explain            (all codes)")
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="The code in brackets behind an error.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> Answer:
    """Say what an error code means and what to do about it."""
    if code is None:
        codes = [{"code": code, "meaning": meaning, "action": action} for code, (meaning, action) in _sorted()]
        return Answer(
            {"codes": codes},
            lambda screen: screen.table(("CODE", "MEANING"), [(row["code"], row["meaning"]) for row in codes]),
        )
    if code not in CATALOGUE:
        near = difflib.get_close_matches(code, CATALOGUE, n=3)
        right = f"near it: {', '.join(near)}" if near else "none is near it; without a code, explain lists them all"
        raise NotFound("cli.code", f"no error has the code {code!r}; {right}", hint="arqon explain")
    meaning, action = CATALOGUE[code]

    def text(screen: Screen) -> None:
        screen.line((code, "bold"))
        screen.line("  " + meaning)
        screen.line("  " + action)

    return Answer({"code": code, "meaning": meaning, "action": action}, text)


def _sorted() -> list[tuple[str, tuple[str, str]]]:
    return sorted(CATALOGUE.items())
