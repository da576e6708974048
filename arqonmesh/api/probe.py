"""Whether a process listens on a Unix socket: tells a live node from what a dead one left behind."""

from __future__ import annotations

import os
import socket

from arqonmesh.errors import Denied


def answers(path: str | os.PathLike[str]) -> bool:
    """Raises Denied when that is not ours to know."""
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
        except OSError:
            return False
    return True
