"""Named data directories: how `--context hq` finds a node of a running demo or lab.

A small JSON file in the user's runtime directory; who starts named nodes writes their names and removes them. A name
whose owner process is gone does not count.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from arqonmesh.errors import ConfigError, NotFound


def registry_path() -> Path:
    """The registry's file; its directory is made, and refused when it is not ours alone."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    directory = Path(base) / "arqonmesh" if base else Path(tempfile.gettempdir()) / f"arqonmesh-{os.getuid()}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ConfigError(
            "cli.runtime-dir",
            f"{directory} can be written by others; it needs to be a directory of ours with mode 0700",
            hint=f"ls -ld {directory}",
        )
    return directory / "contexts.json"


def contexts() -> dict[str, Path]:
    """Names that count now, with their data directories."""
    return {
        name: Path(entry["data_dir"])
        for name, entry in _read().items()
        if isinstance(entry, dict) and isinstance(entry.get("data_dir"), str) and _alive(entry.get("pid"))
    }


def find(name: str) -> Path:
    """The data directory behind a name. Raises NotFound with the names that there are."""
    known = contexts()
    if name in known:
        return known[name]
    there_are = ", ".join(sorted(known)) or "none now; `arqon demo` makes hq, factory and store"
    raise NotFound("cli.context", f"no context is named {name!r}; there are: {there_are}", hint="arqon demo")


def register(names: dict[str, Path], owner: int | None = None) -> None:
    """Add names that hold while process `owner` (this one by default) runs; replaces those of the same spelling."""
    entries = {name: entry for name, entry in _read().items() if isinstance(entry, dict) and _alive(entry.get("pid"))}
    entries |= {name: {"data_dir": str(path), "pid": owner or os.getpid()} for name, path in names.items()}
    _write(entries)


def unregister(names: dict[str, Path]) -> None:
    """Remove those names that still mean these directories."""
    entries = _read()
    for name, path in names.items():
        if isinstance(entries.get(name), dict) and entries[name].get("data_dir") == str(path):
            del entries[name]
    _write(entries)


def _read() -> dict[str, Any]:
    try:
        found = json.loads(registry_path().read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(entries: dict[str, Any]) -> None:
    path = registry_path()
    scratch = path.with_suffix(f".{os.getpid()}")
    scratch.write_text(json.dumps(entries, indent=2) + "\n")
    scratch.replace(path)


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
