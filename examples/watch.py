"""Print what passes on some channels: python examples/watch.py URL CHANNEL... [--count N]"""

from __future__ import annotations

import argparse

from arqonmesh.client import BusClient, Resumed
from arqonmesh.client.program import arguments, run


async def main(options: argparse.Namespace) -> None:
    async with await BusClient.connect(options.url, options.token, name="watch") as bus:
        bus.on_resume(told)
        for channel in options.channels:
            await bus.join(channel)
            print(f"listening on {channel}", flush=True)
        left = options.count
        async for message in bus.messages():
            print(message.channel, message.payload, flush=True)
            left -= 1
            if left == 0:
                return


def told(resumed: Resumed) -> None:
    """After a lost connection: what was missed came first, unless nobody has it any more."""
    if resumed.recovered is False:
        print(f"{resumed.channel}: some messages are lost: {resumed.gaps}", flush=True)


if __name__ == "__main__":
    parser = arguments(__doc__, url=False)
    parser.add_argument("url")
    parser.add_argument("channels", nargs="+")
    parser.add_argument("--count", type=int, default=0, help="end after so many messages; 0: never")
    run(main, parser.parse_args())
