"""The newest frames of each channel, in memory: so many per channel, so many bytes in all.

When the bytes run out, the channels that were quiet longest give up the older half of theirs (CLOCK page
replacement: a channel that was written since the hand last passed is spared once). What the ring gave up is on disk,
where there is one.

A ring also knows where its frames stand in their streams (streams.py), as runs of consecutive offsets: a channel with
one publishing node has one run, whatever its length.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from arqonmesh.core.kernel import Range

HISTORY_BYTES_MAX: Final = 64 << 20
"""Over all channels. A guess that keeps a node small; 10,000 channels of full histories would be gigabytes."""


class _Run:
    """Consecutive events of one stream; epoch "" for events that belong to none."""

    __slots__ = ("count", "epoch", "first")

    def __init__(self, epoch: str, first: int, count: int) -> None:
        self.epoch = epoch
        self.first = first
        self.count = count


class Ring:
    """The history of one channel: always the newest that were kept, in the order of their arrival."""

    __slots__ = ("frames", "held_bytes", "runs", "touched", "whole")

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.runs: deque[_Run] = deque()
        self.held_bytes = 0
        self.touched = False
        self.whole = True
        """Nothing was ever kept of this channel that is not in here."""

    def select(self, wanted: Sequence[Range]) -> tuple[list[bytes], bool]:
        """The frames of these stretches, oldest first, and whether that is all of them."""
        due = sum(last - first + 1 for _, first, last in wanted)
        if due == 0:
            return [], True
        picked: list[bytes] = []
        frames = list(self.frames)
        at = 0
        for run in self.runs:
            for epoch, first, last in wanted:
                if epoch == run.epoch:
                    low, high = max(first - run.first, 0), min(last - run.first + 1, run.count)
                    if low < high:
                        picked += frames[at + low : at + high]
            at += run.count
        return picked, len(picked) == due

    def lows(self) -> dict[str, int]:
        """The lowest offset held of each stream."""
        found: dict[str, int] = {}
        for run in self.runs:
            found[run.epoch] = min(found.get(run.epoch, run.first), run.first)
        return found

    def places(self) -> set[tuple[str, int]]:
        """(epoch, offset) of whatever is held."""
        return {(run.epoch, run.first + index) for run in self.runs for index in range(run.count)}

    def _append(self, epoch: str, first: int, count: int) -> None:
        runs = self.runs
        if runs:
            newest = runs[-1]
            if newest.epoch == epoch and (not epoch or newest.first + newest.count == first):
                newest.count += count
                return
        runs.append(_Run(epoch, first, count))

    def _drop(self, count: int) -> int:
        """Give up the oldest; how many bytes they had."""
        frames, runs = self.frames, self.runs
        size = 0
        for _ in range(count):
            size += len(frames.popleft())
        while count:
            oldest = runs[0]
            if oldest.count > count:
                oldest.count -= count
                if oldest.epoch:
                    oldest.first += count
                break
            count -= oldest.count
            runs.popleft()
        self.whole = False
        self.held_bytes -= size
        return size


class History:
    """All rings of a node. `per_channel` frames each, `bytes_max` in all."""

    def __init__(self, per_channel: int, bytes_max: int = HISTORY_BYTES_MAX) -> None:
        self.per_channel = per_channel
        self._bytes_max = bytes_max
        self._clock: OrderedDict[str, Ring] = OrderedDict()
        self.held_bytes = 0
        self.evicted = 0
        """Frames given up because of `bytes_max`; those beyond `per_channel` are not counted."""

    def extend(self, name: str, ring: Ring, frames: Sequence[bytes], epoch: str = "", first: int = 0) -> None:
        """Keep these, newest last: consecutive events of one stream, or of none."""
        if self.per_channel == 0:
            ring.whole = False
            return
        kept = ring.frames
        kept.extend(frames)
        ring._append(epoch, first, len(frames))
        grown = sum(map(len, frames))
        ring.held_bytes += grown
        over = len(kept) - self.per_channel
        if over > 0:
            grown -= ring._drop(over)
        self.held_bytes += grown
        if not ring.touched:
            ring.touched = True
            self._clock[name] = ring
        if self.held_bytes > self._bytes_max:
            self._shrink()

    def prepend(self, name: str, ring: Ring, older: Sequence[tuple[bytes, str, int]], whole: bool) -> None:
        """Put what came before back in front: (frame, epoch, offset), oldest first, as far as there is room.

        `whole`: there was nothing before these.
        """
        room = min(len(older), self.per_channel - len(ring.frames))
        if room < len(older):
            whole = False
        newer = older[len(older) - room :]
        if self.held_bytes + sum(len(frame) for frame, _, _ in newer) > self._bytes_max:
            return
        runs, ring.runs = ring.runs, deque()
        for _, epoch, offset in newer:
            ring._append(epoch, offset, 1)
        for run in runs:
            ring._append(run.epoch, run.first, run.count)
        ring.frames.extendleft(frame for frame, _, _ in reversed(newer))
        grown = sum(len(frame) for frame, _, _ in newer)
        ring.held_bytes += grown
        self.held_bytes += grown
        ring.whole = whole
        if newer and not ring.touched:
            ring.touched = True
            self._clock[name] = ring

    def newest(self, ring: Ring, limit: int, bytes_max: int) -> list[bytes]:
        """The newest frames, oldest first: at most `limit` of them and `bytes_max` bytes."""
        return cut(reversed(ring.frames), limit, bytes_max)[::-1]

    def forget(self, name: str, ring: Ring) -> None:
        """Let go of a whole channel."""
        self.held_bytes -= ring.held_bytes
        ring.held_bytes = 0
        ring.frames.clear()
        ring.runs.clear()
        ring.touched = False
        ring.whole = False
        self._clock.pop(name, None)

    def _shrink(self) -> None:
        while self.held_bytes > self._bytes_max:
            name, ring = self._clock.popitem(last=False)
            if ring.touched:
                ring.touched = False
                self._clock[name] = ring
                continue
            half = (len(ring.frames) + 1) // 2
            self.held_bytes -= ring._drop(half)
            self.evicted += half
            if ring.frames:
                self._clock[name] = ring


def cut(frames: Iterable[bytes], limit: int, bytes_max: int) -> list[bytes]:
    """The first of these, at most `limit` and `bytes_max` bytes."""
    picked: list[bytes] = []
    total = 0
    for frame in islice(frames, limit):
        total += len(frame)
        if total > bytes_max:
            break
        picked.append(frame)
    return picked
