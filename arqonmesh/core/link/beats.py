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


class Beats:
    """Ours: sequence numbers count up from 1."""

    __slots__ = ("_answered", "_sent_at", "_told", "first_open", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self.first_open = 1
        """The oldest heartbeat that is newer than every answered one."""
        self._sent_at = [0] * WINDOW
        self._answered = [False] * WINDOW
        self._told = (0, 0)
        """What the peer said last: its newest, and the mask of those before."""

    def sent(self, now: Instant) -> int:
        """Record a heartbeat that leaves now and return its sequence number."""
        self.newest += 1
        slot = self.newest % WINDOW
        self._sent_at[slot] = now
        self._answered[slot] = False
        return self.newest

    def answered(self, now: Instant, seq: int) -> int | None:
        """Time since it was sent in microseconds; None when `seq` is unknown, too old or already answered."""
        if not max(0, self.newest - WINDOW) < seq <= self.newest:
            return None
        slot = seq % WINDOW
        if self._answered[slot]:
            return None
        self._answered[slot] = True
        self.first_open = max(self.first_open, seq + 1)
        return now - self._sent_at[slot]

    def arrived(self, seq: int, mask: int) -> None:
        """The peer has heard `seq`, and of the 32 before it those whose bits are set (bit 0 is seq - 1)."""
        oldest = max(0, self.newest - WINDOW)
        if not oldest < seq <= self.newest:
            return
        told_seq, told_mask = self._told
        self._told = (seq, mask)
        if 0 < seq - told_seq <= WINDOW:  # most bits are those of the last word, moved along
            mask &= ~(told_mask << (seq - told_seq))
        while mask:
            low = mask & -mask
            earlier = seq - low.bit_length()
            if earlier <= oldest:
                break
            self._answered[earlier % WINDOW] = True
            mask ^= low

    def missing_since(self) -> Instant | None:
        """When the oldest heartbeat left that came after every answered one; None when there is none."""
        if self.first_open > self.newest:
            return None
        return self._sent_at[max(self.first_open, self.newest - WINDOW + 1) % WINDOW]

    def loss_ppm(self, now: Instant, overdue_us: int) -> int:
        """The share of those in the window that were not answered within `overdue_us`, in millionths."""
        settled = lost = 0
        for seq in range(max(1, self.newest - WINDOW + 1), self.newest + 1):
            slot = seq % WINDOW
            if self._answered[slot]:
                settled += 1
            elif now - self._sent_at[slot] > overdue_us:
                settled += 1
                lost += 1
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
