"""Cross-cluster throughput and latency: bus client -> WebSocket -> node -> QUIC -> node -> WebSocket -> bus client.

    python -m bench.cross_node                  # 128 B and 4 KiB flat out, then latency at 1,000 msgs/s
    python -m bench.cross_node --seconds 5 --json

Two nodes, a publisher and a subscriber: four processes. Batches are signed by the origin and verified by the
receiver; every message is checked for loss, doubling and order at the subscriber.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from typing import Any

from arqonmesh_testbed.loopback import LoopbackNode, loopback_mesh
from bench.bus_load import CHANNEL, connect, join, percentile, publish_at_rate, publish_flat_out, receive

POLICY = """
federation:
  export: {allow: ["bench:*"]}
  import: {allow: ["*"]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=200_000, help="messages of 128 B to send flat out")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the latency run at 1,000 msgs/s")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with loopback_mesh(POLICY) as mesh:
        a = mesh.seed("a")
        b = mesh.join("b", a)
        rows = [
            flat_out(a, b, args.messages, 128),
            flat_out(a, b, max(1_000, args.messages // 8), 4_096),
            at_rate(a, b, int(args.seconds * 1_000), 128),
        ]
    if args.json:
        print(json.dumps({"v": 1, "cores": os.cpu_count(), "rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


def flat_out(a: LoopbackNode, b: LoopbackNode, total: int, size: int) -> dict[str, Any]:
    before = (a.cpu_s(), b.cpu_s())
    result = _measure(b, total, _publish_flat_out, (a.bus, total, size), latencies=False)
    return {
        "workload": f"{size} B flat out",
        "msgs_per_s": round(result["per_s"]),
        "mb_per_s": round(result["per_s"] * size / 1e6, 1),
        "received": result["count"],
        "lost": result["lost"],
        "doubled": result["doubled"],
        "cpu_a": round((a.cpu_s() - before[0]) / result["span_s"], 2),
        "cpu_b": round((b.cpu_s() - before[1]) / result["span_s"], 2),
        "rss_a_mib": round(a.rss_mib()),
        "rss_b_mib": round(b.rss_mib()),
    }


def at_rate(a: LoopbackNode, b: LoopbackNode, total: int, size: int) -> dict[str, Any]:
    result = _measure(b, total, _publish_at_rate, (a.bus, total, size), latencies=True)
    return {
        "workload": f"{size} B at 1000/s",
        "received": result["count"],
        "lost": result["lost"],
        "doubled": result["doubled"],
        "p50_ms": round(percentile(result["latencies_us"], 0.50) / 1_000, 2),
        "p99_ms": round(percentile(result["latencies_us"], 0.99) / 1_000, 2),
        "max_ms": round(max(result["latencies_us"], default=0) / 1_000, 2),
    }


def _measure(
    b: LoopbackNode, total: int, publish: Any, args: tuple[int, int, int], *, latencies: bool
) -> dict[str, Any]:
    """Subscribe in one process, publish in another, return what the subscriber saw."""
    ours, theirs = multiprocessing.Pipe()
    subscriber = multiprocessing.Process(target=_subscribe, args=(theirs, b.bus, total, latencies))
    subscriber.start()
    assert ours.poll(15), "the subscriber did not join"
    ours.recv()
    publisher = multiprocessing.Process(target=publish, args=args)
    publisher.start()
    assert ours.poll(120), "the subscriber saw no end"
    result: dict[str, Any] = ours.recv()
    for process in (publisher, subscriber):
        process.join(timeout=40)
        if process.is_alive():
            process.terminate()
    return result


def _subscribe(pipe: Connection, port: int, total: int, latencies: bool) -> None:
    sock = connect(port)
    join(sock, CHANNEL)
    pipe.send("joined")
    began = time.monotonic()
    seen = receive(sock, total, latencies=latencies, quiet_s=10.0)
    pipe.send(
        {
            "count": seen.count,
            "lost": seen.lost,
            "doubled": seen.doubled,
            "per_s": seen.per_s,
            "span_s": max(0.001, time.monotonic() - began),
            "latencies_us": seen.latencies_us,
        }
    )
    sock.close()


def _publish_flat_out(port: int, total: int, size: int) -> None:
    publish_flat_out(port, total, size)


def _publish_at_rate(port: int, total: int, size: int) -> None:
    publish_at_rate(port, total, size, 1_000)


if __name__ == "__main__":
    main()
