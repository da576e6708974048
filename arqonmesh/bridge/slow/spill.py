"""The rest of a backlog in a file: written and read in order, unlinked from the start, bounded per client and in all.

Reading and writing happen on the event loop: they meet the page cache, not the disk, and one client's part of it is
bounded. A file begins anew whenever it has been read to its end.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from struct import Struct
from typing import Final

_HEAD: Final = Struct("<II")
"""Bytes and messages of one entry."""


class SpillRoom:
    """Where files go, and how much all of them may hold together."""

    def __init__(self, folder: Path | None, bytes_max: int, total_bytes_max: int) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        self.total_bytes_max = total_bytes_max
        self.bytes = 0


class SpillFile:
    """First in, first out. Holds a file descriptor; `close` gives back its share."""

    def __init__(self, room: SpillRoom) -> None:
        """Raises OSError."""
        self._room = room
        self._file = tempfile.TemporaryFile(dir=room.folder, prefix="arqon-spill-", buffering=0)  # noqa: SIM115
        self._written = 0
        self._read = 0

    def __bool__(self) -> bool:
        return self._read < self._written

    @property
    def waiting_bytes(self) -> int:
        return self._written - self._read

    def append(self, data: bytes, messages: int) -> bool:
        """False when there is no room, or the disk says no; then nothing was added."""
        room, size = self._room, _HEAD.size + len(data)
        if self._written + size > room.bytes_max or room.bytes + size > room.total_bytes_max:
            return False
        entry = _HEAD.pack(len(data), messages) + data
        try:
            if os.pwrite(self._file.fileno(), entry, self._written) != size:
                return False
        except OSError:
            return False
        self._written += size
        room.bytes += size
        return True

    def pop(self) -> tuple[bytes, int]:
        """The oldest entry; there has to be one. Raises OSError when the disk does not give it back."""
        descriptor = self._file.fileno()
        size, messages = _HEAD.unpack(os.pread(descriptor, _HEAD.size, self._read))
        data = os.pread(descriptor, size, self._read + _HEAD.size)
        if len(data) != size:
            raise OSError(f"{len(data)} of {size} bytes came back")
        self._read += _HEAD.size + size
        if self._read == self._written:
            os.ftruncate(descriptor, 0)
            self._room.bytes -= self._written
            self._read = self._written = 0
        return data, messages

    def close(self) -> None:
        self._room.bytes -= self._written
        self._read = self._written = 0
        self._file.close()
