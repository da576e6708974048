"""How late is this process, as a rule? Heartbeats slow down with that, so that machines that have too little processor
time for all find a pace that they can keep.

A node's own timers tell. On a machine with time to spare they fire within a millisecond or two; where every node waits
for its turn they are late by what a turn takes, and a node whose inbox is never empty is later still. Heartbeats that
went on at their old pace would only lengthen the queue: answers come late, links are lost for it, their handshakes and
the news of them need time that nobody has, and the mesh never comes out of it (a metastable failure: Bronson, Aghayev,
Charapko, Zhu, HotOS 2021). Slower heartbeats shorten the queue, which makes timers punctual, which is what slows them:
the pace settles where the two meet. It comes down in a few seconds and goes up again in half a minute, as congestion
control does (Jacobson, SIGCOMM 1988).

No word of a peer makes it so: it is our clock against our own timers, and only who takes our processor time moves it,
within `COUNTED_US_MAX`. It is not about single pauses, which are seldom and
long (core/lull.py), but about the queue that is always there.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant

RISE_SHARE: Final = 16
"""A timer that is later than the figure moves it by this part of the difference."""
FALL_US: Final = 8 * SECOND
"""The figure falls to that of punctual timers in about so long."""
COUNTED_US_MAX: Final = 100 * MILLISECOND
"""One lateness counts for no more: whoever stood still once is not slow as a rule."""
LEAST_US: Final = 10 * MILLISECOND
"""Less is what a clock, a timer wheel and a long turn make of a healthy process, and is none."""
BEATS_PER_LAG: Final = 12
"""An interval is at least so many times the lag: then a queue's wait is a small part of a link's patience."""
STEP_US: Final = 50 * MILLISECOND
"""The pace moves in steps, so that it is not another with every timer."""


class Lag:
    """A mean that rises fast and falls slowly. Feed it with `note`, ask with `us` and `pace_us`."""

    __slots__ = ("_us", "at", "pace_us")

    def __init__(self) -> None:
        self.at: Instant = 0
        """When a timer was noted last. What was due before that and is still found late is the same lateness."""
        self._us = 0
        self.pace_us = 0
        """The shortest interval between heartbeats that leaves this process time to breathe; 0: any."""

    @property
    def us(self) -> int:
        """How late timers are as a rule; 0: hardly."""
        return self._us if self._us >= LEAST_US else 0

    def note(self, now: Instant, late_us: int) -> bool:
        """A timer fired so late. Whether the pace is another now."""
        late_us = min(late_us, COUNTED_US_MAX)
        passed_us, self.at = min(now - self.at, FALL_US), now
        if late_us >= self._us:
            self._us += (late_us - self._us) // RISE_SHARE
        else:
            self._us -= (self._us - late_us) * passed_us // FALL_US
        wanted_us = self.us * BEATS_PER_LAG // STEP_US * STEP_US
        if self.pace_us - STEP_US <= wanted_us <= self.pace_us and (wanted_us or not self.pace_us):
            return False
        self.pace_us = wanted_us
        return True
