"""Small truths about processes: who serves a socket, whether a process is gone."""

from __future__ import annotations

import os
import re
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
_LINE: Final = re.compile(
    rb"[0-9A-Fa-f]+: [0-9A-Fa-f]{8} [0-9A-Fa-f]{8} (?P<flags>[0-9A-Fa-f]{8}) [0-9A-Fa-f]{4} [0-9A-Fa-f]{2} +"
    rb"(?P<inode>[0-9]+) (?P<name>.+)"
)


def listener_pid(path: Path) -> int | None:
    """The process that listens on this Unix socket; None when none does, when it is another user's, when it is in
    another PID namespace, or when its queue is full and it is in another network namespace than this command, or
    not the only one of whom the kernel's list seems to say so."""
    try:
        found, pid = knock(path)
    except Denied:
        return None
    return _holder(path) if found is Listener.FULL else pid or None  # 0: of no process here (pid_namespaces(7))


def began(pid: int) -> str:
    """When a process began, in ticks since the machine did: with its number, which process it is (proc_pid_stat(5)).
    Nothing for one that is not there."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def gone(pid: int, since: str = "") -> bool:
    """Whether a process has ended; one that waits for its parent to notice counts as ended (proc_pid_stat(5)). `since`:
    when it began; who has its number and began at another time is somebody else."""
    return _state(pid) in ("Z", "X") or (since != "" and began(pid) != since)


def stopped(pid: int) -> bool:
    """Whether a process is held, by SIGSTOP or by a debugger (proc_pid_stat(5)): it takes connections and answers
    none, because the kernel takes them for it."""
    return _state(pid) in ("T", "t")


def wait_gone(pid: int, patience_s: float, since: str = "") -> bool:
    """Wait for a process to end; False when it has not in time. `since` as in `gone`."""
    deadline = time.monotonic() + max(patience_s, 0.0)
    while not gone(pid, since):
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
    """The process that has the listening socket with this path open, without calling it. None when several seem to:
    a name that another user gave its socket may hold a line break, and what looks like the next line."""
    inodes = set()
    for line in SOCKETS.read_bytes().split(b"\n"):
        shown = _LINE.fullmatch(line)
        if shown is not None and int(shown["flags"], 16) & LISTENS and _same(os.fsdecode(shown["name"]), path):
            inodes.add(f"socket:[{int(shown['inode'])}]")
    found = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if any(descriptor in inodes for descriptor in _descriptors(process))
    ]
    return found[0] if len(found) == 1 else None


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
    fields = _stat(pid)
    return fields[0] if fields else "X"


def _stat(pid: int) -> list[str]:
    """What the kernel tells of a process behind its name, which may have spaces; nothing of one that is not there."""
    try:
        told = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return told.rpartition(b")")[2].decode().split()
