"""Hybrid logical clock: stamps close to wall time that respect causality (Kulkarni et al. 2014).

A stamp is one integer of 64 bits: 48 of wall milliseconds, 16 of a counter. With the pair in one integer, the paper's
three cases become "one more than the highest of what I said and what I heard, but not behind my wall clock"; a counter
that overflows carries into the milliseconds, as it should.

A clock that runs ahead would win every last-writer-wins for ever, and drag all other clocks with it. So a stamp that
is more than `DRIFT_MAX_MS` ahead of our own wall clock is refused, and its author is to blame, not who passed it on.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.events import Fault
from arqonmesh.ids import NodeId

COUNTER_BITS: Final = 16
DRIFT_MAX_MS: Final = 60_000
STAMP_MAX: Final = (1 << 63) - 1
"""Stamps travel as U63; the milliseconds of a later one would be those of the year 6429."""
CLOCK_AHEAD: Final = "clock-ahead"
"""The cause, in the words of core/peers/causes.py."""


def wall_ms_of(stamp: int) -> int:
    """The milliseconds since the epoch that a stamp stands for."""
    return stamp >> COUNTER_BITS


def judge(stamp: int, author: NodeId, wall_ms: int) -> Fault | None:
    """The fault of `author` if its stamp is too far ahead of our wall clock to be taken in; else None."""
    return Fault(author, CLOCK_AHEAD) if wall_ms_of(stamp) > wall_ms + DRIFT_MAX_MS else None


class HybridClock:
    """One node's clock. `last` is the highest stamp it knows; kept on disk, it stays monotonic over restarts."""

    __slots__ = ("last", "refused")

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.refused = 0
        """Stamps that were too far ahead; counter."""

    def tick(self, wall_ms: int) -> int:
        """The stamp of something that happens here now: above every stamp seen, and not behind the wall clock."""
        self.last = min(max(self.last + 1, wall_ms << COUNTER_BITS), STAMP_MAX)
        return self.last

    def witness(self, stamp: int, author: NodeId, wall_ms: int) -> Fault | None:
        """Take in a stamp that was heard, so that the next tick is above it; or say whose fault it is if not."""
        fault = judge(stamp, author, wall_ms)
        if fault is None:
            self.last = min(max(self.last, stamp), STAMP_MAX)
        else:
            self.refused += 1
        return fault
