"""Many small rooms at once: 1,000 clients in 200 rooms, each publishing 5 times a second, at one node.

    python -m bench.many_rooms [--clients 1000] [--rooms 200] [--rate 5] [--seconds 10] [--only "arqon node" nats]

5,000 messages a second go in, each to the four others of its room: 20,000 deliveries a second. Every delivery is
counted and its latency taken. The load is one process; the CPU of both is stated, as the kernel counts it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.bus_crowd import Crowd, Member, connect_many, many_files
from bench.bus_load import percentile, text_frame
from bench.peers.dialects import MARK, STAMP_BEFORE_MARK, STAMP_DIGITS, payload
from bench.peers.start import Missing, Running, running

P99_MS = 50.0
PAYLOAD_BYTES = 128
NAMES = ("arqon node", "arqon", "nats")


def _joins(nats: bool, room: int) -> bytes:
    if nats:
        return b"SUB bench.room%d 1\r\nPING\r\n" % room
    return b'{"type":"join","channel":"bench:room%d"}' % room


def _message(nats: bool, room: int, size: int) -> bytes:
    data = payload(time.monotonic_ns(), size)
    if nats:
        return text_frame(b"PUB bench.room%d %d\r\n%b\r\n" % (room, len(data), data))
    return text_frame(b'{"type":"event","channel":"bench:room%d","payload":%b}' % (room, data))


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(bus: Running, clients: int, rooms: int, rate: float, seconds: float) -> dict[str, Any]:
    """Connect, join, publish, count."""
    latencies: list[int] = []
    nats = bus.dialect.greet == 1

    def heard(member: Member, frames: Sequence[bytes]) -> None:
        now = time.monotonic_ns()
        for frame in frames:
            at = frame.find(MARK) - STAMP_BEFORE_MARK
            while at >= 0:
                latencies.append((now - int(frame[at : at + STAMP_DIGITS])) // 1_000)
                at = frame.find(MARK, at + STAMP_BEFORE_MARK + 1) - STAMP_BEFORE_MARK

    members = connect_many(bus.port, clients, bus.dialect.path, bus.dialect.protocol)
    crowd = Crowd(heard)
    for number, member in enumerate(members):
        member.room = number % rooms
        if nats:
            member.send(bus.dialect.subscribe[0])
        member.send(_joins(nats, member.room))
        crowd.add(member)
        crowd.turn(0)
    crowd.run(2.0)
    latencies.clear()
    bus_s, load_s, began, sent = bus.cpu_s(), _cpu_s(), time.monotonic(), 0
    total, per_s = int(seconds * clients * rate), clients * rate
    behind_s = 0.0
    while sent < total:
        elapsed = time.monotonic() - began
        due = min(total, int(elapsed * per_s))
        behind_s = max(behind_s, elapsed - sent / per_s)
        for index in range(sent, min(due, sent + 50)):
            member = members[index % clients]
            member.sock.sendall(_message(nats, member.room, PAYLOAD_BYTES))
            sent += 1
        crowd.turn(0.0005 if due <= sent else 0)
    took_s = time.monotonic() - began
    bus_s, load_s = bus.cpu_s() - bus_s, _cpu_s() - load_s
    crowd.run(2.0)
    each = clients // rooms - (0 if nats else 1)  # nats gives a publisher its own messages back
    result = {
        "sent_per_s": round(sent / took_s),
        "deliveries_per_s": round(len(latencies) / took_s),
        "missing": sent * each - len(latencies),
        "cut_off": len(crowd.closed),
        "bus_cpu": round(bus_s / took_s, 2),
        "load_cpu": round(load_s / took_s, 2),
        "load_behind_ms": round(behind_s * 1_000, 1),
        "p50_ms": percentile(latencies, 0.5) / 1_000,
        "p99_ms": percentile(latencies, 0.99) / 1_000,
        "max_ms": max(latencies, default=0) / 1_000,
    }
    crowd.close()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rooms", type=int, default=200)
    parser.add_argument("--rate", type=float, default=5.0, help="messages per second of each client")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", default=list(NAMES), metavar="BUS")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if missing := many_files(arguments.clients):
        print(missing, file=sys.stderr)
        return 2
    if arguments.clients % arguments.rooms:
        parser.error("--clients has to be a multiple of --rooms, so that every delivery is known beforehand")
    rows: dict[str, dict[str, Any]] = {}
    for name in arguments.only:
        try:
            with running(name) as bus:
                rows[name] = measure(bus, arguments.clients, arguments.rooms, arguments.rate, arguments.seconds)
        except Missing as wrong:
            print(f"skipped {name}: {wrong}", file=sys.stderr)
            continue
        if not arguments.json:
            print(f"{name}: " + "  ".join(f"{key} {value}" for key, value in rows[name].items()), flush=True)
    if arguments.json:
        print(json.dumps(rows))
    node = rows.get("arqon node")
    ok = node is None or (node["missing"] == 0 and node["p99_ms"] < P99_MS)
    print(f"target: nothing missing, p99 below {P99_MS:g} ms: {'met' if ok else 'not met'}", file=sys.stderr)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
