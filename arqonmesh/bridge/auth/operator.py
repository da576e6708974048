"""The operator's own token: `arqon pub`, `sub` and `tail` beside a node are let in as its admin.

A node writes a new one at each start, 0600 in its data directory. Whoever can read it can make an admin's key there as
well (bus-keys.db), so it gives nobody more than he has. It is shown to the node's own bus only.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from arqonmesh.errors import StorageError

FILE: Final = "operator.token"
_BYTES_MAX: Final = 256


def renew(folder: Path) -> str:
    """A new token, in place of the one before. Raises StorageError `bus.operator-token`."""
    path, token = folder / FILE, "arqo_" + secrets.token_urlsafe(32)
    scratch = path.with_suffix(".new")
    try:
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token)
        scratch.replace(path)
    except OSError as error:
        raise StorageError(
            "bus.operator-token", f"{path} cannot be written: {error.strerror or error}", hint=f"ls -ld {folder}"
        ) from error
    return token


def read(folder: Path) -> str | None:
    """The token of the node of this directory; None when there is none for us."""
    try:
        with (folder / FILE).open() as file:
            return file.read(_BYTES_MAX).strip() or None
    except (OSError, UnicodeDecodeError):
        return None
