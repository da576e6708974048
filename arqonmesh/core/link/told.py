"""What everyone was told of one link's figures, and whether they have moved since so far that it is news.

A round trip is news when it is noticeably another one. A loss is a figure of the last seconds, so it is news only when
it is another by a step and has been for a while; what comes and goes is told along with other news, or not at all.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant

DRIFT_US: Final = 10 * MILLISECOND
STEP_US: Final = 100 * MILLISECOND
LOSS_STEP_PPM: Final = 100_000
LOSS_LASTS_US: Final = 10 * SECOND
RTT_LASTS_US: Final = 4 * SECOND
"""A little less than drift waits before it may be told (pacing.py), since figures are looked at every half second."""
RARE_US: Final = 480 * SECOND
"""A link whose figures were no news for so long is none that drifts all the time."""


class Told:
    __slots__ = ("_loss_ppm", "_moved_at", "_other_loss_since", "_other_rtt_since", "_rtt_us")

    def __init__(self) -> None:
        self._rtt_us = 0
        """0 until anything was told of it."""
        self._loss_ppm = 0
        self._other_loss_since: Instant | None = None
        self._other_rtt_since: Instant | None = None
        self._moved_at: Instant | None = None
        """When its figures were news last."""

    def said(self, now: Instant, rtt_us: int, loss_ppm: int, *, news: bool) -> None:
        """These figures stand in the record now. `news`: because they had moved, which `moved` said."""
        if loss_ppm != self._loss_ppm:
            self._loss_ppm, self._other_loss_since = loss_ppm, None
        self._rtt_us, self._other_rtt_since = rtt_us, None
        if news:
            self._moved_at = now

    def measured(self, now: Instant, rtt_us: int, loss_ppm: int) -> None:
        if not drifted(rtt_us, self._rtt_us):
            self._other_rtt_since = None
        elif self._other_rtt_since is None:
            self._other_rtt_since = now
        if abs(loss_ppm - self._loss_ppm) <= LOSS_STEP_PPM:
            self._other_loss_since = None
        elif self._other_loss_since is None:
            self._other_loss_since = now

    def moved(self, now: Instant, rtt_us: int) -> bool:
        """Whether the figures are news."""
        return self._rtt_us > 0 and (drifted(rtt_us, self._rtt_us) or self.loss_lasts(now))

    def lasted(self, now: Instant) -> bool:
        """Whether they have been news for a while: a round trip in which the peer stood still is none."""
        if self._rtt_us and self._other_rtt_since is not None and now - self._other_rtt_since >= RTT_LASTS_US:
            return True
        return self.loss_lasts(now)

    def stepped(self, rtt_us: int) -> bool:
        """Whether it is another round trip altogether, as after a change of the path: half or twice, by 100 ms."""
        low_us, high_us = sorted((rtt_us, self._rtt_us))
        return high_us - low_us > STEP_US and high_us > 2 * low_us

    def rarely_moves(self, now: Instant) -> bool:
        return self._moved_at is None or now - self._moved_at >= RARE_US

    def loss_lasts(self, now: Instant) -> bool:
        """Another loss than was told, for a while."""
        return self._other_loss_since is not None and now - self._other_loss_since >= LOSS_LASTS_US


def drifted(rtt_us: int, told_us: int) -> bool:
    """Noticeably other than what was told: by more than 10 ms, and by more than a quarter."""
    drift_us = abs(rtt_us - told_us)
    return drift_us > DRIFT_US and drift_us * 4 > told_us
