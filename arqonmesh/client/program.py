"""For small programs: the arguments that all of them take, and an end without a traceback.

async def main(options: argparse.Namespace) -> None:
    async with await BusClient.connect(options.url, options.token) as bus:
        ...

run(main)                                        # or with arguments of its own: run(main, parser.parse_args())
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from arqonmesh.errors import ArqonError

DEFAULT_URL: Final = "ws://127.0.0.1:9100"


def arguments(description: str | None, *, url: bool = True) -> argparse.ArgumentParser:
    """A parser with the bus's address, as first positional unless `url` is False, and `--token`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if url:
        parser.add_argument("url", nargs="?", default=DEFAULT_URL, help=f"the bus; {DEFAULT_URL} unless said")
    parser.add_argument("--token", default=os.environ.get("ARQON_BUS_TOKEN"), help="or ARQON_BUS_TOKEN")
    return parser


def run(main: Callable[[argparse.Namespace], Awaitable[None]], options: argparse.Namespace | None = None) -> None:
    """Run it to its end, to Ctrl-C or SIGTERM; an error of the bus is two lines and the exit code of its kind.
    Without `options` those of `arguments` are read from the command line."""
    given = arguments(None).parse_args() if options is None else options

    async def until_told() -> None:
        task = asyncio.ensure_future(main(given))
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return  # the way to end it

    try:
        asyncio.run(until_told())
    except ArqonError as error:
        print(f"error: {error.sentence} [{error.code}]", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: that is no error of ours
