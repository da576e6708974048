"""Steady numbered traffic from one bus to another, watched message by message while something happens to the nodes.

A thread publishes at an even rate at one node, another reads at the other node; what arrived is known by number, so
loss, doubling and order can be told at any time, and how long nothing came.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from dataclasses import dataclass
from typing import Final

from bench.bus_load import NUMBER_BASE, STAMP, TIME_BASE, connect, join, message, percentile, text_frame

PATIENCE_S: Final = 60.0
"""How long a bus may make the publisher wait before that counts as a failure."""
SIGN_OF_LIFE_S: Final = 5.0
_PONG: Final = struct.pack("!BB", 0x8A, 0x80) + b"\0\0\0\0"
"""RFC 6455, 5.5.3: unasked for, it says that a reader who never writes is there."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a subscriber saw of what was published."""

    published: int
    received: int
    """Different messages."""
    doubled: int
    disordered: int
    """Messages that came after a later one."""
    longest_gap_ms: int
    """The longest time without a message between the first and the last."""
    p50_ms: float
    p99_ms: float

    @property
    def lost(self) -> int:
        return self.published - self.received

    @property
    def flawless(self) -> bool:
        return self.lost == self.doubled == self.disordered == 0


class Steady:
    """Publishes on `channel` at the bus on port `source` and subscribes at the one on `target`, from the start on."""

    def __init__(self, source: int, target: int, channel: str, *, rate_per_s: int = 200, size: int = 128) -> None:
        self._channel = channel
        self._period_ns = 1_000_000_000 // rate_per_s
        self._size = size
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._published = 0
        self._seen: set[int] = set()
        self._highest = -1
        self._doubled = 0
        self._disordered = 0
        self._last_ns = 0
        self._gap_ns = 0
        self._latencies_us: list[int] = []
        self.failure: Exception | None = None
        """What ended a thread before its time."""
        self._reader = connect(target)
        join(self._reader, channel)
        self._writer = connect(source)
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._read, self._publish)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Steady:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def published(self) -> int:
        return self._published

    def figures(self) -> Figures:
        with self._changed:
            return Figures(
                published=self._published,
                received=len(self._seen),
                doubled=self._doubled,
                disordered=self._disordered,
                longest_gap_ms=self._gap_ns // 1_000_000,
                p50_ms=percentile(self._latencies_us, 0.50) / 1_000,
                p99_ms=percentile(self._latencies_us, 0.99) / 1_000,
            )

    def wait_for(self, number: int, timeout_s: float) -> None:
        """Return when message `number` arrived. Raises TimeoutError, or what broke the traffic."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: number in self._seen or self.failure is not None, timeout_s)
        if self.failure is not None:
            raise self.failure
        if not arrived:
            raise TimeoutError(f"message {number} did not arrive in {timeout_s:g} s: {self.figures()}")

    def flow(self, messages: int, timeout_s: float = 15.0) -> None:
        """Return when that many more messages than are published now have arrived."""
        self.wait_for(self._published + messages, timeout_s)

    def finish(self, timeout_s: float = 30.0) -> Figures:
        """Publish no more, wait for the last message (or the time to pass), and tell."""
        self._stopping.set()
        self._threads[1].join(PATIENCE_S)
        with contextlib.suppress(TimeoutError):
            self.wait_for(self._published - 1, timeout_s)
        with self._changed:
            self._changed.wait_for(lambda: len(self._seen) >= self._published, timeout_s)
        return self.figures()

    def close(self) -> None:
        self._stopping.set()
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for sock in (self._reader, self._writer):
            sock.close()

    def _publish(self) -> None:
        try:
            self._writer.settimeout(PATIENCE_S)
            began_ns = time.monotonic_ns()
            while not self._stopping.is_set():
                wait_ns = began_ns + self._published * self._period_ns - time.monotonic_ns()
                if wait_ns > 0 and self._stopping.wait(wait_ns / 1e9):
                    return
                self._writer.sendall(
                    text_frame(message(self._channel, self._published, time.monotonic_ns(), self._size))
                )
                self._published += 1
        except OSError as error:
            self._fail(error)

    def _read(self) -> None:
        rest = b""
        alive_at = 0.0
        self._reader.settimeout(0.2)
        try:
            while not self._ended.is_set():
                if time.monotonic() > alive_at:
                    alive_at = time.monotonic() + SIGN_OF_LIFE_S
                    self._reader.sendall(_PONG)
                try:
                    piece = self._reader.recv(1 << 18)
                except TimeoutError:
                    continue
                if not piece:
                    raise ConnectionError("the subscriber's bus closed the connection")
                rest = self._take(rest + piece)
        except OSError as error:
            if not self._ended.is_set():
                self._fail(error)

    def _take(self, data: bytes) -> bytes:
        end = 0
        now_ns = time.monotonic_ns()
        with self._changed:
            for match in STAMP.finditer(data):
                end = match.end()
                self._note(int(match[1]) - NUMBER_BASE, now_ns - int(match[2]) + TIME_BASE)
            if end:
                if self._last_ns:
                    self._gap_ns = max(self._gap_ns, now_ns - self._last_ns)
                self._last_ns = now_ns
                self._changed.notify_all()
        return data[max(end, len(data) - 64) :]

    def _note(self, number: int, took_ns: int) -> None:
        if number in self._seen:
            self._doubled += 1
            return
        self._latencies_us.append(took_ns // 1_000)
        self._seen.add(number)
        self._disordered += number < self._highest
        self._highest = max(self._highest, number)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self.failure = error
            self._changed.notify_all()
