"""`arqon mesh events`: the newest user events that reached this node, and live ones."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arqonmesh.errors import Degraded
from arqonmesh_cli.answer import print_json
from arqonmesh_cli.connect import ask
from arqonmesh_cli.times import day_and_clock
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.api.client import NodeClient
    from arqonmesh.api.mesh_views import MeshEvent

FIRST_S: Final = 10.0
"""Every node remembers at least that it is up: until then it has only not answered yet. As long as any call is waited
for (client.CALL_TIMEOUT_S), and longer than one that finds a full queue (client.QUEUE_PATIENCE_S)."""
QUIET_S: Final = 0.3
"""What the node remembers comes at once; so long without a word means that it was all."""
NEWS_S: Final = 2.0
"""Of a node that is never quiet for so long: after this, what is younger than the question ends what it remembers."""
NOTHING: Final = "no events remembered since this node started"


def show_events(data_dir: Path | None, context: str | None, follow: bool, as_json: bool) -> None:
    """Print them, oldest first; with `follow` for ever. Raises TimedOut `api.deadline` when no answer comes,
    Degraded `cli.follow-ended` when the node has had enough."""
    place = place_of(data_dir, context)
    answered, asked_ms = asyncio.Event(), time.time_ns() // 1_000_000

    async def listen(node: NodeClient) -> int:
        stream, printed = node.watch(), 0
        event = await _first(stream, place)
        answered.set()
        until_s = time.monotonic() + NEWS_S
        while event is not None:
            if not follow and event.at_ms > asked_ms and time.monotonic() > until_s:
                break
            if event.kind == "event":
                _print(event, as_json)
                printed += 1
            event = await _next(stream, None if follow else QUIET_S)
        if follow:
            raise Degraded(
                "cli.follow-ended",
                "the node tells its events to newer watchers instead; this command needs to begin again",
                hint="arqon mesh events --follow",
            )
        return printed

    try:
        printed = ask(place, listen, answered=answered)
    except KeyboardInterrupt:
        return  # the way to end it
    if not printed and not as_json:
        sys.stderr.write(NOTHING + "\n")  # not an event: standard output has those alone


async def _first(stream: AsyncIterator[MeshEvent], place: Place) -> MeshEvent | None:
    """None when the node has ended the stream; silence is no answer."""
    try:
        async with asyncio.timeout(FIRST_S):
            return await anext(stream, None)
    except TimeoutError:
        from arqonmesh.api.failures import not_in_time

        raise not_in_time(str(place.socket)) from None


async def _next(stream: AsyncIterator[MeshEvent], patience_s: float | None) -> MeshEvent | None:
    try:
        async with asyncio.timeout(patience_s):
            return await anext(stream, None)
    except TimeoutError:
        return None


def _print(event: MeshEvent, as_json: bool) -> None:
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(event))
    else:
        sys.stdout.write(f"{day_and_clock(event.at_ms)}  {event.text}\n")
        sys.stdout.flush()
