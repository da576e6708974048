"""The lab's switch alone: two namespaces, plain UDP, one way a delay. Needs root.

    python -m bench.lab_switch [--seconds 3] [--delay-us 20000] [--json]

Round trips of single packets, then packets of 1,200 bytes as fast as one thread sends them. Sender and receiver are
threads of one process, so the figure is what this machine's cores share out among three, not the switch's limit alone.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from arqonmesh_testbed import namespaces
from arqonmesh_testbed.switch_control import order
from arqonmesh_testbed.switch_process import start
from bench.bus_load import percentile

NODES = {"a": "10.89.0.1", "b": "10.89.0.2"}
PORT = 7_000
PAYLOAD_BYTES = 1_172
BURST = 32
SO_RCVBUFFORCE = 33
"""socket(7); Python has no name for it."""


def measure(seconds: float, delay_us: int) -> dict[str, Any]:
    """Round trips in ms, packets per second, and how many were lost."""
    lab = f"b{os.getpid()}"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        descriptors = {}
        for node, address in NODES.items():
            namespace = namespaces.name_of(lab, node)
            descriptors[node] = namespaces.create(namespace, address)
            stack.callback(namespaces.remove, namespace)
            stack.callback(os.close, descriptors[node])
        control = folder / "switch.sock"
        specification = {
            "socket": str(control),
            "nodes": NODES,
            "descriptors": descriptors,
            "links": [{"between": ["a", "b"], "model": {"delay_us": delay_us}}],
            "outbound_only": [],
        }
        switch = start(specification, folder / "switch.log")
        stack.callback(switch.wait)
        stack.callback(switch.terminate)
        ends = {node: namespaces.inside(namespaces.name_of(lab, node), functools.partial(_udp, node)) for node in NODES}
        for end in ends.values():
            stack.enter_context(end)
        round_trips = [_round_trip_us(ends["a"], ends["b"]) for _ in range(100)]
        sent, received, took_s = _flood(ends["a"], ends["b"], seconds)
        paths = order(control, "stats")["paths"]
    return {
        "delay_us": delay_us,
        "rtt_p50_ms": percentile(round_trips, 0.5) / 1e3,
        "rtt_p99_ms": percentile(round_trips, 0.99) / 1e3,
        "packets_per_s": round(received / took_s),
        "lost": sent - received,
        "refused": sum(path["refused"] for path in paths),
    }


def _udp(node: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    sock.bind((NODES[node], PORT))
    sock.settimeout(1)
    return sock


def _round_trip_us(a: socket.socket, b: socket.socket) -> int:
    began = time.monotonic_ns()
    a.sendto(b"there", (NODES["b"], PORT))
    b.recv(64)
    b.sendto(b"back", (NODES["a"], PORT))
    a.recv(64)
    return (time.monotonic_ns() - began) // 1_000


def _flood(a: socket.socket, b: socket.socket, seconds: float) -> tuple[int, int, float]:
    """Sent, received, and the seconds between first and last arrival."""
    sent = 0

    def send() -> None:
        nonlocal sent
        until = time.monotonic() + seconds
        data = b"x" * PAYLOAD_BYTES
        while time.monotonic() < until:
            for _ in range(BURST):
                a.sendto(data, (NODES["b"], PORT))
            sent += BURST
            time.sleep(0.0004)  # let the others have a turn on few cores

    sender = threading.Thread(target=send)
    began = last = time.monotonic()
    sender.start()
    received = 0
    with contextlib.suppress(TimeoutError):
        while True:
            b.recv(2_048)
            received += 1
            last = time.monotonic()
    sender.join()
    return sent, received, last - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--delay-us", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    reason = namespaces.why_not()
    if reason is not None:
        print(f"not measured: {reason}", file=sys.stderr)
        return 2
    result = measure(arguments.seconds, arguments.delay_us)
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['delay_us'] / 1e3:g} ms one way: RTT p50 {result['rtt_p50_ms']:.1f} ms, "
            f"p99 {result['rtt_p99_ms']:.1f} ms\n"
            f"{result['packets_per_s']:,} packets/s of 1,200 B, {result['lost']} lost"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
