"""Small truths about processes: who serves a socket, whether a process is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from arqonmesh.api.probe import Listener, knock
from arqonmesh.api.socket_file import beside
from arqonmesh.errors import Denied

SOCKETS: Final = Path("/proc/net/unix")
"""Those of this network namespace (proc_net_unix(5))."""
LISTENS: Final = 1 << 16
"""The flag of a listening one in that list (__SO_ACCEPTCON)."""


def listener_pid(path: Path) -> int | None:
    """The process that listens on this Unix socket; None when none does, when it is another user's, when it is in
    another PID namespace, or when its queue is full and it is in another network namespace than this command."""
    try:
        found, pid = knock(path)
    except Denied:
        return None
    return _holder(path) if found is Listener.FULL else pid or None  # 0: of no process here (pid_namespaces(7))


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent to notice counts as ended (proc_pid_stat(5))."""
    return _state(pid) in ("Z", "X")


def stopped(pid: int) -> bool:
    """Whether a process is held, by SIGSTOP or by a debugger (proc_pid_stat(5)): it takes connections and answers
    none, because the kernel takes them for it."""
    return _state(pid) in ("T", "t")


def wait_gone(pid: int, patience_s: float) -> bool:
    """Wait for a process to end; False when it has not in time."""
    deadline = time.monotonic() + max(patience_s, 0.0)
    while not gone(pid):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def tell(descriptor: int, message: bytes) -> None:
    """Write to a pipe whose reader may be gone by now."""
    try:
        os.write(descriptor, message)
    except OSError:
        return


def _holder(path: Path) -> int | None:
    """The process that has the listening socket with this path open, without calling it."""
    inodes = set()
    for line in SOCKETS.read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *name = line.split(maxsplit=7)
        if int(flags, 16) & LISTENS and name and _same(name[0], path):
            inodes.add(f"socket:[{inode}]")
    for process in Path("/proc").glob("[0-9]*"):
        if any(descriptor in inodes for descriptor in _descriptors(process)):
            return int(process.name)
    return None


def _descriptors(process: Path) -> Iterator[str]:
    """What a process has open; nothing of another user's, or of one that has just ended (proc_pid_fd(5))."""
    try:
        numbers = os.listdir(process / "fd")
    except OSError:
        return
    for number in numbers:
        try:
            yield os.readlink(process / "fd" / number)
        except OSError:  # closed since
            continue


def _same(name: str, path: Path) -> bool:
    """Whether a socket was bound where `path` leads, by whatever links. A server that was bound beside it and renamed
    has its first name for ever; a name that counts from where its process stands says nothing here."""
    if os.path.basename(name) not in (path.name, beside(path).name):
        return False
    try:
        return os.path.isabs(name) and os.path.samefile(os.path.dirname(name), path.parent)
    except OSError:
        return False


def _state(pid: int) -> str:
    """The letter that ps shows; X for a process that is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return fields.rpartition(")")[2].split()[0]
