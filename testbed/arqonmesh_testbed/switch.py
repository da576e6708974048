"""The switch: one process that reads packets from every node's TUN and writes each, when it is due, to another's.

    python -m arqonmesh_testbed.switch < specification.json

One loop, one heap of packets under way, reads in batches, nothing made per packet but its place in the heap. It is
told what to do over a Unix socket (switch_control.py). A node that must get its packet through while the switch
itself is late gets it late; nothing is dropped for that, until `UNDERWAY_MAX` packets are under way.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from arqonmesh.errors import ArqonError, ConfigError
from arqonmesh_testbed.fabric import Fabric, model_dict, set_model
from arqonmesh_testbed.switch_control import ControlServer

UNDERWAY_MAX: Final = 65_536
BATCH: Final = 64
"""Packets read from one node before the others get their turn."""
PACKET_BYTES_MAX: Final = 65_535
NAP_MAX_S: Final = 60.0


def now_us() -> int:
    return time.monotonic_ns() // 1_000


class Switch:
    """Moves packets between descriptors on which one read or write is one packet (TUN, SOCK_SEQPACKET)."""

    def __init__(self, fabric: Fabric, descriptors: Mapping[str, int]) -> None:
        self.fabric = fabric
        self.underway_dropped = 0
        self._descriptors = dict(descriptors)
        self._names = {descriptor: name for name, descriptor in descriptors.items()}
        self._underway: list[tuple[int, int, str, str, bytes]] = []
        self._count = 0
        self._stopping = False
        self._epoll = select.epoll()
        for descriptor in self._names:
            os.set_blocking(descriptor, False)
            self._epoll.register(descriptor, select.EPOLLIN)
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._epoll.register(self._wake_reader, select.EPOLLIN)
        self._control: ControlServer | None = None

    def listen(self, path: Path) -> None:
        """Take orders at a Unix socket."""
        self._control = ControlServer(path, self._epoll, self.obey)

    def run(self) -> None:
        """Move packets until `stop`."""
        try:
            while not self._stopping:
                self._turn()
        finally:
            if self._control is not None:
                self._control.close()
            self._epoll.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def stop(self) -> None:
        """End `run`; may be called from a signal handler or another thread."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_writer.send(b".")

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order, its answer. Raises ArqonError.

        `cut` a b [one_way] · `heal` · `model` from to changes · `outbound_only` node on · `stats` · `stop`
        """
        match order:
            case {"op": "cut", "a": str(a), "b": str(b)}:
                self.fabric.cut(a, b, order.get("one_way") is True)
                return {"at_ms": time.time_ns() / 1e6}
            case {"op": "heal"}:
                return {"healed": self.fabric.heal(), "at_ms": time.time_ns() / 1e6}
            case {"op": "model", "from": str(source), "to": str(target), "changes": dict(changes)}:
                model = self.fabric.path(source, target).model
                set_model(model, changes)
                return {"model": model_dict(model)}
            case {"op": "outbound_only", "node": str(node), "on": bool(on)}:
                self.fabric.set_outbound_only(node, on)
                return {"node": node, "outbound_only": on}
            case {"op": "stats"}:
                underway = {"underway": len(self._underway), "underway_dropped": self.underway_dropped}
                return {**self.fabric.stats(), **underway}
            case {"op": "stop"}:
                self.stop()
                return {}
        raise ConfigError("lab.order", f"the switch does not know the order {order!r:.200}; its docstring lists them")

    def _turn(self) -> None:
        # epoll waits in milliseconds; select on the epoll descriptor waits in microseconds.
        nap_s = max(0.0, (self._underway[0][0] - now_us()) / 1e6) if self._underway else NAP_MAX_S
        ready, _, _ = select.select([self._epoll], [], [], nap_s)
        self._deliver_due()
        if not ready:
            return
        for descriptor, _ in self._epoll.poll(0):
            name = self._names.get(descriptor)
            if name is not None:
                self._read(name, descriptor)
            elif self._control is None or not self._control.serve(descriptor):
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(64)

    def _read(self, name: str, descriptor: int) -> None:
        plan = self.fabric.plan
        underway = self._underway
        for _ in range(BATCH):
            try:
                packet = os.read(descriptor, PACKET_BYTES_MAX)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:  # the namespace or the other end is gone
                self._forget(name, descriptor)
                return
            planned = plan(now_us(), name, packet)
            if planned is None:
                continue
            target, times = planned
            for at_us in times:
                if len(underway) >= UNDERWAY_MAX:
                    self.underway_dropped += 1
                    continue
                self._count += 1
                heapq.heappush(underway, (at_us, self._count, name, target, packet))

    def _deliver_due(self) -> None:
        underway = self._underway
        now = now_us()
        while underway and underway[0][0] <= now:
            _, _, source, target, packet = heapq.heappop(underway)
            descriptor = self._descriptors.get(target)
            try:
                if descriptor is not None:
                    os.write(descriptor, packet)
                    continue
            except OSError:
                pass  # a full queue or an interface that is down loses packets, as a real one does
            self.fabric.path(source, target).refused += 1

    def _forget(self, name: str, descriptor: int) -> None:
        self._epoll.unregister(descriptor)
        del self._names[descriptor]
        self._descriptors.pop(name, None)


def fabric_of(specification: Mapping[str, Any]) -> Fabric:
    """{"seed", "nodes": {name: address}, "links": [{"between": [a, b], "model": {...}}], "outbound_only": [name]}"""
    fabric = Fabric(specification.get("seed", 0))
    for name, address in specification["nodes"].items():
        fabric.add_node(name, socket.inet_aton(address))
    for link in specification["links"]:
        a, b = link["between"]
        fabric.add_link(a, b, link["model"])
    for name in specification["outbound_only"]:
        fabric.set_outbound_only(name, True)
    return fabric


def main() -> int:
    """Serve the specification on standard input until SIGTERM, SIGINT or the order to stop."""
    specification = json.load(sys.stdin)
    switch = Switch(fabric_of(specification), specification["descriptors"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: switch.stop())
    try:
        switch.listen(Path(specification["socket"]))
        print("ready", flush=True)
        switch.run()
    except ArqonError as error:
        print(f"{error} [{error.code}]", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
