"""Small truths about processes: who serves a socket, whether a process is gone."""

from __future__ import annotations

import os
import socket
import struct
import time
from pathlib import Path


def listener_pid(path: Path) -> int | None:
    """The process that listens on this Unix socket, told by the kernel (SO_PEERCRED, unix(7)); None when none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
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


def _state(pid: int) -> str:
    """The letter that ps shows; X for a process that is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return fields.rpartition(")")[2].split()[0]
