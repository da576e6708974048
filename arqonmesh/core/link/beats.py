"""The newest heartbeats of one link: which were answered, how fast, and how many were lost.

A ring of fixed size, addressed by sequence number. Our own record of when a heartbeat left is what counts; the time
that the peer echoes is not trusted, or it could talk its round trip up or down.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Instant

WINDOW: Final = 128
"""Heartbeats remembered; at 100 ms they span 12.8 s. An answer to an older one is not believed."""


class Beats:
    """Sequence numbers count up from 1."""

    __slots__ = ("_answered", "_sent_at", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self._sent_at = [0] * WINDOW
        self._answered = [False] * WINDOW

    def sent(self, now: Instant) -> int:
        """Record a heartbeat that leaves now and return its sequence number."""
        self.newest += 1
        slot = self.newest % WINDOW
        self._sent_at[slot] = now
        self._answered[slot] = False
        return self.newest

    def answered(self, now: Instant, seq: int) -> int | None:
        """The round trip in microseconds; None when `seq` is unknown, too old or already answered."""
        if not max(0, self.newest - WINDOW) < seq <= self.newest:
            return None
        slot = seq % WINDOW
        if self._answered[slot]:
            return None
        self._answered[slot] = True
        return now - self._sent_at[slot]

    def loss_ppm(self, now: Instant, overdue_us: int) -> int:
        """The share of round trips in the window that were not answered within `overdue_us`, in millionths."""
        settled = lost = 0
        for seq in range(max(1, self.newest - WINDOW + 1), self.newest + 1):
            slot = seq % WINDOW
            if self._answered[slot]:
                settled += 1
            elif now - self._sent_at[slot] > overdue_us:
                settled += 1
                lost += 1
        return lost * 1_000_000 // settled if settled else 0
