"""One line that tells how far a long run is: on standard error, only on a terminal, a few times a second at most."""

from __future__ import annotations

import sys
import time
from typing import Final

EVERY_S: Final = 0.2
CLEAR: Final = "\r\x1b[K"


class Progress:
    """`total` 0: nobody knows how much there is."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._shows = sys.stderr.isatty()
        self._next_at = time.perf_counter() + EVERY_S

    def show(self, done: int, more: str) -> None:
        if not self._shows or (now := time.perf_counter()) < self._next_at:
            return
        self._next_at = now + EVERY_S
        total = f" of {self._total}" if self._total else ""
        sys.stderr.write(f"{CLEAR}{done}{total} {self._unit}, {more}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._shows:
            sys.stderr.write(CLEAR)
            sys.stderr.flush()
