"""Bytecode of our own packages beside their sources, as pip writes it when they are installed.

From a checkout under PYTHONDONTWRITEBYTECODE every process compiles all of it anew, which is half of a node's start.
The bytecode is checked against its source by hash (PEP 552): a file changed within the same second is seen, too.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import py_compile
from pathlib import Path
from typing import Final

PACKAGES: Final = ("arqonmesh", "arqonmesh_cli")
"""Found, not imported."""
_HEAD: Final = importlib.util.MAGIC_NUMBER + (3).to_bytes(4, "little")
"""Flags: by hash, and checked."""


@functools.cache
def write_bytecode() -> None:
    """Once per process."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for folder in () if spec is None else spec.submodule_search_locations or ():
            compile_below(Path(folder))


def compile_below(folder: Path) -> None:
    """What is up to date is left alone, and so is a directory that takes no files: those beside it are written."""
    for source in folder.rglob("*.py"):
        with contextlib.suppress(OSError):
            compiled(source)


def compiled(source: Path) -> Path:
    """Where the bytecode of this file is; it fits the file. A file that does not compile has none."""
    target = Path(importlib.util.cache_from_source(str(source)))
    wanted = _HEAD + importlib.util.source_hash(source.read_bytes())
    with contextlib.suppress(FileNotFoundError), target.open("rb") as file:
        if file.read(len(wanted)) == wanted:
            return target
    py_compile.compile(
        str(source), cfile=str(target), quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
    )
    return target
