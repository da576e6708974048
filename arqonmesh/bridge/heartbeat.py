"""Whether anyone is there: pings to clients that have been silent, and how long the answer takes.

ArqonBus pings after 20 s and waits 20 s, and so do the `websockets` library's clients.
"""

from __future__ import annotations

import time
from typing import Final

from picows import WSTransport

from arqonmesh.core.histogram import Histogram

PING_INTERVAL_S: Final = 20.0
PONG_TIMEOUT_S: Final = 20.0
MEASURE_EVERY_S: Final = 60.0
"""Clients that are heard anyway are pinged so often, for the round trip alone, and at most so many per sweep."""
MEASURED_PER_SWEEP_MAX: Final = 200


class Pulse:
    """What all clients of a server share."""

    __slots__ = ("_left", "interval_s", "round_trips", "timeout_s")

    def __init__(self, interval_s: float, timeout_s: float) -> None:
        self.interval_s = interval_s
        self.timeout_s = timeout_s
        self.round_trips = Histogram()
        """Microseconds from a ping to its pong."""
        self._left = 0

    def begin_sweep(self) -> None:
        self._left = MEASURED_PER_SWEEP_MAX

    def may_measure(self) -> bool:
        """A ping for the round trip alone is one of few, so that thousands of clients make no pause."""
        self._left -= 1
        return self._left >= 0


class Heartbeat:
    """Of one client."""

    __slots__ = ("_heard_at_s", "_measured_at_s", "_ping_ns", "_pinged_at_s", "heard", "round_trip_us")

    def __init__(self, now_s: float) -> None:
        self.heard = True
        """Whether anything was read of it since the last look."""
        self.round_trip_us = 0
        """Of the newest pong; 0 before the first."""
        self._heard_at_s = now_s
        self._pinged_at_s: float | None = None
        self._measured_at_s = 0.0
        self._ping_ns = 0

    def is_gone(self, transport: WSTransport, now_s: float, pulse: Pulse, *, paused: bool) -> bool:
        """Every half `interval_s`: ping it when it has been silent; whether it did not answer in time."""
        if self.heard or paused:
            if now_s - self._measured_at_s >= MEASURE_EVERY_S and not paused and pulse.may_measure():
                self._ping(transport, now_s)
            self.heard = False
            self._heard_at_s = now_s
            self._pinged_at_s = None
        elif self._pinged_at_s is None:
            if now_s - self._heard_at_s >= pulse.interval_s:
                self._pinged_at_s = now_s
                self._ping(transport, now_s)
        else:
            return now_s - self._pinged_at_s >= pulse.timeout_s
        return False

    def pong(self, payload: bytes, pulse: Pulse) -> None:
        """Only the answer to the newest ping counts (RFC 6455, 5.5.3), and only once."""
        if self._ping_ns and payload == b"%d" % self._ping_ns:
            self.round_trip_us = (time.perf_counter_ns() - self._ping_ns) // 1_000
            pulse.round_trips.record(self.round_trip_us)
            self._ping_ns = 0

    def _ping(self, transport: WSTransport, now_s: float) -> None:
        self._measured_at_s = now_s
        self._ping_ns = time.perf_counter_ns()
        transport.send_ping(b"%d" % self._ping_ns)
