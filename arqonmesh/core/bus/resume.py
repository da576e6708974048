"""A client comes back to a channel and says what it has seen of it: what it missed comes first, then what is live.

    {"type": "join", "channel": "a:b", "since": {"7f2ckd3atu-1tz0ab": 41}}
    ◀ 42, 43, 44 ...                                   every event that it missed, in the order of their arrival here
    ◀ {"type": "response", "payload": {"recovered": true, "missed": 3, "position": {...}}}
    ◀ 45 ...                                           live

What the ring does not hold is read from the disk; what is published meanwhile gathers in a `Tail`, so that nothing
falls in between. From the answer on, `position` is what the client has seen (or has been told is gone).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

TAIL_BYTES_MAX: Final = 4 << 20
"""What is published while one client's past is read; beyond it the client is told of a gap."""


class Tail:
    """What came on a channel since one client asked for its past: (frame, epoch, offset)."""

    __slots__ = ("_bytes", "events", "lost")

    def __init__(self) -> None:
        self.events: list[tuple[bytes, str, int]] = []
        self.lost = 0
        """Events that there was no room for."""
        self._bytes = 0

    def add(self, frames: Sequence[bytes], epoch: str, first: int) -> None:
        for index, frame in enumerate(frames):
            self._bytes += len(frame)
            if self.lost or self._bytes > TAIL_BYTES_MAX:
                self.lost += 1
            else:
                self.events.append((frame, epoch, first + index if epoch else 0))
