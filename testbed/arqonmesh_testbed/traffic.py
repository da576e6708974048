"""Bus clients inside the namespaces: one publishes numbered messages, others take them down.

Each is a thread with a loop of its own that has entered the node's namespace, because a node's bus listens on that
namespace's loopback. All read one monotonic clock, so latencies are true across nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from arqonmesh.client import BusClient
from arqonmesh.errors import ArqonError, TimedOut
from arqonmesh_testbed import namespaces
from arqonmesh_testbed.ledger import Ledger
from arqonmesh_testbed.scenario import Traffic
from arqonmesh_testbed.topology import LOCAL_BUS

READY_S: Final = 10.0
NAP_MAX_S: Final = 0.01


class Numbered(msgspec.Struct):
    """The payload of one message."""

    run: str
    n: int
    at_us: int
    pad: str = ""


class _Client:
    """A bus client in a thread in a namespace, from `start` to `stop`."""

    def __init__(self, node: str, namespace: str) -> None:
        self.node = node
        self._namespace = namespace
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=f"bus client of {node}", daemon=True)

    def start(self) -> None:
        """Returns when it is at work. Raises ArqonError."""
        self._thread.start()
        if not self._ready.wait(READY_S):
            raise TimedOut("lab.traffic", f"the bus of {self.node} did not answer in {READY_S:g} s")
        self.check()

    def stop(self) -> None:
        """Returns when it has ended."""
        if self._loop is not None and self._ending is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._ending.set)
        if self._thread.ident is not None:
            self._thread.join(READY_S)

    def check(self) -> None:
        """Raises ArqonError when something has ended it."""
        if self._failure is not None:
            raise ArqonError("lab.traffic", f"the bus client of {self.node} has ended: {self._failure}")

    def _run(self) -> None:
        try:
            namespaces.enter(self._namespace)
            asyncio.run(self._main())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        async with await BusClient.connect(f"ws://{LOCAL_BUS}", reconnect=False) as bus:
            await self._live(bus, self._ending)

    async def _live(self, bus: BusClient, ending: asyncio.Event) -> None:
        raise AssertionError("a subclass lives")


class Publisher(_Client):
    """Publishes evenly until it is stopped; `published` says how many."""

    def __init__(self, node: str, namespace: str, traffic: Traffic, run: str) -> None:
        super().__init__(node, namespace)
        self.published = 0
        self._traffic = traffic
        self._run_id = run

    async def _live(self, bus: BusClient, ending: asyncio.Event) -> None:
        traffic = self._traffic
        pad = "x" * max(0, traffic.bytes - 60)
        began = time.monotonic_ns()
        self._ready.set()
        while not ending.is_set():
            due = began + self.published * 1_000_000_000 // traffic.per_s
            wait_s = (due - time.monotonic_ns()) / 1e9
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, NAP_MAX_S))
                continue
            message = Numbered(self._run_id, self.published, time.monotonic_ns() // 1_000, pad)
            await bus.publish_raw(traffic.channel, msgspec.json.encode(message))
            self.published += 1
        await bus.flush()


class Receiver(_Client):
    """Takes down what one run publishes, until it is stopped."""

    def __init__(self, node: str, namespace: str, channel: str, run: str) -> None:
        super().__init__(node, namespace)
        self.ledger = Ledger()
        self._channel = channel
        self._run_id = run

    async def _live(self, bus: BusClient, ending: asyncio.Event) -> None:
        await bus.join(self._channel)
        closing = asyncio.ensure_future(_close_when(ending, bus))
        self._ready.set()
        try:
            async for message in bus.messages():
                body = msgspec.json.decode(message.payload_, type=Numbered)
                if body.run == self._run_id:
                    self.ledger.saw(body.n, time.monotonic_ns() // 1_000 - body.at_us)
            if not ending.is_set():
                raise ConnectionError("the bus closed the connection")
        finally:
            ending.set()
            await closing


class Stream:
    """One publisher and its receivers."""

    def __init__(self, traffic: Traffic, namespace_of: Callable[[str], str]) -> None:
        self.traffic = traffic
        run = os.urandom(4).hex()
        self.publisher = Publisher(traffic.from_, namespace_of(traffic.from_), traffic, run)
        self.receivers = [Receiver(node, namespace_of(node), traffic.channel, run) for node in traffic.to]

    def start(self) -> None:
        for client in (*self.receivers, self.publisher):
            client.start()

    def stop_publishing(self) -> None:
        self.publisher.stop()
        self.publisher.check()

    def stop(self) -> None:
        for client in (self.publisher, *self.receivers):
            client.stop()

    def check(self) -> None:
        for client in (self.publisher, *self.receivers):
            client.check()

    @property
    def perfect(self) -> bool:
        """Every receiver has everything once and in order."""
        return all(receiver.ledger.perfect(self.publisher.published) for receiver in self.receivers)

    def reports(self) -> list[dict[str, Any]]:
        """One per receiver."""
        return [
            {
                "from": self.traffic.from_,
                "to": receiver.node,
                "channel": self.traffic.channel,
                **receiver.ledger.report(self.publisher.published),
            }
            for receiver in self.receivers
        ]


async def _close_when(ending: asyncio.Event, bus: BusClient) -> None:
    await ending.wait()
    await bus.close()
