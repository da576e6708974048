"""Processes of a lab, told apart from others that got the same number later, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

import msgspec

MARK: Final = "ARQON_LAB"
"""In the environment of every process that a lab starts, with the lab's name: found also when nobody wrote it down."""
PATIENCE_S: Final = 3.0


class Process(msgspec.Struct, frozen=True):
    """A process by number and start time (clock ticks since boot, proc_pid_stat(5)); no two ever share both."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """None when it has ended."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in ("Z", "X") else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        """Nothing when it is gone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def marked(lab: str) -> list[Process]:
    """Processes that carry a lab's mark in their environment, us and our parents aside."""
    ours = _ancestors()
    found = []
    wanted = f"{MARK}={lab}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in ours:
            continue
        try:
            environ = (entry / "environ").read_bytes()
        except OSError:
            continue
        process = Process.of(int(entry.name)) if wanted in environ.split(b"\0") else None
        if process is not None:
            found.append(process)
    return found


def end(processes: list[Process], patience_s: float = PATIENCE_S) -> int:
    """SIGTERM, a while of patience, SIGKILL for the rest; how many had to be killed. Returns when all are gone."""
    for process in processes:
        process.signal(signal.SIGTERM)
    left = _wait(processes, patience_s)
    for process in left:
        process.signal(signal.SIGKILL)
    _wait(left, PATIENCE_S)
    return len(left)


def _wait(processes: list[Process], patience_s: float) -> list[Process]:
    """Those that still live after so long; children of ours are reaped on the way."""
    deadline = time.monotonic() + patience_s
    while left := [process for process in processes if process.alive]:
        if time.monotonic() >= deadline:
            return left
        time.sleep(0.02)
    return []


def _ancestors() -> set[int]:
    ours = set()
    pid = os.getpid()
    while pid:
        ours.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
    return ours
