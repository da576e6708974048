"""Documentation that cannot drift."""

from __future__ import annotations

import re
from pathlib import Path

from arqonmesh.errors import CATALOGUE
from arqonmesh_cli.reference import render

ROOT = Path(__file__).parents[2]


def test_the_command_reference_is_current() -> None:
    """After a change: python -m arqonmesh_cli.reference > docs/reference/cli.md."""
    assert (ROOT / "docs/reference/cli.md").read_text() == render()


def test_every_error_code_of_these_rooms_can_be_explained() -> None:
    """`arqon explain CODE` knows each code that the command or the control API can show."""
    code = re.compile(r'"((?:api|cli|demo)\.[a-z-]+)"')
    used = {
        found
        for room in ("cli", "arqonmesh/api")
        for path in (ROOT / room).rglob("*.py")
        for found in code.findall(path.read_text())
    }
    assert used
    assert used <= set(CATALOGUE)


def test_every_command_in_the_reference_is_one_that_there_is() -> None:
    """Headings follow the tree."""
    headings = re.findall(r"^#+ `(arqon .*)`$", render(), re.MULTILINE)
    assert "arqon mesh status" in headings
    assert len(headings) == len(set(headings))
