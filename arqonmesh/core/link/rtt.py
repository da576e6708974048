"""Round-trip time, smoothed in integers after RFC 6298 section 2 (alpha 1/8, beta 1/4).

The state is kept scaled by 8 and by 4, as Jacobson's original code does (SIGCOMM 1988, appendix A), so that small
differences are not lost to truncation.
"""

from __future__ import annotations


class RttEstimator:
    """Feed it samples in microseconds; read `srtt_us`, `rttvar_us` and `rto_us`. All are 0 before the first."""

    __slots__ = ("_srtt_8", "_var_4")

    def __init__(self) -> None:
        self._srtt_8 = 0
        self._var_4 = 0

    def sample(self, rtt_us: int) -> None:
        if self._srtt_8 == 0:
            self._srtt_8 = max(1, rtt_us) * 8
            self._var_4 = rtt_us * 2
            return
        error = rtt_us - self._srtt_8 // 8
        self._srtt_8 = max(8, self._srtt_8 + error)
        self._var_4 += abs(error) - self._var_4 // 4

    @property
    def srtt_us(self) -> int:
        return self._srtt_8 // 8

    @property
    def rttvar_us(self) -> int:
        return self._var_4 // 4

    @property
    def rto_us(self) -> int:
        """By when an answer is overdue: srtt + 4 rttvar."""
        return self._srtt_8 // 8 + self._var_4
