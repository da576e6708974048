"""Which sections have been here: per origin and epoch the highest sequence number and a window below it.

Deduplication by the origin's own numbers is compact, durable and needs no clock; a cache with a lifetime would let an
old message through after it expired. Below the window everything counts as seen: at most once comes before at least
once.

    high = 9, seen = 0b1011      9 8 . 6 have been here, 7 has not; below 9 - WINDOW: taken as seen
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, cast

from arqonmesh.core.kernel import Delete, Put, Row, Write
from arqonmesh.ids import NodeId

WINDOW: Final = 4_096
_MASK: Final = (1 << WINDOW) - 1

ORIGINS_MAX: Final = 8_192
"""Only members get a row, so a mesh would have to be larger than this for one to be evicted."""
EPOCHS_MAX: Final = 8
"""Lives of one origin kept apart; of an older one than these nothing is taken any more."""


class Seen(Enum):
    NEW = "new"
    DUPLICATE = "duplicate"
    BELOW = "below the window"


class Window:
    """The sections of one epoch of one origin."""

    __slots__ = ("high", "seen")

    def __init__(self, high: int = 0, seen: int = 1) -> None:
        self.high = high
        self.seen = seen

    def look(self, seq: int) -> Seen:
        back = self.high - seq
        if back < 0:
            return Seen.NEW
        if back >= WINDOW:
            return Seen.BELOW
        return Seen.DUPLICATE if self.seen >> back & 1 else Seen.NEW

    def add(self, seq: int) -> None:
        step = seq - self.high
        if step > 0:
            self.seen = ((self.seen << step) | 1) & _MASK if step < WINDOW else 1
            self.high = seq
        elif -step < WINDOW:
            self.seen |= 1 << -step


class Inbox:
    """All windows, least recently used origin first. `take_writes` gives what changed since the last call."""

    def __init__(self) -> None:
        self._origins: dict[NodeId, dict[int, Window]] = {}
        self._dirty: dict[tuple[NodeId, int], Window | None] = {}
        self.evicted = 0
        """Origins forgotten because there were too many."""

    def load(self, rows: Iterable[Row]) -> None:
        """Rows of the table `inbox`."""
        for origin, epoch, high, seen in rows:
            window = Window(cast(int, high), int.from_bytes(cast(bytes, seen), "big"))
            self._origins.setdefault(NodeId(cast(str, origin)), {})[cast(int, epoch)] = window

    def look(self, origin: NodeId, epoch: int, seq: int) -> Seen:
        """Has this section been here? Changes nothing."""
        epochs = self._origins.get(origin)
        if epochs is None:
            return Seen.NEW
        window = epochs.get(epoch)
        if window is not None:
            return window.look(seq)
        return Seen.BELOW if len(epochs) >= EPOCHS_MAX and epoch < min(epochs) else Seen.NEW

    def add(self, origin: NodeId, epoch: int, seq: int) -> None:
        """This section is here now; `look` said that it is new."""
        epochs = self._origins.get(origin)
        if epochs is None:
            epochs = self._adopt(origin)
        window = epochs.get(epoch)
        if window is None:
            window = epochs[epoch] = Window()
            if len(epochs) > EPOCHS_MAX:
                oldest = min(epochs)
                del epochs[oldest]
                self._dirty[origin, oldest] = None
        window.add(seq)
        self._dirty[origin, epoch] = window

    def take_writes(self) -> list[Write]:
        writes: list[Write] = []
        for (origin, epoch), window in self._dirty.items():
            if window is None:
                writes.append(Delete("inbox", (origin, epoch)))
            else:
                seen = window.seen.to_bytes((window.seen.bit_length() + 7) // 8, "big")
                writes.append(Put("inbox", (origin, epoch, window.high, seen)))
        self._dirty.clear()
        return writes

    def forget_changes(self) -> None:
        """For an inbox that lives in memory only."""
        self._dirty.clear()

    def _adopt(self, origin: NodeId) -> dict[int, Window]:
        if len(self._origins) >= ORIGINS_MAX:
            oldest = next(iter(self._origins))
            for epoch in self._origins.pop(oldest):
                self._dirty[oldest, epoch] = None
            self.evicted += 1
        return self._origins.setdefault(origin, {})
