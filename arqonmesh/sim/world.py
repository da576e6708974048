"""Virtual time: a heap of things to come, done in the order of their times, ties in the order of their making."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any, Final

from arqonmesh.sim.trace import Trace

EPOCH_MS: Final = 1_767_225_600_000
"""The wall clock at virtual time 0: 2026-01-01 00:00 UTC."""


class World:
    """One seed, one world."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0
        self.steps = 0
        """Things done: what came to nodes, and the world's own."""
        self.handled = 0
        """Protocol events: frames, timers, answers of disks and frames of clients that a node handled."""
        self.on_progress: Callable[[int], object] | None = None
        """Told the virtual time now and then while it passes; must not touch the world."""
        self.trace = Trace()
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._made = 0

    def dice(self, name: str) -> random.Random:
        """A generator of its own for each use, so that a draw in one place shifts nothing elsewhere."""
        return random.Random(f"{self.seed} {name}")

    def at(self, time_us: int, action: Callable[..., object], *given: Any) -> None:
        """Call `action(*given)` then; at once, after all that is due, when that is past."""
        self._made = made = self._made + 1
        heapq.heappush(self._heap, (time_us if time_us > self.now else self.now, made, action, given))

    def after(self, delay_us: int, action: Callable[..., object], *given: Any) -> None:
        self.at(self.now + delay_us, action, *given)

    def run_until(self, time_us: int) -> None:
        heap, pop = self._heap, heapq.heappop
        steps = 0
        try:
            while heap and heap[0][0] <= time_us:
                self.now, _, action, given = pop(heap)
                steps += 1
                if not steps & 0x3FFF and self.on_progress is not None:
                    self.on_progress(self.now)
                action(*given)
        finally:
            self.steps += steps
        self.now = time_us

    def run_for(self, duration_us: int) -> None:
        self.run_until(self.now + duration_us)
