"""What a message costs, in four stages: select, verify, merge, compare.

    select    choose what the other side lacks and pack it
    verify    check signatures
    merge     everything else about taking statements in
    compare   make a root or bucket hashes, and look for what differs

A core has no clock. Whoever runs it may give it a stopwatch (`Env.stopwatch`); without one nothing is measured. The
stopwatch decides nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from arqonmesh.core.gossip.forks import Verify

STAGES: Final = ("select", "verify", "merge", "compare")
SELECT, VERIFY, MERGE, COMPARE = range(4)
BOUNDS_US: Final = (2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 250_000)
"""Upper bounds of the histogram's buckets; a last one takes the rest."""
_BOUNDS_NS: Final = tuple(bound * 1_000 for bound in BOUNDS_US)


class Stages:
    """A histogram per stage."""

    __slots__ = ("_clock", "_verifying", "counts", "sums_ns")

    def __init__(self, clock: Callable[[], int]) -> None:
        """`clock` gives nanoseconds."""
        self._clock = clock
        self._verifying = 0
        self.counts: list[list[int]] = [[0] * (len(BOUNDS_US) + 1) for _ in STAGES]
        self.sums_ns: list[int] = [0] * len(STAGES)

    def begin(self) -> int:
        return self._clock()

    def end(self, stage: int, began: int) -> None:
        self._note(stage, self._clock() - began)

    def begin_merge(self) -> int:
        self._verifying = 0
        return self._clock()

    def end_merge(self, began: int) -> None:
        """A merge costs what it took, less what its signatures took."""
        self._note(MERGE, self._clock() - began - self._verifying)

    def timed(self, verify: Verify) -> Verify:
        """The same, noted."""
        clock = self._clock

        def verify_and_note(public_key: bytes, message: bytes, signature: bytes) -> bool:
            began = clock()
            holds = verify(public_key, message, signature)
            took = clock() - began
            self._verifying += took
            self._note(VERIFY, took)
            return holds

        return verify_and_note

    def _note(self, stage: int, took_ns: int) -> None:
        self.counts[stage][bisect_left(_BOUNDS_NS, took_ns)] += 1
        self.sums_ns[stage] += took_ns
