"""Named data directories: how `--context hq` finds a node of a running demo or lab.

A small JSON file in the user's runtime directory; who starts named nodes writes their names and removes them. A name
whose owner process is gone does not count, and neither does one whose owner's number is another's by now. Who changes
the file holds a lock beside it, so that of two who want a name one gets it and the other hears of that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arqonmesh.errors import ConfigError, NotFound, UsageError
from arqonmesh_cli.processes import began, gone


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
        if isinstance(entry, dict) and isinstance(entry.get("data_dir"), str) and _alive(entry)
    }


def find(name: str) -> Path:
    """The data directory behind a name. Raises NotFound with the names that there are."""
    known = contexts()
    if name in known:
        return known[name]
    there_are = ", ".join(sorted(known)) or "none now; `arqon demo` makes hq, factory and store"
    hint = f"arqon node status --context {min(known)}" if known else "arqon demo"
    raise NotFound("cli.context", f"no context is named {name!r}; there are: {there_are}", hint=hint)


def register(names: dict[str, Path], owner: int | None = None) -> None:
    """Add names that hold while process `owner` (this one by default) runs; replaces those of the same spelling."""
    with _locked():
        _add(names, owner or os.getpid())


def claim(names: dict[str, Path]) -> None:
    """As `register` for this process, unless one of them is somebody else's: he shows commands with it. Raises as
    `refuse_taken`."""
    with _locked():
        refuse_taken(names)
        _add(names, os.getpid())


def refuse_taken(names: dict[str, Path]) -> None:
    """Raises UsageError `cli.context-taken`, with the process, when one of the names means another directory now."""
    known = _read()
    taken = {name: known[name] for name in names if name in contexts() and known[name]["data_dir"] != str(names[name])}
    if taken:
        name, entry = min(taken.items())
        whose = f"process {entry['pid']} has named its nodes {', '.join(sorted(taken))}"
        raise UsageError(
            "cli.context-taken",
            f"{whose}, and a second one of each would mislead its commands; it needs to end first",
            hint=f"arqon node status --context {name}    # to look at it; kill {entry['pid']} ends it",
        )


def unregister(names: dict[str, Path]) -> None:
    """Remove those names that still mean these directories."""
    with _locked():
        entries = _read()
        for name, path in names.items():
            if isinstance(entries.get(name), dict) and entries[name].get("data_dir") == str(path):
                del entries[name]
        _write(entries)


def _add(names: dict[str, Path], owner: int) -> None:
    entries = {name: entry for name, entry in _read().items() if isinstance(entry, dict) and _alive(entry)}
    since = began(owner)
    entries |= {name: {"data_dir": str(path), "pid": owner, "since": since} for name, path in names.items()}
    _write(entries)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    with registry_path().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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


def _alive(entry: dict[str, Any]) -> bool:
    """Whether the process that owns this name still runs; one that began at another time only has its number."""
    pid, since = entry.get("pid"), entry.get("since", "")
    return isinstance(pid, int) and pid > 0 and isinstance(since, str) and not gone(pid, since)
