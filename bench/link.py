"""How fast one link is: two processes on loopback, one per core, through the real endpoint, beside aioquic.asyncio.

    python bench/link.py [--seconds 2] [--json]

Rows: 128-byte messages joined per tick; bulk frames of 60 kB in packets of 1,200 bytes; one-way latency at 1,000
messages a second. CPU is process time of both sides per QUIC packet: on a shared machine read that before MB/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived

from arqonmesh.core.kernel import Lane
from arqonmesh.ids import MeshId, NodeId, parse_cluster
from arqonmesh.net.api import LinkInfo
from arqonmesh.net.endpoint import QuicEndpoint
from arqonmesh.net.hello import LocalNode
from arqonmesh.trust.certificates import mint_leaf
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.frames import FrameParser, frame
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinReject, JoinRequest

MESH: Final = MeshId("01ARZ3NDEKTSV4RRFFQ69G5FAV")
CLUSTER: Final = parse_cluster("bench")
MESSAGE_BYTES: Final = 128
BULK_BYTES: Final = 60_000
PER_TICK: Final = 512
AHEAD_BYTES: Final = 1 << 20
RATE: Final = 1_000
WARM_S: Final = 0.3
CORES: Final = tuple(range(os.cpu_count() or 1))
ROWS: Final = ("messages", "bulk", "latency")


@dataclass
class Tally:
    """What a receiver counts: from `WARM_S` after the first message to the last one."""

    count: int = 0
    size: int = 0
    first: float = 0.0
    warm: tuple[float, int, int, float, int] | None = None
    last: tuple[float, int, int, float, int] | None = None
    delays_us: list[float] = field(default_factory=list)

    def take(self, data: bytes, packets: int, *, timed: bool) -> None:
        now = time.monotonic()
        self.count += 1
        self.size += len(data)
        if not self.first:
            self.first = now
        elif now - self.first >= WARM_S:
            if timed:
                self.delays_us.append((time.monotonic_ns() - int.from_bytes(data[:8], "big")) / 1_000)
            if self.warm is None:
                self.warm = self._mark(now, packets)

    def end(self, now: float, packets: int) -> None:
        self.last = self._mark(now, packets)

    def _mark(self, now: float, packets: int) -> tuple[float, int, int, float, int]:
        return now, self.count, self.size, time.process_time(), packets

    def result(self) -> dict[str, float]:
        if self.warm is None or self.last is None:
            raise SystemExit("nothing was measured: no message came within the warm-up")
        seconds = self.last[0] - self.warm[0]
        packets = max(1, self.last[4] - self.warm[4])
        made = {
            "messages_per_s": (self.last[1] - self.warm[1]) / seconds,
            "mb_per_s": (self.last[2] - self.warm[2]) / seconds / 1e6,
            "packets_per_s": packets / seconds,
            "rx_cpu_us_per_packet": (self.last[3] - self.warm[3]) * 1e6 / packets,
            "rx_cpu": (self.last[3] - self.warm[3]) / seconds,
        }
        if self.delays_us:
            self.delays_us.sort()
            made["p50_us"] = statistics.median(self.delays_us)
            made["p99_us"] = self.delays_us[int(len(self.delays_us) * 0.99)]
        return made


# --- our endpoint -----------------------------------------------------------------------------------------


class Everyone:
    """An authority that lets everyone in."""

    mesh_id: MeshId | None = MESH

    def refuse_member(self, node: NodeId, public_key: bytes) -> str | None:
        return None

    def known_host(self, host: str) -> bool:
        return True

    def join_offer(self) -> JoinOffer | None:
        return None

    async def admit(self, request: JoinRequest, node: NodeId, channel_binding: bytes) -> JoinAccept | JoinReject:
        return JoinReject("bench.closed", "this is a benchmark")


class Ear:
    """A listener that counts."""

    def __init__(self, *, timed: bool) -> None:
        self.up = asyncio.Event()
        self.tally = Tally()
        self.timed = timed
        self.endpoint: QuicEndpoint | None = None
        self._packets = 0

    def link_up(self, peer: NodeId, link: LinkInfo) -> None:
        self.up.set()

    def link_down(self, peer: NodeId, reason: str) -> None: ...

    def frame(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        self.tally.take(data, self._packets, timed=self.timed)

    def tick(self) -> None:
        assert self.endpoint is not None
        self._packets = sum(entry.connection.packets_received for entry in self.endpoint._traffic.entries)
        self.tally.end(time.monotonic(), self._packets)

    def refused(self, reason: str, address: str, sentence: str) -> None:
        raise SystemExit(f"refused: {reason}")


def _endpoint(n: int, ear: Ear) -> QuicEndpoint:
    key = NodeKey(n.to_bytes(32, "big"))
    now = time.time_ns() // 1_000_000
    leaf = mint_leaf(key, mesh_id=MESH, cluster=CLUSTER, not_before_ms=now, not_after_ms=now + 3_600_000)
    local = LocalNode(key=key, cluster=CLUSTER, boot_epoch=1, software="bench")
    made = QuicEndpoint(listen="127.0.0.1:0", local=local, leaf=leaf, authority=Everyone(), listener=ear)
    ear.endpoint = made
    return made


async def mesh_receiver(row: str, pipe: Pipe) -> None:
    ear = Ear(timed=row == "latency")
    endpoint = _endpoint(2, ear)
    pipe.send(endpoint.address)
    await _until_told(pipe)
    pipe.send(ear.tally.result())
    await endpoint.close("done")


async def mesh_sender(row: str, address: tuple[str, int], seconds: float) -> dict[str, float]:
    ear = Ear(timed=False)
    endpoint = _endpoint(1, ear)
    endpoint.want(None, (f"{address[0]}:{address[1]}",))
    await ear.up.wait()
    (peer,) = endpoint.links()

    def packets() -> int:
        return endpoint.links()[peer].packets_sent

    def put(data: bytes) -> None:
        endpoint.send(peer, Lane.BULK, data)

    result = await _drive(row, seconds, put, lambda: endpoint.backlog(peer), lambda: None, packets)
    await endpoint.close("done")
    return result


# --- aioquic.asyncio, as it comes -------------------------------------------------------------------------


def _stock(*, is_client: bool) -> QuicConfiguration:
    key = NodeKey((9).to_bytes(32, "big"))
    now = time.time_ns() // 1_000_000
    leaf = mint_leaf(key, mesh_id=MESH, cluster=CLUSTER, not_before_ms=now, not_after_ms=now + 3_600_000)
    return QuicConfiguration(
        alpn_protocols=["bench"],
        is_client=is_client,
        certificate=leaf.certificate,
        private_key=leaf.private_key,
        verify_mode=ssl.CERT_NONE,
    )


async def stock_receiver(row: str, pipe: Pipe) -> None:
    tally = Tally()
    received = 0

    class Protocol(QuicConnectionProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.parser = FrameParser(1 << 20)

        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            nonlocal received
            received += 1
            super().datagram_received(data, addr)

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, StreamDataReceived):
                for data in self.parser.feed(event.data):
                    tally.take(data, received, timed=row == "latency")
                tally.end(time.monotonic(), received)

    server = await serve("127.0.0.1", 0, configuration=_stock(is_client=False), create_protocol=Protocol)
    transport = server._transport
    assert transport is not None
    pipe.send(transport.get_extra_info("sockname"))
    await _until_told(pipe)
    pipe.send(tally.result())
    server.close()


async def stock_sender(row: str, address: tuple[str, int], seconds: float) -> dict[str, float]:
    async with connect(*address, configuration=_stock(is_client=True)) as client:
        quic = client._quic
        stream = quic.get_next_available_stream_id()
        waiting: list[bytes] = []

        def put(data: bytes) -> None:
            waiting.append(frame(data))

        def flush() -> None:
            if waiting:
                quic.send_stream_data(stream, b"".join(waiting))
                waiting.clear()
                client.transmit()

        def backlog() -> int:
            sender = quic._streams[stream].sender if stream in quic._streams else None
            return 0 if sender is None else sender._buffer_stop - sender._buffer_start

        return await _drive(row, seconds, put, backlog, flush, lambda: quic._packet_number)


# --- the workload -----------------------------------------------------------------------------------------


async def _drive(
    row: str,
    seconds: float,
    put: Callable[[bytes], None],
    backlog: Callable[[], int],
    flush: Callable[[], None],
    packets: Callable[[], int],
) -> dict[str, float]:
    """Keep about 1 MiB queued for `seconds`, or send at `RATE`; the sender's CPU per packet."""
    data = os.urandom(BULK_BYTES if row == "bulk" else MESSAGE_BYTES)
    burst = 4 if row == "bulk" else PER_TICK
    start = time.monotonic()
    cpu, sent = time.process_time(), packets()
    next_at = start
    while (now := time.monotonic()) < start + seconds:
        if row == "latency":
            put(time.monotonic_ns().to_bytes(8, "big") + data[8:])
            flush()
            next_at += 1 / RATE
            await asyncio.sleep(max(0.0, next_at - now))
            continue
        if backlog() < AHEAD_BYTES:
            for _ in range(burst):
                put(data)
            flush()
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(0.0005)
    used, made = time.process_time() - cpu, max(1, packets() - sent)
    result = {"tx_cpu_us_per_packet": used * 1e6 / made, "tx_cpu": used / seconds}
    await asyncio.sleep(0.05)
    return result


