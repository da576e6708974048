"""Reading a log file that somebody else writes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

TAIL_BYTES_MAX: Final = 4 << 20
POLL_S: Final = 0.1


def last_lines(path: Path, count: int) -> list[str]:
    """The newest `count` lines; at most 4 MiB are read for them."""
    with path.open("rb") as file:
        return _tail(file, count)


def follow(path: Path, count: int) -> Iterator[str]:
    """The newest `count` lines, then those written from then on, for ever; goes on with the new file when the old one
    is moved away or cut. One open file for both, so that nothing falls between them."""
    file = path.open("rb")
    unfinished = b""
    yield from _tail(file, count)
    try:
        while True:
            piece = file.readline(1 << 20)
            if piece:
                unfinished += piece
                if unfinished.endswith(b"\n") or len(unfinished) > 1 << 20:
                    yield unfinished.decode("utf-8", "replace").rstrip("\n")
                    unfinished = b""
                continue
            time.sleep(POLL_S)
            if _replaced(path, file.fileno(), file.tell()):
                file.close()
                file, unfinished = path.open("rb"), b""
    finally:
        file.close()


def _tail(file: BinaryIO, count: int) -> list[str]:
    """The newest lines; the file stands behind them."""
    size = file.seek(0, 2)
    file.seek(max(0, size - TAIL_BYTES_MAX))
    return [line.decode("utf-8", "replace").rstrip("\n") for line in deque(file, maxlen=count)]


def _replaced(path: Path, descriptor: int, position: int) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) or now.st_size < position
