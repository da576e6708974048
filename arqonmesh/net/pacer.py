"""Pacing in bursts: a token bucket that holds a few milliseconds of the path's rate.

aioquic's pacer lets a burst shrink as the window grows, down to one packet, and asks for timers finer than an event
loop has. This one allows what the loop needs to keep the rate between two wake-ups, and cuts each visit after one
batch, so that a busy connection shares the loop with the others and the receiver is read in between.

Source: RFC 9002, 7.7 (rate of 1.25 windows per round trip, bounded bursts).
"""

from __future__ import annotations

from typing import Final

GAIN: Final = 1.25
BUCKET_S: Final = 0.004
"""The bucket holds this much of the rate: twice the coarsest timer of the event loop."""
TIMER_S: Final = 0.001
"""What an event loop's timer can tell apart."""
BUCKET_PACKETS_MIN: Final = 10
"""A burst that is always allowed; the initial window of RFC 9002, 7.2."""
BATCH_PACKETS: Final = 54
"""Packets of one visit: what fits into one segmented send of 64 KiB at 1,200 bytes each."""


class BurstPacer:
    """Takes the place of aioquic's pacer; the first three methods are what its connection calls. Times in seconds."""

    def __init__(self, *, max_datagram_size: int) -> None:
        self._segment = max_datagram_size
        self._rate = 0.0
        """Packets per second; 0 until the first round trip was measured."""
        self._tokens = float(BUCKET_PACKETS_MIN)
        self._capacity = float(BUCKET_PACKETS_MIN)
        self._filled_at = 0.0
        self._left = BATCH_PACKETS
        self.cut = False
        """The last visit ended because its batch was full, not for want of data, tokens or window."""

    def next_send_time(self, now: float) -> float | None:
        """None when a packet may leave now, else when to ask again."""
        if self._left <= 0:
            self.cut = True
            return now
        if self._rate == 0.0:
            return None
        if now > self._filled_at:
            self._tokens = min(self._tokens + (now - self._filled_at) * self._rate, self._capacity)
            self._filled_at = now
        if self._tokens >= 1.0:
            return None
        # At least one packet's worth; at high rates as much as the loop's timer can tell apart, in one burst.
        return now + max((1.0 - self._tokens) / self._rate, min(TIMER_S, (self._capacity / 2) / self._rate))

    def update_after_send(self, now: float) -> None:
        """One packet was built."""
        self._left -= 1
        if self._rate != 0.0:
            self._tokens -= 1.0

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        """The window or the round trip changed."""
        self._rate = GAIN * congestion_window / max(smoothed_rtt, 0.0001) / self._segment
        self._capacity = max(float(BUCKET_PACKETS_MIN), self._rate * BUCKET_S)

    def hold(self, packets: int) -> int:
        """No more than so many now; how many of this visit's that keeps back, for `release`."""
        kept = max(0, self._left - packets)
        self._left -= kept
        return kept

    def release(self, kept: int) -> None:
        """What was held back may go."""
        self._left += kept
        if kept:
            self.cut = False

    def open_batch(self) -> None:
        """A new visit: called by our driver before it asks for datagrams."""
        self._left = BATCH_PACKETS
        self.cut = False
