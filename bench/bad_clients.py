"""What bad clients cost the good ones: p99 of a small busy room, alone, then beside each kind of offender, in one run.

    python -m bench.bad_clients [--seconds 4] [--members 20] [--rate 100] [--json]

Three processes: the bus (with a rate limit, so that floods end), the good clients (one publisher at a fixed rate, the
members' latencies by the time stamp in the payload), and the offenders, who begin again whenever they are cut off:

    slowloris    500 connections that send a handshake's first bytes and then one byte a second
    storm        handshakes one after the other, as fast as they go, hung up at once
    giants       frames of 64 MiB, announced and begun
    rubbish      bytes that are no UTF-8, reserved bits with a deflated bomb, frames out of order
    flood        events as fast as the socket takes them, into a room of their own
    sleepers     20 members of the good clients' room who never read
    half-open    200 connections that stop answering
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import random
import select
import socket
import sys
import time
import zlib
from collections.abc import Callable
from typing import Any

from arqonmesh.config.model import BusSettings
from bench.bus_load import connect, percentile, text_frame
from bench.lone_bus import LoneBus

ROOM = "bench:good"
OFFENDERS = ("slowloris", "storm", "giants", "rubbish", "flood", "sleepers", "half-open")
RATE_PER_S = 2_000
_STAMP = b'"payload":{"t":"'


def serve(pipe: multiprocessing.connection.Connection) -> None:
    """The bus process: run until told, answer each `report` with its counters."""

    async def main() -> None:
        settings = BusSettings(rate_per_s=RATE_PER_S, buffer_bytes_max=1 << 20)
        bus = LoneBus(settings, ping_interval_s=1.0, pong_timeout_s=1.0)
        pipe.send(await bus.start())
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv) == "report":
            core = bus.core.stats()
            pipe.send({**bus.server.counters, "flooders_closed": core["flooders_closed"]})
        await bus.stop()

    asyncio.run(main())


def offend(kind: str, port: int) -> None:
    """One kind of offender, until its process is ended."""
    act: dict[str, Callable[[int], None]] = {
        "slowloris": _slowloris,
        "storm": _storm,
        "giants": _giants,
        "rubbish": _rubbish,
        "flood": _flood,
        "sleepers": _sleepers,
        "half-open": _half_open,
    }
    while True:
        with contextlib.suppress(OSError):
            act[kind](port)


def _slowloris(port: int) -> None:
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(500)]
    for sock in sockets:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
    try:
        while sockets:
            time.sleep(1)
            for sock in list(sockets):
                try:
                    sock.sendall(b"a")
                except OSError:
                    sockets.remove(sock)
    finally:
        for sock in sockets:
            sock.close()


def _storm(port: int) -> None:
    with connect(port):
        pass


def _giants(port: int) -> None:
    with connect(port) as sock:
        sock.sendall(b"\x81\xff" + (64 << 20).to_bytes(8, "big") + b"\0\0\0\0")
        for _ in range(1_024):
            sock.sendall(b"x" * 65_536)


def _rubbish(port: int) -> None:
    bomb = zlib.compress(b"0" * 10_000_000)
    for bad in (text_frame(b'{"payload":"\xff"}'), b"\xc1" + text_frame(bomb)[1:], b"\x00" + text_frame(b"x")[1:]):
        with connect(port) as sock, contextlib.suppress(TimeoutError):
            sock.sendall(bad)
            sock.settimeout(0.2)
            while sock.recv(65_536):  # it does not answer the close frame either
                pass


def _flood(port: int) -> None:
    burst = text_frame(b'{"type":"event","channel":"bench:flood","payload":1}') * 500
    with connect(port) as sock:
        sock.setblocking(False)
        while True:  # it reads what it is told, so that it is its rate that ends it
            readable, writable, _ = select.select([sock], [sock], [])
            if readable and not sock.recv(1 << 20):
                return
            if writable:
                sock.send(burst)


def _sleepers(port: int) -> None:
    sockets = [connect(port) for _ in range(20)]
    try:
        for sock in sockets:
            sock.sendall(text_frame(b'{"type":"join","channel":"%b"}' % ROOM.encode()))
        time.sleep(3)
    finally:
        for sock in sockets:
            sock.close()


def _half_open(port: int) -> None:
    sockets = [connect(port) for _ in range(200)]
    time.sleep(random.uniform(1, 3))
    for sock in sockets:
        sock.close()


def measure(port: int, seconds: float, members: int, per_s: int) -> tuple[list[int], int]:
    """(latencies of all deliveries in microseconds, how many are missing) of a room of good clients."""
    publisher, readers = connect(port), [connect(port) for _ in range(members)]
    for reader in readers:
        reader.sendall(text_frame(b'{"type":"join","channel":"%b"}' % ROOM.encode()))
        reader.settimeout(5)
        seen = b""
        while b'"command":"join' not in seen:
            seen += reader.recv(65_536)
        reader.setblocking(False)
    latencies: list[int] = []
    left = dict.fromkeys(readers, b"")
    sent, begun, every = 0, time.monotonic(), 1 / per_s
    last = begun + seconds
    alive = begun
    while (now := time.monotonic()) < last or (len(latencies) < sent * members and now < last + 5):
        if now < last and now - begun >= sent * every:
            payload = b'{"t":"%019d","x":"%b"}' % (time.monotonic_ns(), b"x" * 1_000)
            publisher.sendall(text_frame(b'{"type":"event","channel":"%b","payload":%b}' % (ROOM.encode(), payload)))
            sent += 1
        if now - alive > 0.3:  # these are not half-open: a PONG that nobody asked for (RFC 6455, 5.5.3)
            alive = now
            for sock in (publisher, *readers):
                sock.sendall(b"\x8a\x80\0\0\0\0")
        ready, _, _ = select.select(readers, [], [], 0.001)
        arrived = time.monotonic_ns()
        for reader in ready:
            data = left[reader] + reader.recv(1 << 20)
            at = 0
            while (found := data.find(_STAMP, at)) >= 0 and len(data) >= found + len(_STAMP) + 19:
                at = found + len(_STAMP) + 19
                latencies.append((arrived - int(data[at - 19 : at])) // 1_000)
            left[reader] = data[at:] if len(data) - at < 4_096 else data[-len(_STAMP) - 19 :]
    for sock in (publisher, *readers):
        sock.close()
    return sorted(latencies), sent * members - len(latencies)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--rate", type=int, default=100, help="messages per second of the good clients")
    parser.add_argument("--only", choices=OFFENDERS, nargs="*", default=OFFENDERS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    ours, theirs = multiprocessing.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = int(str(ours.recv()).rstrip("/").rpartition(":")[2])

    def counted() -> dict[str, int]:
        ours.send("report")
        told: dict[str, int] = ours.recv()
        return told

    rows: list[dict[str, Any]] = []
    for kind in ("nobody", *arguments.only, "nobody"):
        before = counted()
        offender = None
        if kind != "nobody":
            offender = context.Process(target=offend, args=(kind, port), daemon=True)
            offender.start()
            time.sleep(1)
        latencies, missing = measure(port, arguments.seconds, arguments.members, arguments.rate)
        if offender is not None:
            offender.kill()
            offender.join()
        after = counted()
        plain = ("frames_in", "frames_out", "bytes_out")
        cut = {name: count - before.get(name, 0) for name, count in after.items() if name not in plain}
        row = {
            "beside": kind,
            "p50_us": percentile(latencies, 0.5),
            "p99_us": percentile(latencies, 0.99),
            "max_us": latencies[-1] if latencies else 0,
            "missing": missing,
            "cut_off": {name: count for name, count in sorted(cut.items()) if count},
        }
        rows.append(row)
        if not arguments.json:
            cut_off = ", ".join(f"{name} {count}" for name, count in row["cut_off"].items()) or "-"
            print(
                f"beside {kind:10} p50 {row['p50_us']:>7,} us  p99 {row['p99_us']:>8,} us  max {row['max_us']:>9,} us  "
                f"missing {missing}  cut off: {cut_off}",
                flush=True,
            )
    ours.send("stop")
    server.join(10)
    if arguments.json:
        print(json.dumps({"members": arguments.members, "rate_per_s": arguments.rate, "rows": rows}))
    return 0 if all(row["missing"] == 0 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
