"""Modules that are put off: an import of them runs nothing, the first use everything."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arqonmesh_cli.lean import put_off


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that says which of its files have run."""
    folder = tmp_path / "arqon_toy"
    folder.mkdir()
    note = f"with open({str(tmp_path / 'ran')!r}, 'a') as ran:\n    ran.write(__name__ + ' ')\n"
    (folder / "__init__.py").write_text(note + "from arqon_toy import inner\n")
    (folder / "inner.py").write_text(note + "VALUE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"
    for name in [name for name in sys.modules if name.startswith("arqon_toy")]:
        del sys.modules[name]


def test_a_module_that_is_put_off_runs_when_something_in_it_is_asked_for(library: Path) -> None:
    """However often it is imported before."""
    put_off("arqon_toy")
    toy = importlib.import_module("arqon_toy")
    assert importlib.import_module("arqon_toy") is toy
    assert not library.exists()
    assert toy.inner.VALUE == 7
    assert library.read_text().split() == ["arqon_toy", "arqon_toy.inner"]


def test_a_part_is_put_off_without_running_the_package_around_it(library: Path) -> None:
    """`from package import part` finds it."""
    put_off("arqon_toy.inner")
    inner = __import__("arqon_toy", fromlist=["inner"]).inner
    assert not library.exists()
    assert inner.VALUE == 7
    assert library.read_text().split() == ["arqon_toy.inner"]


def test_a_name_that_is_missing_is_missing_also_in_a_module_that_was_put_off(library: Path) -> None:
    """After it has run, it is like any other."""
    put_off("arqon_toy.inner")
    inner = __import__("arqon_toy", fromlist=["inner"]).inner
    with pytest.raises(AttributeError, match="NOTHING"):
        _ = inner.NOTHING


def test_what_is_loaded_already_and_what_is_not_there_are_left_alone(library: Path) -> None:
    """Putting off is a saving, never a condition."""
    toy = importlib.import_module("arqon_toy")
    put_off("arqon_toy")
    put_off("arqon_toy.inner")
    put_off("arqon_no_such_library.part")
    assert sys.modules["arqon_toy"] is toy
    assert "arqon_no_such_library" not in sys.modules


def test_a_module_that_fails_when_it_is_first_used_is_not_there_afterwards(library: Path) -> None:
    """As with import: nobody gets the half of it, and whoever imports it again is told why."""
    (library.parent / "arqon_toy" / "inner.py").write_text("HALF = 1\nraise OSError('no such drive')\n")
    put_off("arqon_toy.inner")
    inner = __import__("arqon_toy", fromlist=["inner"]).inner
    with pytest.raises(OSError, match="no such drive"):
        _ = inner.VALUE
    for _ in range(2):
        with pytest.raises(OSError, match="no such drive"):
            __import__("arqon_toy", fromlist=["inner"])
