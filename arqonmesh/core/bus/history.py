"""The newest frames of each channel, in memory: so many per channel, so many bytes in all.

When the bytes run out, the channels that were quiet longest give up the older half of theirs (CLOCK page
replacement: a channel that was written since the hand last passed is spared once).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

HISTORY_BYTES_MAX: Final = 64 << 20
"""Over all channels. A guess that keeps a node small; 10,000 channels of full histories would be gigabytes."""


class Ring:
    """The history of one channel."""

    __slots__ = ("frames", "held_bytes", "touched")

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.held_bytes = 0
        self.touched = False


class History:
    """All rings of a node. `per_channel` frames each, `bytes_max` in all."""

    def __init__(self, per_channel: int, bytes_max: int = HISTORY_BYTES_MAX) -> None:
        self._per_channel = per_channel
        self._bytes_max = bytes_max
        self._clock: OrderedDict[str, Ring] = OrderedDict()
        self.held_bytes = 0
        self.evicted = 0
        """Frames given up because of `bytes_max`; those beyond `per_channel` are not counted."""

    def extend(self, name: str, ring: Ring, frames: Sequence[bytes]) -> None:
        """Keep these, newest last."""
        if self._per_channel == 0:
            return
        kept = ring.frames
        kept.extend(frames)
        grown = sum(map(len, frames))
        for _ in range(len(kept) - self._per_channel):
            grown -= len(kept.popleft())
        ring.held_bytes += grown
        self.held_bytes += grown
        if not ring.touched:
            ring.touched = True
            self._clock[name] = ring
        if self.held_bytes > self._bytes_max:
            self._shrink()

    def newest(self, ring: Ring, limit: int, bytes_max: int) -> list[bytes]:
        """The newest frames, oldest first: at most `limit` of them and `bytes_max` bytes."""
        picked: list[bytes] = []
        total = 0
        for frame in islice(reversed(ring.frames), limit):
            total += len(frame)
            if total > bytes_max:
                break
            picked.append(frame)
        picked.reverse()
        return picked

    def forget(self, name: str, ring: Ring) -> None:
        """Let go of a whole channel."""
        self.held_bytes -= ring.held_bytes
        ring.held_bytes = 0
        ring.frames.clear()
        ring.touched = False
        self._clock.pop(name, None)

    def _shrink(self) -> None:
        while self.held_bytes > self._bytes_max:
            name, ring = self._clock.popitem(last=False)
            if ring.touched:
                ring.touched = False
                self._clock[name] = ring
                continue
            for _ in range((len(ring.frames) + 1) // 2):
                size = len(ring.frames.popleft())
                ring.held_bytes -= size
                self.held_bytes -= size
                self.evicted += 1
            if ring.frames:
                self._clock[name] = ring
