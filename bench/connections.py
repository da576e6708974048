"""Thousands of clients at one bus: how long they take to connect, what each costs, and what 1 % of them then feel.

    python -m bench.connections [--counts 1000 5000] [--only "arqon node" arqon nats] [--json]

All connect (64 handshakes in flight) and stay silent; the memory of the bus's process is read before and after. Then
one in a hundred of them is active: these share a channel, and each publishes 128 bytes every second; the latency of
every delivery is taken. `arqon node` is a whole node, `arqon` the bus alone; the memory of sockets in the kernel is not
in these figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.bus_crowd import Crowd, Member, connect_many, many_files, rss_mb
from bench.bus_load import percentile
from bench.peers.dialects import MARK, STAMP_BEFORE_MARK, STAMP_DIGITS, payload
from bench.peers.start import Missing, Running, running

NAMES = ("arqon node", "arqon", "nats")
CONNECT_S_PER_1000 = 5.0
BASE_MB, EACH_KB = 50.0, 10.0
P99_MS = 50.0
PAYLOAD_BYTES = 128


def measure(bus: Running, count: int, seconds: float) -> dict[str, Any]:
    """All figures of one bus and one count."""
    latencies: list[int] = []

    def heard(member: Member, frames: Sequence[bytes]) -> None:
        now = time.monotonic_ns()
        for frame in frames:
            at = frame.find(MARK) - STAMP_BEFORE_MARK
            while at >= 0:
                latencies.append((now - int(frame[at : at + STAMP_DIGITS])) // 1_000)
                at = frame.find(MARK, at + STAMP_BEFORE_MARK + 1) - STAMP_BEFORE_MARK

    dialect = bus.dialect
    base_mb, base_cpu_s = rss_mb(bus.pid), bus.cpu_s()
    began = time.perf_counter()
    members = connect_many(bus.port, count, dialect.path, dialect.protocol)
    for frame, ready in zip(dialect.subscribe[: dialect.greet], dialect.ready, strict=False):
        for member in members:
            member.send(frame)
        for member in members:
            member.wait_for(ready)
    took_s = time.perf_counter() - began
    connect_cpu_s = bus.cpu_s() - base_cpu_s
    active = members[:: len(members) // max(1, count // 100)][: max(1, count // 100)]
    crowd = Crowd(heard)
    for member in members:
        crowd.add(member)
    crowd.run(3.0)
    idle_mb, idle_cpu_s = rss_mb(bus.pid), bus.cpu_s()
    for frame in dialect.subscribe[dialect.greet :]:
        for member in active:
            member.send(frame)
        crowd.run(1.0)
    began, sent = time.monotonic(), 0
    total = int(seconds * len(active))
    while sent < total:
        now = time.monotonic()
        while sent < total and began + sent / len(active) <= now:  # evenly: each client once a second
            active[sent % len(active)].sock.sendall(dialect.message(payload(time.monotonic_ns(), PAYLOAD_BYTES)))
            sent += 1
        crowd.turn(0.001)
    crowd.run(1.0)
    echoes = dialect.greet  # nats sends its own messages to a publisher that subscribes, too
    result = {
        "connected": len(crowd),
        "connect_s": round(took_s, 2),
        "connect_s_per_1000": round(took_s / count * 1_000, 2),
        "connect_cpu_ms_each": round(connect_cpu_s / count * 1_000, 3),
        "base_mb": round(base_mb, 1),
        "idle_mb": round(idle_mb, 1),
        "kb_each": round((idle_mb - base_mb) * 1_000 / count, 1),
        "active": len(active),
        "missing": sent * (len(active) - 1 + echoes) - len(latencies),
        "active_cpu": round((bus.cpu_s() - idle_cpu_s) / (time.monotonic() - began), 3),
        "p50_ms": percentile(latencies, 0.5) / 1_000,
        "p99_ms": percentile(latencies, 0.99) / 1_000,
    }
    crowd.close()
    return result


def good(row: dict[str, Any]) -> bool:
    return bool(
        row["connect_s_per_1000"] < CONNECT_S_PER_1000
        and row["idle_mb"] <= BASE_MB + EACH_KB * row["connected"] / 1_000
        and row["p99_ms"] < P99_MS
        and row["missing"] == 0
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000])
    parser.add_argument("--only", nargs="+", default=list(NAMES), metavar="BUS")
    parser.add_argument("--seconds", type=float, default=10.0, help="of activity")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if missing := many_files(max(arguments.counts)):
        print(missing, file=sys.stderr)
        return 2
    rows: dict[str, dict[str, Any]] = {}
    for count in arguments.counts:
        for name in arguments.only:
            try:
                with running(name) as bus:
                    row = rows[f"{name}, {count:,}"] = measure(bus, count, arguments.seconds)
            except Missing as wrong:
                print(f"skipped {name}: {wrong}", file=sys.stderr)
                continue
            if not arguments.json:
                print(f"{name}, {count:,}: " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))
    ours = [row for name, row in rows.items() if name.startswith("arqon node")]
    ok = all(good(row) for row in ours)
    print(
        f"target: at most {BASE_MB:g} MB + {EACH_KB:g} KB each, {CONNECT_S_PER_1000:g} s per 1,000, "
        f"p99 {P99_MS:g} ms: {'met' if ok else 'not met'}",
        file=sys.stderr,
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
