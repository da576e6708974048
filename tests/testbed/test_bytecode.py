"""Bytecode that started processes find, so that not each of them compiles all sources anew."""

from __future__ import annotations

from pathlib import Path

from arqonmesh_testbed.bytecode import compile_below, compiled


def test_bytecode_is_written_once_and_anew_when_the_source_says_something_else(tmp_path: Path) -> None:
    """Also when it is as long as before and was changed within the same second: its hash decides."""
    source = tmp_path / "module.py"
    source.write_text("VALUE = 1\n")
    target = compiled(source)
    first = target.stat().st_ino
    assert compiled(source).stat().st_ino == first
    source.write_text("VALUE = 2\n")
    assert compiled(source).stat().st_ino != first


def test_a_file_that_does_not_compile_is_left_to_whoever_imports_it(tmp_path: Path) -> None:
    """Its error belongs there."""
    source = tmp_path / "module.py"
    source.write_text("VALUE =\n")
    assert not compiled(source).exists()


def test_a_directory_that_takes_no_files_costs_the_others_nothing(tmp_path: Path) -> None:
    """Whichever of them comes first. (A file where the bytecode's directory would be stops root, too.)"""
    for name in ("closed", "open", "closed/within"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text("VALUE = 1\n")
    (tmp_path / "module.py").write_text("VALUE = 1\n")
    (tmp_path / "closed" / "__pycache__").write_text("in the way")
    compile_below(tmp_path)
    for folder in (tmp_path, tmp_path / "open", tmp_path / "closed" / "within"):
        assert list((folder / "__pycache__").glob("module.*.pyc")), folder
