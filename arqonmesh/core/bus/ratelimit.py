"""A token bucket in whole numbers: `rate_per_s` tokens a second, and `burst` of them at once."""

from __future__ import annotations

from arqonmesh.core.kernel import SECOND, Instant


class TokenBucket:
    """Tokens are counted in millionths, so that a refill of one microsecond is exactly `rate_per_s` of them."""

    __slots__ = ("_at", "_full", "_millionths", "rate_per_s")

    def __init__(self, now: Instant, rate_per_s: int, *, burst: int = 0) -> None:
        """`burst`: tokens that it holds when full, as at the beginning; 0: one second's worth."""
        self._at = now
        self.rate_per_s = rate_per_s
        self._full = (burst or rate_per_s) * SECOND
        self._millionths = self._full

    def take(self, now: Instant, wanted: int) -> int:
        """Take up to `wanted` tokens; how many there were."""
        taken = min(wanted, self.available(now))
        self._millionths -= taken * SECOND
        return taken

    def available(self, now: Instant) -> int:
        """Whole tokens that may be taken now. A clock that steps back gives nothing and takes nothing."""
        if now > self._at:
            self._millionths = min(self._full, self._millionths + (now - self._at) * self.rate_per_s)
            self._at = now
        return self._millionths // SECOND

    def is_full(self, now: Instant) -> bool:
        return self.available(now) * SECOND == self._full

    def wait_us(self, now: Instant, wanted: int) -> int:
        """Until `wanted` tokens are there, if nobody takes any; as many as it holds when full, at most."""
        self.available(now)
        return max(0, -(-(min(wanted * SECOND, self._full) - self._millionths) // self.rate_per_s))
