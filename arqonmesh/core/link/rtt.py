"""Round-trip time, smoothed in integers after RFC 6298 section 2 (alpha 1/8, beta 1/4), and its floor.

The state is kept scaled by 8 and by 4, as Jacobson's original code does (SIGCOMM 1988, appendix A), so that small
differences are not lost to truncation.

What is far shorter than expected is relief: half of the way is gone at once, and it adds nothing to the variation. By
the RFC alone a second of round trip, measured while a process started on a busy machine, would be a reason for patience
long after; as heartbeats are the slower the longer the round trip, for a minute. (Linux damps the variation in the same
case, tcp_rtt_estimator in net/ipv4/tcp_input.c.)

Two kinds of samples come in. An *immediate* one, a poll and its answer, is ours from end to end: nobody can make it
shorter than the path is. A *held* one has the time that the peer says it held our heartbeat subtracted, and a peer
that overstates that time would look nearer than it is; so a held sample never counts for less than the floor, which
immediate ones alone set.
"""

from __future__ import annotations

from typing import Final

RELIEF_FACTOR: Final = 4
"""Below the smoothed round trip divided by this, a sample is relief."""
STRAIN_FACTOR: Final = 4
STRAIN_US_MIN: Final = 10_000
"""Below this a smoothed round trip is never called strained, whatever its floor."""


class RttEstimator:
    """Feed it samples in microseconds; read `srtt_us`, `rttvar_us` and `rto_us`. All are 0 before the first."""

    __slots__ = ("_floor_1024", "_srtt_8", "_var_4", "rto_us", "srtt_us")

    def __init__(self) -> None:
        self.srtt_us = 0
        self.rto_us = 0
        """By when an answer is overdue: srtt + 4 rttvar."""
        self._srtt_8 = 0
        self._var_4 = 0
        self._floor_1024 = 0

    def sample(self, rtt_us: int) -> None:
        """A poll's answer came back after this long."""
        # The floor rises by 1/64 per poll, so that a path that became longer is not held against it for ever.
        raised = self._floor_1024 + self._floor_1024 // 64
        self._floor_1024 = min(raised, rtt_us * 1024) if self._floor_1024 else max(1, rtt_us) * 1024
        self._smooth(rtt_us)

    def held_sample(self, total_us: int, held_us: int) -> None:
        """A heartbeat came back after `total_us`, of which the peer says that it held it for `held_us`."""
        if self._floor_1024:
            self._smooth(max(total_us - held_us, self._floor_1024 // 1024))

    def _smooth(self, rtt_us: int) -> None:
        if self._srtt_8 == 0:
            self._srtt_8 = max(1, rtt_us) * 8
            self._var_4 = rtt_us * 2
        else:
            error = rtt_us - self.srtt_us
            if rtt_us * RELIEF_FACTOR < self.srtt_us:
                self._srtt_8 = max(8, self._srtt_8 + error * 4)
                self._var_4 -= self._var_4 // 4
            else:
                self._srtt_8 = max(8, self._srtt_8 + error)
                self._var_4 += abs(error) - self._var_4 // 4
        self.srtt_us = self._srtt_8 // 8
        self.rto_us = self.srtt_us + self._var_4

    @property
    def strained(self) -> bool:
        """Answers take several times as long as they once did: a queue or a busy process, not loss."""
        srtt_us = self.srtt_us
        return srtt_us > STRAIN_US_MIN and srtt_us * 1024 > STRAIN_FACTOR * self._floor_1024

    @property
    def rttvar_us(self) -> int:
        return self._var_4 // 4
