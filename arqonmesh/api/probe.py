"""Whether a process listens on a Unix socket: tells a live node from what a dead one left behind."""

from __future__ import annotations

import os
import socket


def answers(path: str | os.PathLike[str]) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True
