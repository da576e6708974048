"""Why a TCP address cannot be listened on, in our words: asyncio puts the address into the system's sentence again."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from arqonmesh.errors import ConfigError

_WORDS: Final = {
    errno.EADDRINUSE: "another process has it",
    errno.EADDRNOTAVAIL: "it is no address of this machine",
    errno.EACCES: "that port needs more rights than this user has",
}


def why_not(wrong: OSError) -> str:
    """Of what bind(2), or the resolver, ended with."""
    if isinstance(wrong, socket.gaierror) or wrong.errno is None:  # its numbers are those of getaddrinfo(3)
        return f"{wrong.strerror or wrong}"
    return _WORDS.get(wrong.errno) or os.strerror(wrong.errno)


def no_listen(code: str, what: str, host: str, port: int, setting: str, wrong: OSError) -> ConfigError:
    """`what`: who wanted to listen; `setting`: where the address comes from. The hint is for a node that is made."""
    return ConfigError(
        code,
        f"{what} cannot listen on {host}:{port}: {why_not(wrong)}; it needs a free address of this machine",
        hint=f"ss -ltnp    # who has the port; then set {setting} in the node's arqon.yaml",
    )
