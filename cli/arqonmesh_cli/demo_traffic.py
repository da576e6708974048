"""The demo's traffic: publishers of this machine's readings, and listeners in every cluster that count and clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from types import TracebackType
from typing import Any, Final, Self

from arqonmesh.client import BusClient
from arqonmesh.errors import ArqonError, PeerError
from arqonmesh_cli import readings
from arqonmesh_cli.demo_mesh import EXPORTED, LOCAL, DemoMesh

EVERY_S: Final = 0.05
DRAIN_S: Final = 5.0
LATENCIES_KEPT: Final = 20_000

Flow = tuple[str, str, str]
"""(cluster of the listener, channel, cluster of the publisher)"""


class Traffic:
    """Runs while its block does. Counts by cluster and channel."""

    def __init__(self, mesh: DemoMesh, *, reconnect: bool) -> None:
        self._mesh = mesh
        self._reconnect = reconnect
        self._clients: list[BusClient] = []
        self._listeners: list[asyncio.Task[None]] = []
        self._publishers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._arrived = asyncio.Event()
        self.published: Counter[tuple[str, str]] = Counter()
        """By (cluster, channel)."""
        self.received: Counter[Flow] = Counter()
        self.repeated: Counter[Flow] = Counter()
        """Messages that came a second time, or after a later one."""
        self.latencies_us: dict[str, deque[int]] = {node.name: deque(maxlen=LATENCIES_KEPT) for node in mesh.nodes}
        """By cluster of the listener; messages of other clusters only."""
        self._last: dict[Flow, int] = {}

    async def __aenter__(self) -> Self:
        try:
            for node in self._mesh.nodes:
                listener = await self._connect(node.status.bus)
                for channel in (EXPORTED, LOCAL):
                    await listener.join(channel)
                self._listeners.append(asyncio.create_task(self._listen(node.name, listener)))
            for node in self._mesh.nodes[1:]:
                publisher = await self._connect(node.status.bus)
                self._publishers.append(asyncio.create_task(self._publish(node.name, publisher)))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def finish(self) -> None:
        """Stop publishing, then wait until what is due has arrived, 5 s at most. Raises what ended a task early."""
        self._stop.set()
        await asyncio.gather(*self._publishers)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self.missing():
                    self._arrived.clear()
                    await self._arrived.wait()
        for listener in self._listeners:
            if listener.done():
                listener.result()

    def missing(self) -> dict[Flow, int]:
        """What was published, should have arrived, and has not (yet)."""
        due: dict[Flow, int] = {}
        for (origin, channel), count in self.published.items():
            for node in self._mesh.nodes:
                if channel == EXPORTED or node.name == origin:
                    flow = (node.name, channel, origin)
                    if self.received[flow] < count:
                        due[flow] = count - self.received[flow]
        return due

    def received_at(self, cluster: str) -> int:
        """Messages of other clusters that arrived there."""
        return sum(count for (at, _, origin), count in self.received.items() if at == cluster != origin)

    async def _connect(self, url: str) -> BusClient:
        client = await BusClient.connect(url, name="demo", reconnect=self._reconnect)
        self._clients.append(client)
        return client

    async def _publish(self, cluster: str, bus: BusClient) -> None:
        number = 0
        while not self._stop.is_set():
            for channel, read in ((EXPORTED, readings.host), (LOCAL, readings.proc)):
                reading: dict[str, Any] = {"cluster": cluster, "n": number, "sent_us": time.time_ns() // 1_000}
                await bus.publish(channel, reading | read())
                self.published[cluster, channel] += 1
            number += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._stop.wait()
        await bus.flush()

    async def _listen(self, cluster: str, bus: BusClient) -> None:
        async for message in bus.messages(all_types=True):
            now_us = time.time_ns() // 1_000
            payload = message.payload
            if message.type == "error":
                raise PeerError("demo.bus", f"the bus of {cluster} refused something: {payload}")
            if not isinstance(payload, dict) or "sent_us" not in payload:
                continue  # a notice, or something that a person publishes meanwhile
            flow = (cluster, message.channel, str(payload.get("cluster")))
            if payload["n"] <= self._last.get(flow, -1):
                self.repeated[flow] += 1
                continue
            self._last[flow] = payload["n"]
            self.received[flow] += 1
            self._arrived.set()
            if flow[2] != cluster:
                self.latencies_us[cluster].append(now_us - payload["sent_us"])

    async def _close(self) -> None:
        for task in (*self._publishers, *self._listeners):
            task.cancel()
        await asyncio.gather(*self._publishers, *self._listeners, return_exceptions=True)
        for client in self._clients:
            with contextlib.suppress(ArqonError):
                await client.close()
