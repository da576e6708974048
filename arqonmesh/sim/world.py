"""Virtual time: a heap of things to come, done in the order of their times, ties in the order of their making."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Final

from arqonmesh.sim.trace import Trace

EPOCH_MS: Final = 1_767_225_600_000
"""The wall clock at virtual time 0: 2026-01-01 00:00 UTC."""


class World:
    """One seed, one world."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0
        self.steps = 0
        self.trace = Trace()
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    def dice(self, name: str) -> random.Random:
        """A generator of its own for each use, so that a draw in one place shifts nothing elsewhere."""
        return random.Random(f"{self.seed} {name}")

    def at(self, time_us: int, action: Callable[[], None]) -> None:
        self._made += 1
        heapq.heappush(self._heap, (max(time_us, self.now), self._made, action))

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        self.at(self.now + delay_us, action)

    def run_until(self, time_us: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= time_us:
            self.now, _, action = heapq.heappop(heap)
            self.steps += 1
            action()
        self.now = time_us

    def run_for(self, duration_us: int) -> None:
        self.run_until(self.now + duration_us)
