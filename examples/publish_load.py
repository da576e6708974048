"""Publish this machine's load average once a second: python examples/publish_load.py [URL] [COUNT]"""

from __future__ import annotations

import argparse
import asyncio
import os

from arqonmesh.client import BusClient
from arqonmesh.client.program import arguments, run


async def main(options: argparse.Namespace) -> None:
    async with await BusClient.connect(options.url, options.token, name="load", kind="service") as bus:
        for number in range(options.count):
            load = os.getloadavg()[0]
            await bus.publish("telemetry:host", {"load": load})
            print(f"published {load:.2f}", flush=True)
            if number + 1 < options.count:
                await asyncio.sleep(1)
        await bus.flush()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1_000_000)
    run(main, parser.parse_args())
