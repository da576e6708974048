"""The files of one node, all below one directory that only its owner can enter.

    arqon.yaml      settings                      mesh.db (-wal, -shm, .lock)   what survives (store/)
                                                  history.db (-wal, -shm)       the bus's history (store/history/)
    node.key        the node's identity           node.log                      what --detach writes
    control.sock    the control API               control.path                  where that socket is instead

The kernel holds at most 107 bytes of a Unix socket's path (unix(7)). Where the directory's own path leaves no room,
the socket goes to the user's runtime directory under a short name, and control.path says where, so that clients find
it whatever their environment.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arqonmesh.errors import ConfigError

SOCKET_PATH_BYTES_MAX: Final = 107
VARIABLE: Final = "ARQON_DATA_DIR"


@dataclass(frozen=True, slots=True)
class DataDir:
    """Where things are. Nothing is made or read here except where a method says so."""

    root: Path

    @classmethod
    def choose(cls, given: Path | None, environ: Mapping[str, str]) -> DataDir:
        """`--data-dir`, else ARQON_DATA_DIR, else XDG_DATA_HOME/arqon, else ~/.local/share/arqon."""
        if given is None and environ.get(VARIABLE):
            given = Path(environ[VARIABLE])
        if given is None:
            base = environ.get("XDG_DATA_HOME")
            given = (Path(base) if base else Path.home() / ".local" / "share") / "arqon"
        return cls(given.expanduser().absolute())

    @property
    def config(self) -> Path:
        return self.root / "arqon.yaml"

    @property
    def node_key(self) -> Path:
        return self.root / "node.key"

    @property
    def database(self) -> Path:
        return self.root / "mesh.db"

    @property
    def log(self) -> Path:
        return self.root / "node.log"

    @property
    def control_socket(self) -> Path:
        """Where the socket is, or will be. Reads control.path when the directory's own path is too long."""
        own = self.root / "control.sock"
        if _fits(own):
            return own
        try:
            told = Path(self._pointer.read_text().strip())
        except (OSError, ValueError):
            told = Path()
        return told if told.is_absolute() and _fits(told) else self._short_socket()

    @property
    def initialised(self) -> bool:
        """`arqon init` was here."""
        return self.config.exists()

    def refuse_file(self) -> None:
        """Raises ConfigError `config.data-dir` where a file stands in the directory's place, or above it."""
        there = next(path for path in (self.root, *self.root.parents) if os.path.exists(path))
        if not os.path.isdir(there):
            said = f"{there} is a file"
            if there != self.root:
                said = f"the data directory {self.root} cannot be made, because {said}"
            hint = f"ls -l {shlex.quote(str(there))}"
            raise ConfigError("config.data-dir", f"{said}; a directory is needed", hint=hint)

    def create(self) -> None:
        """Make the directory, 0700. One that exists is kept, and refused when others may write to it.

        Raises ConfigError `config.data-dir`.
        """
        self.refuse_file()
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            seen = self.root.stat()
        except OSError as error:
            raise ConfigError(
                "config.data-dir",
                f"the data directory {self.root} cannot be made: {error.strerror or error}",
                hint=f"ls -ld {self.root.parent}",
            ) from error
        _refuse_shared(self.root, seen)

    def claim_control_socket(self) -> Path:
        """For the node, before it listens: the socket's path, its directory made, control.path written if needed."""
        path = self.control_socket
        if path.parent != self.root:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_shared(path.parent, path.parent.lstat())
            scratch = self._pointer.with_suffix(".new")
            scratch.write_text(f"{path}\n")
            scratch.replace(self._pointer)
        return path

    @property
    def _pointer(self) -> Path:
        return self.root / "control.path"

    def _short_socket(self) -> Path:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16] + ".sock"
        candidates = [Path(runtime) / "arqonmesh"] if runtime else []
        candidates.append(Path(tempfile.gettempdir()) / f"arqonmesh-{os.getuid()}")
        for directory in candidates:
            if _fits(directory / name):
                return directory / name
        return Path("/tmp") / f"arqonmesh-{os.getuid()}" / name  # noqa: S108 - a 0700 directory, checked when made


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX


def _refuse_shared(path: Path, seen: os.stat_result) -> None:
    if not stat.S_ISDIR(seen.st_mode):
        raise ConfigError("config.data-dir", f"{path} is not a directory", hint=f"ls -ld {path}")
    if seen.st_uid not in (os.getuid(), 0) or seen.st_mode & 0o022:
        raise ConfigError(
            "config.data-dir",
            f"{path} can be written by others (mode {seen.st_mode & 0o777:04o}, owner {seen.st_uid}); "
            "it needs to be this user's alone",
            hint=f"chmod 0700 {path}",
        )