async def _until_told(pipe: Pipe) -> None:
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


def _pin(core: int) -> None:
    os.sched_setaffinity(0, {CORES[core % len(CORES)]})


def _receive(kind: str, row: str, pipe: Pipe) -> None:
    _pin(1)
    receiver: Callable[[str, Pipe], Awaitable[None]] = mesh_receiver if kind == "mesh" else stock_receiver
    asyncio.run(receiver(row, pipe))  # type: ignore[arg-type]


def measure(kind: str, row: str, seconds: float) -> dict[str, float]:
    """One row: a fresh receiver process, this process as the sender."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_receive, args=(kind, row, theirs), daemon=True)
    process.start()
    _pin(0)
    address = tuple(ours.recv())[:2]
    sender = mesh_sender if kind == "mesh" else stock_sender

    async def run() -> dict[str, float]:
        sent = await asyncio.wait_for(sender(row, address, seconds), seconds + 10)
        ours.send("end")
        return sent

    sent = asyncio.run(run())
    if not ours.poll(10):
        raise SystemExit(f"{kind} {row}: the receiver does not answer")
    result: dict[str, float] = ours.recv() | sent
    process.join(10)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="per row, at most 5")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", choices=("mesh", "stock"), help="leave the other one out")
    parser.add_argument("--row", choices=ROWS, help="one row only")
    arguments = parser.parse_args()
    kinds = [arguments.only] if arguments.only else ["mesh", "stock"]
    rows = [arguments.row] if arguments.row else list(ROWS)
    seconds = min(arguments.seconds, 5.0)
    results: dict[str, dict[str, dict[str, float]]] = {
        row: {kind: measure(kind, row, seconds) for kind in kinds} for row in rows
    }
    machine = asdict(Machine())
    if arguments.json:
        print(json.dumps({"v": 1, "machine": machine, "seconds": seconds, "rows": results}))
        return
    print(f"one link, loopback, {seconds:g} s a row; {machine['system']}, Python {machine['python']}")
    for row in rows:
        _show(row, results[row])


@dataclass(frozen=True)
class Machine:
    system: str = f"{platform.system()} {platform.release()} {platform.machine()}"
    python: str = platform.python_version()
    cores: int = os.cpu_count() or 1


def _show(row: str, by_kind: dict[str, dict[str, float]]) -> None:
    titles = {
        "messages": f"{MESSAGE_BYTES} B messages, joined per tick",
        "bulk": f"bulk, {BULK_BYTES // 1000} kB frames, 1,200 B packets",
        "latency": f"one-way latency at {RATE:,} messages/s",
    }
    print(f"\n{titles[row]}")
    for kind, result in by_kind.items():
        name = "arqonmesh" if kind == "mesh" else "aioquic.asyncio"
        if row == "latency":
            head = f"p50 {result['p50_us']:,.0f} us  p99 {result['p99_us']:,.0f} us"
        else:
            head = f"{result['messages_per_s']:,.0f} msgs/s  {result['mb_per_s']:.1f} MB/s"
        cpu = f"{result['tx_cpu_us_per_packet']:.1f} / {result['rx_cpu_us_per_packet']:.1f} us CPU per packet"
        print(f"  {name:16} {head:38} tx/rx {cpu}, {result['tx_cpu']:.2f} / {result['rx_cpu']:.2f} of a core")
    if len(by_kind) == 2:
        measure_of = "p50_us" if row == "latency" else "messages_per_s"
        ours, stock = by_kind["mesh"][measure_of], by_kind["stock"][measure_of]
        print(f"  ratio            {stock / ours if row == 'latency' else ours / stock:.1f}x")
    if "mesh" in by_kind and row != "latency":
        result = by_kind["mesh"]
        full = [side for side, used in (("sender", result["tx_cpu"]), ("receiver", result["rx_cpu"])) if used > 0.9]
        print(f"  limited by       {' and '.join(full) + ' CPU' if full else 'neither CPU: window or scheduling'}")


if __name__ == "__main__":
    main()
