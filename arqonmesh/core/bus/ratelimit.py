"""A token bucket in whole numbers: `rate_per_s` frames a second, and one second's worth at once."""

from __future__ import annotations

from arqonmesh.core.kernel import SECOND, Instant


class TokenBucket:
    """Tokens are counted in millionths, so that a refill of one microsecond is exactly `rate_per_s` of them."""

    __slots__ = ("_at", "_millionths", "_rate_per_s")

    def __init__(self, now: Instant, rate_per_s: int) -> None:
        self._at = now
        self._rate_per_s = rate_per_s
        self._millionths = rate_per_s * SECOND

    def take(self, now: Instant, wanted: int) -> int:
        """Take up to `wanted` tokens; how many there were."""
        self._millionths = min(self._rate_per_s * SECOND, self._millionths + max(0, now - self._at) * self._rate_per_s)
        self._at = now
        taken = min(wanted, self._millionths // SECOND)
        self._millionths -= taken * SECOND
        return taken
