"""The control socket as a file: whose it is, whether somebody serves it, and that nobody else may open it."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from arqonmesh.api.probe import answers
from arqonmesh.errors import ConfigError, UsageError

SOCKET_MODE: Final = 0o600


def beside(path: Path) -> Path:
    """Where a server is bound that takes the socket's place by being renamed: as long, since a path is short of room
    (unix(7)). The kernel goes on calling it by this name (proc_net_unix(5))."""
    return path.with_name("~" + path.name[1:])


@contextlib.contextmanager
def making(path: Path) -> Iterator[None]:
    """Bind in this block; then the socket is its owner's alone. Raises ConfigError `api.socket-bind`."""
    # The mask covers the instant between bind and chmod, in which anyone could connect otherwise.
    before = os.umask(0o077)
    try:
        yield
        os.chmod(path, SOCKET_MODE)
    except (RuntimeError, OSError) as error:
        raise ConfigError(
            "api.socket-bind",
            f"the control socket {path} cannot be made ({error}); it needs a directory that exists and is ours",
            hint=f"ls -ld {path.parent}",
        ) from error
    finally:
        os.umask(before)


def clear_the_way(path: Path) -> None:
    """Remove a socket that a dead process left; leave alone what is alive or not a socket.

    Raises UsageError when another process serves here, ConfigError when it is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            "api.socket-bind",
            f"{path} exists and is not a socket; it needs to be moved away, it is not overwritten",
            hint=f"ls -l {path}",
        )
    if answers(path):
        raise UsageError(
            "api.already-running",
            f"a node already serves {path}; it needs to be stopped first",
            hint=f"arqon node stop --data-dir {shlex.quote(str(path.parent))}",
        )
    path.unlink(missing_ok=True)
