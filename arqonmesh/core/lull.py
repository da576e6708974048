"""The longest silence of late that was followed by a sign of life: how long may this neighbour, or this machine, be
silent and still be well?

On a machine that has too little processor time for all, everyone stands still for half a second now and then, and for
two seconds once in a while. What was seen to end well is the measure for the next one: patience that follows from it is
short where nobody ever stands still, and long where everyone does. A phi accrual detector (Hayashibara, Defago, Yared,
Katayama, SRDS 2004) fits a distribution to the same observations; with pauses whose tail is that heavy, and few of
them, the maximum says more than a mean and a variance. It fades, halved every ten seconds, so that what a start on a
busy machine looked like is soon of no account.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant

LEAST_US: Final = 250 * MILLISECOND
"""Shorter ones are within everybody's patience, and are not counted."""
HALF_LIFE_US: Final = 10 * SECOND


class Lull:
    """A maximum that fades. Feed it with `note`, ask with `us`."""

    __slots__ = ("_at", "_us")

    def __init__(self) -> None:
        self._at: Instant = 0
        self._us = 0

    def note(self, now: Instant, us: int) -> None:
        """Somebody was silent for so long, and is not any more."""
        if us >= LEAST_US and us >= self.us(now):
            self._at, self._us = now, us

    def us(self, now: Instant) -> int:
        """The longest, as far as it still counts; 0 when there was none."""
        if not self._us:
            return 0
        halvings, rest_us = divmod(now - self._at, HALF_LIFE_US)
        whole_us = self._us >> halvings
        faded_us = whole_us - whole_us * rest_us // (2 * HALF_LIFE_US)
        if faded_us < LEAST_US:
            self._us = 0
            return 0
        return faded_us
