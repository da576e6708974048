"""Where a lab keeps its files, and what it wrote down about itself: enough for any later command to take it down."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from arqonmesh.errors import ConfigError, NotRunning, StorageError, UsageError
from arqonmesh_testbed.processes import Process
from arqonmesh_testbed.topology import Topology

DIRECTORY_VARIABLE: Final = "ARQON_LAB_DIR"
NAME_VARIABLE: Final = "ARQON_LAB_NAME"
DEFAULT_NAME: Final = "lab"
FORMAT: Final = 1
_NAME: Final = re.compile(r"[a-z0-9]{1,12}")


class State(msgspec.Struct, kw_only=True):
    """lab.json."""

    v: int
    name: str
    topology_name: str
    topology: Topology
    switch: Process | None = None
    nodes: dict[str, Process] = {}
    ids: dict[str, str] = {}
    """Node ids by name."""
    up: bool = False
    """Everything started and joined."""
    since_ms: int = 0


class LabFiles:
    """The files of one lab: lab.json, switch.sock, switch.log, nodes/NAME/."""

    def __init__(self, name: str | None = None) -> None:
        self.name = os.environ.get(NAME_VARIABLE, DEFAULT_NAME) if name is None else name
        if not _NAME.fullmatch(self.name):
            raise ConfigError("lab.name", f"a lab is named {self.name!r}; it needs to be 1 to 12 of a-z and 0-9")
        self.base = _base()
        self.root = self.base / self.name

    @property
    def switch_socket(self) -> Path:
        return self.root / "switch.sock"

    @property
    def switch_log(self) -> Path:
        return self.root / "switch.log"

    def node(self, name: str) -> Path:
        return self.root / "nodes" / name

    @property
    def exists(self) -> bool:
        return self.root.exists()

    def create(self) -> None:
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(self.base)
        self.root.mkdir(mode=0o700)
        (self.root / "nodes").mkdir(mode=0o700)

    def save(self, state: State) -> None:
        scratch = self.root / "lab.json.new"
        scratch.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
        scratch.replace(self.root / "lab.json")

    def load(self) -> State:
        """Raises NotRunning when no lab of this name is there, StorageError when its file cannot be read."""
        try:
            return msgspec.json.decode((self.root / "lab.json").read_bytes(), type=State)
        except FileNotFoundError:
            raise NotRunning(
                "lab.not-up", f"there is no lab in {self.root}; one needs to be up", hint="arqon lab up star3"
            ) from None
        except msgspec.MsgspecError as error:
            raise StorageError(
                "lab.state",
                f"{self.root}/lab.json cannot be read: {error}; `down` does without it",
                hint="arqon lab down",
            ) from None

    def remove(self) -> None:
        """Remove the lab's directory and all in it."""
        if self.root.is_dir() and not self.root.is_symlink():
            shutil.rmtree(self.root, ignore_errors=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time builds this lab or takes it down. Raises UsageError `lab.busy`."""
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(self.base)
        path = self.base / f"{self.name}.lock"
        descriptor = self._lock(path)
        try:
            yield
        finally:
            if not self.exists:
                with contextlib.suppress(OSError):
                    path.unlink()
                    self.base.rmdir()  # unless other labs stand there
            os.close(descriptor)

    def _lock(self, path: Path) -> int:
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "another process"
                os.close(descriptor)
                raise UsageError(
                    "lab.busy",
                    f"process {holder} is at work on the lab {self.name!r}; it needs to end first, Ctrl-C is enough",
                    hint="arqon lab status",
                ) from None
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                    return descriptor
            os.close(descriptor)  # its last holder removed it in between


def _base() -> Path:
    """ARQON_LAB_DIR, else /run/arqon-lab where we may write there, else a directory of ours in the temporary one."""
    given = os.environ.get(DIRECTORY_VARIABLE)
    if given:
        return Path(given).absolute()
    run = Path("/run")
    if os.access(run, os.W_OK):
        return run / "arqon-lab"
    return Path(tempfile.gettempdir()) / f"arqon-lab-{os.getuid()}"


def _refuse_shared(path: Path) -> None:
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o022:
        raise ConfigError(
            "lab.directory",
            f"{path} can be written by others or is no directory; it needs to be ours alone",
            hint=f"ls -ld {path}",
        )
