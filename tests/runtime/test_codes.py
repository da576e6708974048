"""Every code that a person may be shown can be asked about."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import arqonmesh
from arqonmesh.errors import CATALOGUE

SHOWN = ("ConfigError", "UsageError", "NotRunning", "NotFound", "Denied", "TimedOut", "StorageError", "TrustError")
"""PeerError and DecodeError are told to nobody but the log and the counters; the others reach a person."""


def raised() -> Iterator[tuple[str, str]]:
    """(code, where) of every error of these kinds that is made with its code spelled out."""
    package = Path(arqonmesh.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SHOWN and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    yield code.value, f"{path.relative_to(package)}:{node.lineno}"


def test_every_error_that_reaches_a_person_is_explained() -> None:
    """`arqon explain CODE` knows it: what it means and what to do."""
    found = dict(raised())
    assert len(found) > 50
    assert {code: where for code, where in found.items() if code not in CATALOGUE} == {}
