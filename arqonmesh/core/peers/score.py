"""A score in millionths that falls by observations and comes back with a half-life, in integers.

    score = 1_000_000 - deficit * 2 ** -(elapsed / half-life)

The power of two is taken by shifting for whole half-lives and by 16 factors 2^(-1/2), 2^(-1/4), ... for the rest, each
an integer square root of the one before: the same on every machine, and never more than a few millionths off.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from msgspec import Struct

from arqonmesh.core.kernel import Instant
from arqonmesh.core.peers.causes import Cause

FULL_PPM: Final = 1_000_000
_BITS: Final = 32
_STEPS: Final = 16


def _factors() -> tuple[int, ...]:
    factors = [isqrt(1 << (2 * _BITS - 1))]
    while len(factors) < _STEPS:
        factors.append(isqrt(factors[-1] << _BITS))
    return tuple(factors)


_FACTORS: Final = _factors()


def decayed(deficit: int, elapsed_us: int, half_life_us: int) -> int:
    """What is left of `deficit` after `elapsed_us`."""
    if elapsed_us <= 0 or deficit == 0:
        return deficit
    whole, rest_us = divmod(elapsed_us, half_life_us)
    if whole >= 64:
        return 0
    scaled = (deficit << _BITS) >> whole
    fraction = (rest_us << _STEPS) // half_life_us
    for index, factor in enumerate(_FACTORS):
        if fraction >> (_STEPS - 1 - index) & 1:
            scaled = scaled * factor >> _BITS
    return scaled >> _BITS


class Score(Struct, gc=False):
    """One peer's score. `convicted` scores stay at 0."""

    _at: Instant
    _half_life_us: int
    _deficit: int = 0
    convicted: bool = False

    def restore(self, now: Instant, score_ppm: int, elapsed_us: int) -> None:
        """As it was `elapsed_us` ago, with what has been forgiven since. 0 is a conviction."""
        self.convicted = score_ppm <= 0
        self._deficit = decayed(FULL_PPM - min(score_ppm, FULL_PPM), elapsed_us, self._half_life_us)
        self._at = now

    def ppm(self, now: Instant) -> int:
        if self.convicted:
            return 0
        return FULL_PPM - decayed(self._deficit, now - self._at, self._half_life_us)

    def pardon(self, now: Instant) -> int:
        """Back to 1, convictions included; the change, 0 or more."""
        before = self.ppm(now)
        self.convicted = False
        self._deficit, self._at = 0, now
        return FULL_PPM - before

    def apply(self, now: Instant, cause: Cause) -> int:
        """Lower the score for `cause`; the change, 0 or less."""
        before = self.ppm(now)
        if cause.convicts:
            self.convicted = True
            return -before
        after = max(before - cause.cost_ppm, min(before, cause.floor_ppm))
        self._deficit = FULL_PPM - after
        self._at = now
        return after - before
