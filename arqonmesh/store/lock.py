"""One process per data directory.

The lock is flock(2) on a small file beside the database: the kernel lets go of it when the process ends, however it
ends, so there are no stale locks. The process id inside is for the message only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
from pathlib import Path

from arqonmesh.errors import StorageError


class FileLock:
    """Held from `acquire` to `release` or the end of the process. The file stays; removing it would be a race."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def acquire(cls, path: Path) -> FileLock:
        """Take the lock at once. Raises StorageError `store.in-use`, `store.full` or `store.unwritable`."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                "store.unwritable",
                f"cannot make the lock file {path}: {error.strerror}",
                hint=f"ls -ld {path.parent}",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StorageError(
                "store.in-use",
                f"{path.parent} is in use by another node process (pid {holder}); one data directory is one node",
                hint=f"arqon node status --data-dir {shlex.quote(str(path.parent))}",
            ) from error
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                said = f"no space left to write {path}"
                raise StorageError("store.full", said, hint=f"df -h {path.parent}") from error
            said = f"cannot write the lock file {path}: {error.strerror}"
            raise StorageError("store.unwritable", said, hint=f"ls -ld {path.parent}") from error
        return cls(path, fd)

    def release(self) -> None:
        """Let go; repeats are harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
