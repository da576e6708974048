"""How soon the bus answers commands while it has 10,000 channels, over a real WebSocket on loopback.

    python -m bench.bus_commands [--channels 10000] [--asks 300] [--json]

One process is the bus, the other a client that makes the channels, then asks one command after the other and takes the
time from its frame to the whole answer. Twice: on an open bus, and on one with a room rule, where listings look at the
permission of every single channel. `list_channels` is asked for 100 channels (the default) and for 1,000.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.connection
import socket
import struct
import sys
import time
from typing import Any

from arqonmesh.config.model import AuthSettings, BusSettings, RoomRule
from bench.bus_load import connect, percentile, text_frame
from bench.lone_bus import LoneBus

TARGET_P99_MS = 100.0
RULED = AuthSettings(rooms=(RoomRule(rooms=("secret:*",), join="admin", history="admin"),))
_ASKED: dict[str, dict[str, Any]] = {
    "status": {"type": "status"},
    "list_channels 100": {"type": "list_channels"},
    "list_channels 1000": {"type": "list_channels", "limit": 1_000},
    "channel_info": {"type": "channel_info", "channel": "room7:channel7"},
    "ping": {"type": "ping"},
}


def serve(pipe: multiprocessing.connection.Connection, channels: int, ruled: bool) -> None:
    """The bus process: run until told."""

    async def main() -> None:
        auth = RULED if ruled else AuthSettings()
        bus = LoneBus(BusSettings(channels_max=channels + 10, auth=auth))
        pipe.send(await bus.start())
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await bus.stop()

    asyncio.run(main())


class Asker:
    """One client that asks and waits."""

    def __init__(self, port: int) -> None:
        self.sock: socket.socket = connect(port)
        self.rest = b""
        self.asked = 0

    def read(self) -> bytes:
        """The next text frame's payload; the bus also pings who is slow."""
        while True:
            opcode, payload = self._frame()
            if opcode == 1:
                return payload

    def _frame(self) -> tuple[int, bytes]:
        head = self._take(2)
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return head[0] & 15, self._take(length)

    def ask(self, frame: dict[str, Any]) -> bytes:
        """The answer to this command; the welcome and whatever else comes is passed over."""
        self.asked += 1
        mark = f'"q{self.asked}"'.encode()
        self.sock.sendall(text_frame(json.dumps({**frame, "id": f"q{self.asked}"}).encode()))
        while mark not in (answer := self.read())[:400]:
            pass
        return answer

    def _take(self, size: int) -> bytes:
        pieces, have = [self.rest], len(self.rest)
        while have < size:
            piece = self.sock.recv(1 << 18)
            if not piece:
                raise ConnectionError("the bus closed")
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self.rest = data[size:]
        return data[:size]


def measure(channels: int, asks: int, ruled: bool) -> dict[str, dict[str, float]]:
    """Milliseconds by command."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, channels, ruled), daemon=True)
    server.start()
    asker = Asker(int(str(ours.recv()).rstrip("/").rpartition(":")[2]))
    for number in range(channels):
        asker.ask({"type": "create_channel", "channel": f"room{number % 100}:channel{number}"})
    listed = json.loads(asker.ask({"type": "list_channels", "limit": 1}))["payload"]["total"]
    assert listed == channels, f"{listed} channels are listed of {channels}"
    figures: dict[str, dict[str, float]] = {}
    for name, frame in _ASKED.items():
        took_us = []
        for _ in range(asks):
            began = time.perf_counter_ns()
            answer = asker.ask(frame)
            took_us.append((time.perf_counter_ns() - began) // 1_000)
            assert b'"success"' in answer[:400], answer[:200]
        took_us.sort()
        figures[name] = {f"p{int(q * 100)}_ms": percentile(took_us, q) / 1_000 for q in (0.5, 0.99)}
    ours.send("stop")
    server.join(10)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=10_000)
    parser.add_argument("--asks", type=int, default=300, help="of each command")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = {
        bus: measure(arguments.channels, arguments.asks, ruled) for bus, ruled in (("open", False), ("ruled", True))
    }
    worst = max(figures["p99_ms"] for commands in result.values() for figures in commands.values())
    if arguments.json:
        print(json.dumps({"channels": arguments.channels, "target_p99_ms": TARGET_P99_MS, **result}))
    else:
        for bus, commands in result.items():
            print(f"{bus} bus, {arguments.channels:,} channels:")
            for name, figures in commands.items():
                print(f"  {name:<20} p50 {figures['p50_ms']:7.2f} ms   p99 {figures['p99_ms']:7.2f} ms")
        print(f"slowest p99 {worst:.2f} ms (target {TARGET_P99_MS:g} ms)")
    return 0 if worst < TARGET_P99_MS else 1


if __name__ == "__main__":
    sys.exit(main())
