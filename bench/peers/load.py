"""One publisher and many subscribers, thin enough that the bus is what is measured.

Subscribers live in processes of their own. Each has one buffer, reads a socket into it when the kernel says that there
is something, and counts marks in the bytes (`bytes.count`, at the speed of C); nothing is parsed, nothing is kept. The
publisher keeps a window of messages that the slowest subscriber has not counted yet, so that nothing is lost by
overload and the figure is what the bus carries.
"""

from __future__ import annotations

import array
import multiprocessing
import resource
import selectors
import socket
import time
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.peers.dialects import MARK, STAMP_BEFORE_MARK, STAMP_DIGITS, Dialect, payload

READ_BYTES = 1 << 20
_TAIL = len(MARK) - 1
_spawn = multiprocessing.get_context("spawn")


@dataclass(slots=True)
class Flow:
    """What a flat-out run carried."""

    deliveries: int
    messages: int
    took_s: float
    lost: int

    @property
    def per_s(self) -> float:
        return self.deliveries / self.took_s


def subscribe(dialect: Dialect, port: int, first: int, count: int, counted: Any, pipe: Connection) -> None:
    """A process of subscribers: `counted[first:first + count]` says how many messages each has got."""
    selector = selectors.EpollSelector()
    for number in range(first, first + count):
        sock = dialect.connect(port, subscribe=True)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, number)
    selector.register(pipe, selectors.EVENT_READ, -1)
    pipe.send("ready")
    buffer = bytearray(READ_BYTES)
    tails = [b""] * (first + count)
    totals: MutableSequence[int] = array.array("Q", [0] * (first + count))
    latencies: list[int] | None = None
    while True:
        for key, _ in selector.select():
            number = key.data
            if number < 0:
                word = pipe.recv()
                if word == "time":
                    latencies = []
                elif word == "report":
                    usage = resource.getrusage(resource.RUSAGE_SELF)
                    pipe.send((usage.ru_utime + usage.ru_stime, latencies))
                else:
                    return
                continue
            reader = key.fileobj
            assert isinstance(reader, socket.socket)
            try:
                size = reader.recv_into(buffer)
            except BlockingIOError:
                continue
            if size == 0:
                selector.unregister(reader)
                continue
            now = time.monotonic_ns()
            found = buffer.count(MARK, 0, size)
            tail = tails[number]
            if tail:
                found += (tail + buffer[: min(size, _TAIL)]).count(MARK)
            tails[number] = bytes(buffer[size - _TAIL : size]) if size >= _TAIL else (tail + buffer[:size])[-_TAIL:]
            totals[number] += found
            counted[number] = totals[number]
            if latencies is not None:
                at = buffer.find(MARK, 0, size)
                while at >= STAMP_BEFORE_MARK:
                    start = at - STAMP_BEFORE_MARK
                    latencies.append((now - int(buffer[start : start + STAMP_DIGITS])) // 1_000)
                    at = buffer.find(MARK, at + 1, size)


class Load:
    """A publisher here, the subscribers elsewhere."""

    def __init__(self, dialect: Dialect, port: int, subscribers: int, size: int, processes: int) -> None:
        self._dialect = dialect
        self._size = size
        self._counted: MutableSequence[int] = _spawn.RawArray("Q", subscribers)
        self._pipes: list[Connection] = []
        self._processes = []
        share = -(-subscribers // processes)
        for first in range(0, subscribers, share):
            ours, theirs = _spawn.Pipe()
            count = min(share, subscribers - first)
            process = _spawn.Process(
                target=subscribe, args=(dialect, port, first, count, self._counted, theirs), daemon=True
            )
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            if not pipe.poll(60):
                raise TimeoutError("the subscribers did not get connected within 60 s")
            pipe.recv()
        self._publisher = dialect.connect(port, subscribe=False)
        self._publisher.settimeout(30)
        self.sent = 0

    def publish(self, count: int) -> None:
        """`count` messages in one write."""
        message, size, now = self._dialect.message, self._size, time.monotonic_ns
        self._publisher.sendall(b"".join([message(payload(now(), size)) for _ in range(count)]))
        self.sent += count

    def slowest(self) -> int:
        return min(self._counted)

    def received(self) -> int:
        return sum(self._counted)

    def flat_out(self, seconds: float, window: int, batch: int) -> Flow:
        """As fast as the window allows; the time goes on until the last delivery."""
        began, first, had = time.perf_counter(), self.sent, self.received()
        while time.perf_counter() - began < seconds:
            if self.sent - self.slowest() <= window - batch:
                self.publish(batch)
            else:
                time.sleep(0.0005)
        self.finish(20.0)
        took_s = time.perf_counter() - began
        got, sent = self.received() - had, self.sent - first
        return Flow(got, sent, took_s, sent * len(self._counted) - got)

    def finish(self, patience_s: float) -> None:
        """Wait until every subscriber has everything."""
        deadline = time.perf_counter() + patience_s
        while self.slowest() < self.sent and time.perf_counter() < deadline:
            time.sleep(0.001)

    def paced(self, seconds: float, per_s: int) -> list[int]:
        """Single messages at a fixed rate; the latency to every subscriber in microseconds, sorted."""
        for pipe in self._pipes:
            pipe.send("time")
        began = time.perf_counter()
        for number in range(int(seconds * per_s)):
            wait_s = began + number / per_s - time.perf_counter()
            if wait_s > 0:
                time.sleep(wait_s)
            self.publish(1)
        self.finish(5.0)
        return sorted(latency for _, latencies in self._reports() for latency in latencies or ())

    def cpu_s(self) -> float:
        """Of the subscribers' processes and of this one."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime + sum(cpu_s for cpu_s, _ in self._reports())

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send("stop")
        for process in self._processes:
            process.join(5)
            process.kill()
        self._publisher.close()

    def _reports(self) -> list[tuple[float, list[int] | None]]:
        for pipe in self._pipes:
            pipe.send("report")
        return [pipe.recv() for pipe in self._pipes]


@contextmanager
def load(dialect: Dialect, port: int, subscribers: int, size: int, processes: int) -> Iterator[Load]:
    """Connected and subscribed; all of it is ended with the block."""
    running = Load(dialect, port, subscribers, size, processes)
    try:
        yield running
    finally:
        running.close()
