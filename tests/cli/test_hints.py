"""Every command that we advise can be typed as it stands: names of verbs and options, and no required one left out."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import arqonmesh
import arqonmesh_cli
from arqonmesh.errors import CATALOGUE
from arqonmesh_cli.app import root
from tests.runtime.test_codes import written

STANDS_FOR = {"N": "2", "ROLE": "spoke", "TIME": "1h", "FILE": "/etc/hostname"}
"""What a reader puts in the place of these; of other words any text will do."""
_ENDS = re.compile(r", | {2,}|; | and (?=arqon )| or (?=arqon )| (?=[(#|<] ?)|[()`]|: |\.$")


def commands(text: str) -> Iterator[str]:
    """The commands in a text for people, each with nothing of the sentence around it."""
    for found in re.finditer(r"(?<![\w/])arqon (?=[a-z-])", text):
        yield _ENDS.split(text[found.start() :], maxsplit=1)[0].strip()


def quoted(text: str) -> Iterator[str]:
    for piece in re.findall(r"`([^`]+)`", text):
        yield from commands(piece)


def hints() -> Iterator[tuple[str, str]]:
    """(where, hint) of every hint that is written out in the program; what comes from elsewhere is {}."""
    folders = [Path(str(package.__file__)).parent for package in (arqonmesh, arqonmesh_cli)]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for text in (node.value.body, node.value.orelse) if isinstance(node.value, ast.IfExp) else [node.value]:
                    yield f"{path.name}:{node.value.lineno}", written(text)


def wrong(command: str) -> str:
    """What the parser says against it; empty when it can be run. What comes from elsewhere may be a number, a word, or,
    alone, an option with its value."""
    faults = [_fault(command.replace("{}", text)) for text in ("2", "spoke", "")[: 3 if "{}" in command else 1]]
    return "" if "" in faults else faults[0]


def _fault(command: str) -> str:
    words = [STANDS_FOR.get(word, word) for word in shlex.split(command)][1:]
    found: Any = root()
    while words and words[0] in (children := getattr(found, "commands", {})):
        found = children[words.pop(0)]
    try:
        found.make_context("arqon", words)
    except typer.Exit:
        return ""  # --help
    except typer.TyperException as error:
        return error.format_message() or "something is missing"
    return "" if not getattr(found, "commands", {}) else "a verb is missing, or there is none of this name"


CATALOGUED = sorted({command for _, action in CATALOGUE.values() for command in quoted(action)})
HINTED = sorted({(command, where) for where, hint in hints() for command in commands(hint)})


def test_there_are_commands_to_look_at() -> None:
    """Or the two tests below would say nothing."""
    assert len(CATALOGUED) > 50 and len(HINTED) > 50
    assert wrong("arqon invite new") and wrong("arqon node strat") and wrong("arqon node status --detach")


@pytest.mark.parametrize("command", CATALOGUED)
def test_every_command_of_the_catalogue_can_be_typed(command: str) -> None:
    """`arqon explain` shows it to somebody who has just failed once."""
    assert wrong(command) == ""


@pytest.mark.parametrize(("command", "where"), HINTED)
def test_every_command_of_a_hint_can_be_typed(command: str, where: str) -> None:
    """The third line of an error is one to copy."""
    assert wrong(command) == ""
