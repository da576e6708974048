"""What the round trips to one peer were: newest estimate, smallest, spread and loss, over the last 32 measurements."""

from __future__ import annotations

from array import array
from typing import Final

SAMPLES_MAX: Final = 32
_MOST_US: Final = 0xFFFF_FFFF


class RttTracker:
    """Some 300 bytes; only peers that were ever linked have one."""

    __slots__ = ("_samples", "_turn", "loss_ppm", "smoothed_us", "variance_us")

    def __init__(self) -> None:
        self._samples = array("I")
        self._turn = 0
        self.smoothed_us = 0
        self.variance_us = 0
        """Mean deviation of the link's own estimator (RFC 6298), microseconds."""
        self.loss_ppm = 0

    def add(self, rtt_us: int, variance_us: int, loss_ppm: int) -> None:
        """One measurement; beyond 32 it takes the place of the oldest."""
        sample = min(max(rtt_us, 0), _MOST_US)
        if len(self._samples) < SAMPLES_MAX:
            self._samples.append(sample)
        else:
            self._samples[self._turn] = sample
        self._turn = (self._turn + 1) % SAMPLES_MAX
        self.smoothed_us, self.variance_us, self.loss_ppm = rtt_us, variance_us, loss_ppm

    @property
    def count(self) -> int:
        return len(self._samples)

    @property
    def min_us(self) -> int:
        """Of the samples that are kept; 0 before the first."""
        return min(self._samples, default=0)
