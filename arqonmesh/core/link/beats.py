"""The newest heartbeats of one link, both ways: which of ours came back and how fast, which of the peer's came at all.

Two rings of fixed size, addressed by sequence number. Our own record of when a heartbeat left is what counts; no time
that the peer tells is ever taken for a time of ours.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Instant

WINDOW: Final = 128
"""Heartbeats remembered; at 100 ms they span 12.8 s. An answer to an older one is not believed."""
MILLION: Final = 1_000_000
MASK_BITS: Final = 32
_WINDOW_BITS: Final = (1 << WINDOW) - 1


class Beats:
    """Ours: sequence numbers count up from 1."""

    __slots__ = ("_bits", "_sent_at", "first_open", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self.first_open = 1
        """The oldest heartbeat that is newer than every answered one."""
        self._sent_at = [0] * WINDOW
        self._bits = 0
        """Which of those in the window were answered; bit 0 is the newest."""

    def sent(self, now: Instant) -> int:
        """Record a heartbeat that leaves now and return its sequence number."""
        self.newest = seq = self.newest + 1
        self._sent_at[seq % WINDOW] = now
        self._bits = self._bits << 1 & _WINDOW_BITS
        return seq

    def answered(self, now: Instant, seq: int) -> int | None:
        """Time since it was sent in microseconds; None when `seq` is unknown, too old or already answered."""
        back = self.newest - seq
        if seq < 1 or not 0 <= back < WINDOW:
            return None
        bit = 1 << back
        if self._bits & bit:
            return None
        self._bits |= bit
        if seq >= self.first_open:
            self.first_open = seq + 1
        return now - self._sent_at[seq % WINDOW]

    def arrived(self, seq: int, mask: int) -> None:
        """The peer has heard `seq`, and of the 32 before it those whose bits are set (bit 0 is seq - 1)."""
        back = self.newest - seq
        if mask and seq >= 1 and 0 <= back < WINDOW:
            in_window = min(self.newest, WINDOW)
            self._bits |= mask << (back + 1) & (1 << in_window) - 1

    def missing_since(self) -> Instant | None:
        """When the oldest heartbeat left that came after every answered one; None when there is none."""
        if self.first_open > self.newest:
            return None
        return self._sent_at[max(self.first_open, self.newest - WINDOW + 1) % WINDOW]

    def loss_ppm(self, now: Instant, overdue_us: int) -> int:
        """The share of those in the window that were not answered within `overdue_us`, in millionths."""
        in_window = min(self.newest, WINDOW)
        recent = 0
        """How many of the newest may still be answered in time: few, so they are counted one by one."""
        while recent < in_window and now - self._sent_at[(self.newest - recent) % WINDOW] <= overdue_us:
            recent += 1
        lost = in_window - recent - (self._bits >> recent).bit_count()
        settled = lost + self._bits.bit_count()
        return lost * MILLION // settled if settled else 0


class Heard:
    """The peer's: which sequence numbers arrived, as one integer of bits (bit 0 is the newest)."""

    __slots__ = ("_bits", "_span", "at", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self.at: Instant = 0
        """When the newest arrived."""
        self._bits = 0
        self._span = 0

    def took(self, now: Instant, seq: int) -> None:
        """A heartbeat arrived, in whatever order. A number far ahead begins the count anew."""
        ahead = seq - self.newest
        if ahead > 0:
            if ahead >= WINDOW or not self.newest:
                self._bits, self._span = 1, 1
            else:
                self._bits = (self._bits << ahead | 1) & (1 << WINDOW) - 1
                self._span = min(self._span + ahead, WINDOW)
            self.newest, self.at = seq, now
        elif -ahead < self._span:
            self._bits |= 1 << -ahead

    @property
    def mask(self) -> int:
        """Those before the newest, at most 32: what a heartbeat of ours tells the peer."""
        return self._bits >> 1 & (1 << MASK_BITS) - 1

    def loss_ppm(self) -> int:
        """The share of numbers in the window that never came, in millionths."""
        return (self._span - self._bits.bit_count()) * MILLION // self._span if self._span else 0
