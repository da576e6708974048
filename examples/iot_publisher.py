"""A sensor at the end of a bad line: python examples/iot_publisher.py [URL] [--count N] [--every S]

It measures on time whatever the network does, keeps what could not be sent yet, and sends it in order, each reading
with the time of its measurement. Once the buffer is full the oldest readings go, counted: a sensor has little memory,
and the newest are worth most.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import deque

from msgspec import Struct

from arqonmesh.client import BusClient
from arqonmesh.client.program import arguments, run
from arqonmesh.errors import PeerError, TimedOut

BUFFER_MAX = 1_000


class Reading(Struct):
    """One measurement, as it stands in the payload."""

    sensor: str
    celsius: float
    at_ms: int
    lost: int = 0
    """Readings that were given up before this one."""


class Buffer:
    """Readings on their way to the bus."""

    def __init__(self) -> None:
        self.readings: deque[Reading] = deque()
        self.lost = 0
        self.filled = asyncio.Event()

    def add(self, reading: Reading) -> None:
        if len(self.readings) >= BUFFER_MAX:
            self.readings.popleft()
            self.lost += 1
        self.readings.append(reading)
        self.filled.set()


async def measure(buffer: Buffer, sensor: str, count: int, every_s: float) -> None:
    celsius = 21.0
    for _ in range(count):
        celsius += random.uniform(-0.2, 0.2)
        buffer.add(Reading(sensor, round(celsius, 2), time.time_ns() // 1_000_000))
        await asyncio.sleep(every_s)


async def ship(buffer: Buffer, bus: BusClient, sensor: str, count: int) -> None:
    """Until `count` readings were acknowledged or given up. What was not acknowledged is sent again."""
    channel = bus.channel(f"sensors:{sensor}", Reading)
    sent = 0
    while sent + buffer.lost < count:
        if not buffer.readings:
            buffer.filled.clear()
            await buffer.filled.wait()
        reading = buffer.readings.popleft()
        reading.lost = buffer.lost
        try:
            await channel.send(reading)
        except (TimedOut, PeerError):
            if bus.state == "closed":
                raise
            buffer.readings.appendleft(reading)  # nobody knows whether it arrived: at least once is the promise
            await asyncio.sleep(0.2)
            continue
        sent += 1
        print(f"{reading.celsius:.2f} °C", flush=True)


async def main(options: argparse.Namespace) -> None:
    buffer = Buffer()
    async with await BusClient.connect(options.url, options.token, name=options.sensor, kind="sensor") as bus:
        measuring = asyncio.create_task(measure(buffer, options.sensor, options.count, options.every))
        await ship(buffer, bus, options.sensor, options.count)
        await measuring


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--sensor", default="thermometer")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS")
    run(main, parser.parse_args())
