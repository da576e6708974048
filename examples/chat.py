"""A chat on the terminal: python examples/chat.py URL NAME [--room lobby]

Lines that you type are said to everybody in the room; what was said before you came is shown first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator

from arqonmesh.client import BusClient, Message, Presence
from arqonmesh.client.program import arguments, run
from arqonmesh.errors import NotFound

LAST = 20
"""Lines of the past that a newcomer is shown."""


def show(message: Message) -> None:
    said = message.payload
    if isinstance(said, dict) and isinstance(said.get("text"), str):
        line = f"{message.timestamp[11:16]} {said.get('name', '?')}: {said['text']}"
        print("".join(mark for mark in line if mark.isprintable()), flush=True)  # others' text, our terminal


def moved(presence: Presence, _: Message) -> None:
    print(f"* {presence.name or 'somebody'} {presence.event}", flush=True)


async def typed() -> AsyncIterator[str]:
    """Lines of standard input, read by a thread, as a terminal cannot be awaited."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: so is the chat
            for line in iter(sys.stdin.readline, ""):
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    while line := await lines.get():
        yield line


async def main(options: argparse.Namespace) -> None:
    channel = f"chat:{options.room}"
    async with await BusClient.connect(options.url, options.token, name=options.name, kind="human") as bus:
        try:
            for message in await bus.history(channel, limit=LAST):
                show(message)
        except NotFound:
            pass  # we are the first here
        bus.on(channel, show)
        bus.on_presence(moved)
        bus.on_state(lambda state: print(f"* {state}", flush=True) if state != "closed" else None)
        await bus.join(channel)
        here = ", ".join(member.name or "?" for member in await bus.presence(channel))
        print(f"* in {channel}: {here}", flush=True)
        async for line in typed():
            if line.strip():
                await bus.send(channel, {"name": options.name, "text": line.strip()})


if __name__ == "__main__":
    parser = arguments(__doc__, url=False)
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("--room", default="lobby")
    run(main, parser.parse_args())
