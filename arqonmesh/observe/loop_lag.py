"""Notices that this process itself runs late, so that the cores blame nobody else (Lifeguard's local health).

A timer is late by however long the loop was busy or the process was stopped. The node's own timer is watched, which
fires some twenty times a second where links are (`observe`); for the rest there is one of ours, seldom enough that an
idle node is not woken for being measured.
Source: Dadgar, Phillips, Currey, "Lifeguard: SWIM-ing with Situational Awareness" (2017), section 3.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from arqonmesh.core.events import Late

INTERVAL_US: Final = 1_000_000
THRESHOLD_US: Final = 50_000
"""Lateness below this is the scheduler's, and of no consequence for heartbeats of 100 ms."""


class LoopLag:
    """Calls `report` with Late after every lateness above the threshold, on the loop."""

    def __init__(
        self,
        report: Callable[[Late], None],
        *,
        interval_us: int = INTERVAL_US,
        threshold_us: int = THRESHOLD_US,
        clock: Callable[[], int] = lambda: time.monotonic_ns() // 1_000,
    ) -> None:
        self._report = report
        self._interval_us = interval_us
        self._threshold_us = threshold_us
        self._clock = clock
        self._due_us = 0
        self._handle: asyncio.TimerHandle | None = None
        self._worst_us = 0
        self.late = 0
        """Times late since the start."""

    def start(self) -> None:
        """On the running loop."""
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def take_worst_us(self) -> int:
        """Worst lateness since this was last asked, below the threshold too."""
        worst, self._worst_us = self._worst_us, 0
        return worst

    def observe(self, now_us: int, due_us: int) -> None:
        """The timer that was due at `due_us` fires now. Repeats are harmless."""
        by_us = now_us - due_us
        self._worst_us = max(self._worst_us, by_us)
        if by_us > self._threshold_us:
            self.late += 1
            self._report(Late(by_us))

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_us = self._clock() + self._interval_us
        self._handle = loop.call_later(self._interval_us / 1_000_000, self._fire, loop)

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        due_us = self._due_us
        self._arm(loop)
        self.observe(self._clock(), due_us)
