"""Publish this machine's load average once a second: python examples/publish_load.py [URL] [COUNT]"""

from __future__ import annotations

import asyncio
import os
import sys

from arqonmesh.client import BusClient


async def main(url: str, count: int) -> None:
    async with await BusClient.connect(url, name="load", reconnect=True) as bus:
        for number in range(count):
            load = os.getloadavg()[0]
            await bus.publish("telemetry:host", {"load": load})
            print(f"published {load:.2f}", flush=True)
            if number + 1 < count:
                await asyncio.sleep(1)
        await bus.flush()


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    asyncio.run(main(arguments.get(1, "ws://127.0.0.1:9100"), int(arguments.get(2, "1000000"))))
