"""Print what passes on some channels: python examples/watch.py URL CHANNEL... [--count N]"""

from __future__ import annotations

import argparse
import asyncio

from arqonmesh.client import BusClient


async def main(url: str, channels: list[str], count: int) -> None:
    async with await BusClient.connect(url, name="watch", reconnect=True) as bus:
        for channel in channels:
            await bus.join(channel)
            print(f"listening on {channel}", flush=True)
        async for message in bus.messages():
            print(message.channel, message.payload, flush=True)
            count -= 1
            if count == 0:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("channels", nargs="+")
    parser.add_argument("--count", type=int, default=0, help="end after so many messages; 0: never")
    options = parser.parse_args()
    asyncio.run(main(options.url, options.channels, options.count))
