"""Every code that a person may be shown can be asked about."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import arqonmesh
import arqonmesh_cli
from arqonmesh.errors import CATALOGUE

SHOWN = ("ConfigError", "UsageError", "NotRunning", "NotFound", "Denied", "TimedOut", "StorageError", "TrustError")
"""PeerError and DecodeError are told to nobody but the log and the counters; the others reach a person."""


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """(code, call, where) of every error of these kinds that is made with its code spelled out."""
    folders = [Path(str(package.__file__)).parent for package in (arqonmesh, arqonmesh_cli)]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SHOWN and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    yield code.value, node, f"{path}:{node.lineno}"


def written(text: ast.expr) -> str:
    """A text as it stands in the program, with {} for what comes from elsewhere; of a call what it is about."""
    if isinstance(text, ast.Call) and len(text.args) == 1:
        return written(text.args[0])
    if isinstance(text, ast.JoinedStr):
        return "".join(written(part) for part in text.values)
    return text.value if isinstance(text, ast.Constant) and isinstance(text.value, str) else "{}"


def test_every_error_that_reaches_a_person_is_explained() -> None:
    """`arqon explain CODE` knows it: what it means and what to do."""
    found = {code: where for code, _, where in calls()}
    assert len(found) > 50
    assert {code: where for code, where in found.items() if code not in CATALOGUE} == {}


def test_the_second_line_of_an_error_is_not_its_third() -> None:
    """What would be right comes behind "; ", or from the catalogue, and is not the command of the hint again."""
    repeated = {}
    for code, call, where in calls():
        hint = next((written(word.value) for word in call.keywords if word.arg == "hint"), "")
        sentence = written(call.args[1]) if len(call.args) > 1 else "{}"
        hint = hint.removesuffix(" {}")  # which node the command is for
        if hint and sentence != "{}" and "; " not in sentence and code in CATALOGUE:
            words = CATALOGUE[code][1].replace("`", "").rstrip(".").partition(" ")[2]
            if words.removeprefix("them with ") == hint:
                repeated[where] = code
    assert repeated == {}
