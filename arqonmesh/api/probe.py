"""Whether a process listens on a Unix socket, and which: tells a live node from what a dead one left behind."""

from __future__ import annotations

import os
import socket
import struct
from enum import Enum

from arqonmesh.errors import Denied


class Listener(Enum):
    """Who is at the other end of a socket's path."""

    NOBODY = 0
    TAKES_CALLS = 1
    FULL = 2
    """Its queue of calls that it has not taken yet is full (EAGAIN, connect(2)): it is busy, hangs, or is held."""


def knock(path: str | os.PathLike[str]) -> tuple[Listener, int | None]:
    """Who listens, and the process that does where it takes calls (SO_PEERCRED, unix(7)). Raises Denied when that is
    not ours to know."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except PermissionError as error:
            raise Denied(
                "api.denied",
                f"{path} belongs to another user, or lies where this one may not look; it needs the user of the node",
                hint=f"ls -l {path}",
            ) from error
        except BlockingIOError:
            return Listener.FULL, None
        except OSError:
            return Listener.NOBODY, None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)
    return Listener.TAKES_CALLS, int(pid)


def listener(path: str | os.PathLike[str]) -> Listener:
    """Who listens. Raises Denied as `knock`."""
    return knock(path)[0]


def answers(path: str | os.PathLike[str]) -> bool:
    """Whether anybody listens, however busy. Raises Denied as `knock`."""
    return listener(path) is not Listener.NOBODY
