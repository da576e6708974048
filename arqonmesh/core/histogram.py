"""Durations in fixed buckets, eight to every power of two: a few kilobytes, no allocation, at most 12.5 % off.

After HdrHistogram (https://hdrhistogram.github.io/HdrHistogram/): the bucket of a value is its highest bits. Values are
integers, here microseconds; what is beyond `HIGHEST` counts in the last bucket. Powers of two are bounds of buckets, so
that the counts below them, as Prometheus wants them, are exact.
"""

from __future__ import annotations

from typing import Final

_SUB_BITS: Final = 3
_SUBS: Final = 1 << _SUB_BITS
_OCTAVES: Final = 27
HIGHEST: Final = (1 << (_OCTAVES + _SUB_BITS)) - 1
"""18 minutes, in microseconds."""
_BUCKETS: Final = _SUBS * (_OCTAVES + 1)
BOUNDS_US: Final = tuple(1 << power for power in range(5, 24, 2))
"""32 us to 8 s by fours: where `below` is asked for metrics."""


class Histogram:
    """Counts of durations. `record` is all that happens on hot paths."""

    __slots__ = ("_counts", "count", "highest", "total")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.total = 0
        """Sum of all values."""
        self.highest = 0

    def record(self, value: int, times: int = 1) -> None:
        """Note a value, below 0 as 0."""
        if value < 0:
            value = 0
        elif value > HIGHEST:
            value = HIGHEST
        self._counts[_bucket(value)] += times
        self.count += times
        self.total += value * times
        if value > self.highest:
            self.highest = value

    def per_mille(self, share: int) -> int:
        """The value that `share` of 1,000 are at or below (the bucket's upper end, at most the highest seen); 0 when
        nothing was recorded."""
        wanted = max(1, -(-self.count * share // 1_000))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_upper(bucket), self.highest)
        return 0

    def below(self, bound: int) -> int:
        """How many were less than `bound`, a power of two of at least 8."""
        return sum(self._counts[: _bucket(bound)])

    def figures(self) -> dict[str, int]:
        """count, mean, p50, p90, p99, p999 and the highest; microseconds, for status and telemetry."""
        return {
            "count": self.count,
            "mean_us": self.total // self.count if self.count else 0,
            "p50_us": self.per_mille(500),
            "p90_us": self.per_mille(900),
            "p99_us": self.per_mille(990),
            "p999_us": self.per_mille(999),
            "max_us": self.highest,
        }

    def since(self, before: Histogram) -> Histogram:
        """What was recorded after `before` was copied from this one. Its `highest` is a bucket's upper end."""
        grown = Histogram()
        grown._counts = [now - then for now, then in zip(self._counts, before._counts, strict=True)]
        grown.count = self.count - before.count
        grown.total = self.total - before.total
        filled = [bucket for bucket, count in enumerate(grown._counts) if count]
        grown.highest = min(_upper(filled[-1]), self.highest) if filled else 0
        return grown

    def copy(self) -> Histogram:
        same = Histogram()
        same._counts = self._counts[:]
        same.count, same.total, same.highest = self.count, self.total, self.highest
        return same


def _bucket(value: int) -> int:
    shift = value.bit_length() - _SUB_BITS - 1
    return value if shift <= 0 else (shift << _SUB_BITS) + (value >> shift)


def _upper(bucket: int) -> int:
    """The highest value of a bucket."""
    if bucket < 2 * _SUBS:
        return bucket
    shift = (bucket >> _SUB_BITS) - 1
    return ((bucket - (shift << _SUB_BITS) + 1) << shift) - 1
