"""Ship the lines of a growing file: python examples/log_shipper.py URL FILE [--channel logs:web] [--once]

Its place in the file is kept in FILE.place and moved on only when the bus has acknowledged what was before it. So a
restart neither loses nor repeats lines, except the batch that was under way: at least once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

from arqonmesh.client import BusClient
from arqonmesh.client.program import arguments, run
from arqonmesh.errors import PeerError, TimedOut

BATCH_BYTES_MAX = 64 << 10
LOOK_EVERY_S = 0.5


def read_place(place: Path, size: int) -> int:
    """Where to go on; from the beginning where nothing is known, or the file was replaced by a shorter one."""
    try:
        at = int(place.read_text())
    except (FileNotFoundError, ValueError):
        return 0
    return at if at <= size else 0


def write_place(place: Path, at: int) -> None:
    """Whole or not at all, whenever the machine stops."""
    fresh = place.with_name(place.name + ".new")
    fresh.write_text(str(at))
    os.replace(fresh, place)


def size_of(file: Path) -> int:
    """0 while it is being rotated."""
    return file.stat().st_size if file.exists() else 0


def next_lines(file: Path, at: int) -> tuple[list[str], int]:
    """Complete lines from there on, and the place behind them; a line longer than a batch goes in pieces."""
    if size_of(file) == at:
        return [], at
    with file.open("rb") as stream:
        stream.seek(at)
        chunk = stream.read(BATCH_BYTES_MAX)
    end = chunk.rfind(b"\n") + 1
    if end == 0 and len(chunk) == BATCH_BYTES_MAX:
        end = len(chunk)
    return chunk[:end].decode("utf-8", "replace").splitlines(), at + end


async def main(options: argparse.Namespace) -> None:
    file, place = options.file, options.file.with_name(options.file.name + ".place")
    async with await BusClient.connect(options.url, options.token, name=f"logs@{socket.gethostname()}") as bus:
        at = read_place(place, size_of(file))
        while True:
            if size_of(file) < at:
                at = 0  # rotated
            lines, after = next_lines(file, at)
            if not lines and after == at:
                if options.once:
                    return
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            try:
                await bus.send(options.channel, {"file": file.name, "lines": lines})
            except (TimedOut, PeerError):
                if bus.state == "closed" or options.once:
                    raise
                await asyncio.sleep(LOOK_EVERY_S)  # the same batch again
                continue
            at = after
            write_place(place, at)
            print(f"{len(lines)} lines", flush=True)


if __name__ == "__main__":
    parser = arguments(__doc__, url=False)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--channel", default="logs:web")
    parser.add_argument("--once", action="store_true", help="end when all that is there was shipped")
    given = parser.parse_args()
    if not given.file.is_file():
        sys.exit(f"error: there is no file {given.file}\nhint: name one that exists; it may be empty")
    run(main, given)
