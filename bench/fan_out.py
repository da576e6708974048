"""Fan-out of one bus: 1 publisher, 100 subscribers, 128-byte payloads, over real WebSockets on loopback.

    python -m bench.fan_out [--seconds 4] [--subscribers 100] [--payload 128] [--json]

Two processes: the bus, and a load of raw sockets (one thread of selects) that counts every frame of every
subscriber by its header and reads the newest time stamp of each read. The publisher keeps a window of messages
that the slowest subscriber has not counted yet, so nothing is lost by overload and the figure is what the bus
carries. The latency run that follows sends at a fixed, low rate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.connection
import resource
import selectors
import socket
import sys
import time
from dataclasses import dataclass

from arqonmesh.config.model import BusSettings
from bench.bus_load import connect, percentile, text_frame
from bench.lone_bus import LoneBus

CHANNEL = "bench:fan"
TARGET_DELIVERIES_PER_S = 200_000
_READ_BYTES = 1 << 18
_MARK = b'"payload":{"t":"'


def serve(pipe: multiprocessing.connection.Connection) -> None:
    """The bus process: run until told, then report its CPU time."""

    async def main() -> None:
        bus = LoneBus(BusSettings())
        pipe.send(await bus.start())
        loop = asyncio.get_running_loop()
        while True:
            word = await loop.run_in_executor(None, pipe.recv)
            if word == "stop":
                break
            pipe.send((_cpu_s(), dict(bus.server.counters), bus.core.stats()))
        await bus.stop()

    asyncio.run(main())


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass(slots=True)
class Subscriber:
    """Counts frames in a byte stream without looking inside them: header, skip, header, skip."""

    sock: socket.socket
    count: int = 0
    left: bytes = b""

    def feed(self, data: bytes) -> int:
        """Events completed by this read."""
        data = self.left + data if self.left else data
        at, end, found = 0, len(data), 0
        while end - at >= 2:
            size = data[at + 1]
            start = at + 2
            if size == 126:
                if end - at < 4:
                    break
                size = data[at + 2] << 8 | data[at + 3]
                start = at + 4
            elif size == 127:
                if end - at < 10:
                    break
                size = int.from_bytes(data[at + 2 : at + 10], "big")
                start = at + 10
            if start + size > end:
                break
            at = start + size
            found += 1
        self.left = data[at:]
        self.count += found
        return found


class Load:
    """The publisher and all subscribers, in one loop of selects."""

    def __init__(self, port: int, subscribers: int, payload_bytes: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.payload_bytes = payload_bytes
        self.publisher = connect(port)
        self.subscribers = [Subscriber(connect(port)) for _ in range(subscribers)]
        for subscriber in self.subscribers:
            subscriber.sock.sendall(text_frame(b'{"type":"join","channel":"%b"}' % CHANNEL.encode()))
        for subscriber in self.subscribers:
            # Welcome, answer, a notice for each later member: all of it is here when the ping's answer is.
            subscriber.sock.sendall(text_frame(b'{"type":"ping"}'))
            seen = b""
            while b'"command":"ping"' not in seen:
                seen += subscriber.sock.recv(_READ_BYTES)
            subscriber.sock.setblocking(False)
            self.selector.register(subscriber.sock, selectors.EVENT_READ, subscriber)
        self.publisher.setblocking(True)
        self.sent = 0
        self.latencies_us: list[int] = []
        self.waited_s = 0.0
        """Time in which there was nothing to read: the bus was the slower one."""

    def publish(self, count: int) -> None:
        """`count` messages in one write."""
        parts = []
        for _ in range(count):
            head = b'{"t":"%019d","x":"' % time.monotonic_ns()
            payload = head + b"x" * (self.payload_bytes - len(head) - 2) + b'"}'
            parts.append(text_frame(b'{"type":"event","channel":"%b","payload":%b}' % (CHANNEL.encode(), payload)))
        self.publisher.sendall(b"".join(parts))
        self.sent += count

    def read(self, timeout_s: float, sample: bool) -> int:
        """Everything that is readable now; how many deliveries that was."""
        total = 0
        asked = time.perf_counter()
        ready = self.selector.select(timeout_s)
        self.waited_s += time.perf_counter() - asked
        for key, _ in ready:
            subscriber: Subscriber = key.data
            try:
                data = subscriber.sock.recv(_READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("the bus cut off a subscriber")
            total += subscriber.feed(data)
            at = data.rfind(_MARK) if sample else -1
            if at >= 0 and len(data) >= at + len(_MARK) + 19:
                stamp = int(data[at + len(_MARK) : at + len(_MARK) + 19])
                self.latencies_us.append((time.monotonic_ns() - stamp) // 1_000)
        return total

    def slowest(self) -> int:
        return min(subscriber.count for subscriber in self.subscribers)

    def flat_out(self, seconds: float, window: int, batch: int) -> tuple[int, float]:
        """As fast as the window allows; deliveries and the time they took, the last one included."""
        started = time.perf_counter()
        deliveries = 0
        while time.perf_counter() - started < seconds:
            while self.sent - self.slowest() <= window - batch:
                self.publish(batch)
            deliveries += self.read(0.5, False)
        deliveries += self.finish(5.0)
        return deliveries, time.perf_counter() - started

    def finish(self, patience_s: float) -> int:
        """Read until every subscriber has everything."""
        deliveries = 0
        deadline = time.perf_counter() + patience_s
        while self.slowest() < self.sent and time.perf_counter() < deadline:
            deliveries += self.read(0.1, False)
        return deliveries

    def paced(self, seconds: float, per_s: int) -> None:
        """Single messages at a fixed rate; every subscriber's latency is sampled."""
        started = time.perf_counter()
        first = self.sent
        while (elapsed := time.perf_counter() - started) < seconds:
            if self.sent - first < elapsed * per_s:
                self.publish(1)
            self.read(0.001, True)
        self.finish(5.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--payload", type=int, default=128)
    parser.add_argument("--window", type=int, default=2_000, help="messages in flight")
    parser.add_argument("--batch", type=int, default=100, help="messages per write of the publisher")
    parser.add_argument("--rate", type=int, default=200, help="messages per second of the latency run")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = int(str(ours.recv()).rstrip("/").rpartition(":")[2])
    load = Load(port, arguments.subscribers, arguments.payload)

    def bus_cpu_s() -> float:
        ours.send("report")
        return float(ours.recv()[0])

    bus_before, load_before, waited_before = bus_cpu_s(), _cpu_s(), load.waited_s
    deliveries, took_s = load.flat_out(arguments.seconds, arguments.window, arguments.batch)
    bus_s, load_s, waited_s = bus_cpu_s() - bus_before, _cpu_s() - load_before, load.waited_s - waited_before
    lost = sum(load.sent - subscriber.count for subscriber in load.subscribers)
    load.paced(1.5, arguments.rate)
    ours.send("stop")
    server.join(10)

    latencies = sorted(load.latencies_us)
    result = {
        "deliveries_per_s": round(deliveries / took_s),
        "target": TARGET_DELIVERIES_PER_S,
        "messages": load.sent,
        "subscribers": arguments.subscribers,
        "payload_bytes": arguments.payload,
        "lost": lost,
        "bus_cpu": round(bus_s / took_s, 2),
        "load_cpu": round(load_s / took_s, 2),
        "load_waited": round(waited_s / took_s, 2),
        "latency_rate_per_s": arguments.rate,
        "p50_us": percentile(latencies, 0.5),
        "p99_us": percentile(latencies, 0.99),
    }
    result["limit"] = "bus" if waited_s > took_s / 2 else "load generator"
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['deliveries_per_s']:,} deliveries/s (target {TARGET_DELIVERIES_PER_S:,}) to "
            f"{arguments.subscribers} subscribers, {arguments.payload} B payload, lost {lost}\n"
            f"CPU as the kernel counts it: bus {result['bus_cpu']} of a core, load {result['load_cpu']}; "
            f"the load waited {result['load_waited']:.0%} of the time, so the limit is the {result['limit']}\n"
            f"at {arguments.rate} messages/s: p50 {result['p50_us']} us, p99 {result['p99_us']} us to each subscriber"
        )
    return 0 if lost == 0 and deliveries / took_s >= TARGET_DELIVERIES_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
