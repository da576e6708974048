"""Small truths about processes: who serves a socket, whether a process is gone."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path
from typing import Final

LISTENS: Final = 1 << 16
"""The flag of a listening socket in /proc/net/unix (__SO_ACCEPTCON)."""


def listener_pid(path: Path) -> int | None:
    """The process that listens on this Unix socket, told by the kernel (SO_PEERCRED, unix(7)); None when none does, or
    when its queue is full and it is in another network namespace than this command."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except BlockingIOError:  # its queue is full: nobody takes what is in it
            return _holder(path)
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)
    return int(pid)


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
    """The process that has the listening socket with this path open, without calling it (proc_net_unix(5))."""
    inodes = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *name = line.split(maxsplit=7)
        if int(flags, 16) & LISTENS and name and _same(name[0], path):
            inodes.add(f"socket:[{inode}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(descriptor) in inodes for descriptor in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:  # it is another user's, or has just ended
            continue
    return None


def _same(name: str, path: Path) -> bool:
    """Whether a socket was bound where `path` leads, by whatever links."""
    try:
        return os.path.basename(name) == path.name and os.path.samefile(name, path)
    except OSError:
        return False


def _state(pid: int) -> str:
    """The letter that ps shows; X for a process that is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return fields.rpartition(")")[2].split()[0]
