"""What the nodes say about themselves while a story runs: their event logs, followed over their control sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Final

from arqonmesh.api.client import NodeClient
from arqonmesh.api.mesh_views import MeshEvent
from arqonmesh.errors import ArqonError

EVENTS_MAX: Final = 10_000
AGAIN_S: Final = 0.2


class Watcher:
    """One node's client, and the newest of its events."""

    def __init__(self, node: str, socket: Path) -> None:
        self.node = node
        self.client = NodeClient(socket)
        self.events: deque[MeshEvent] = deque(maxlen=EVENTS_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name=f"events of {self.node}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.client.close()

    def link_event_ms(self, peer: str, state: str, since_ms: float) -> int | None:
        """When the log first said, not before `since_ms`, that the link to a peer is up or down. Wall clock."""
        return next(
            (
                event.at_ms
                for event in self.events
                if event.kind == "link"
                and event.fields.get("peer") == peer
                and event.fields.get("state") == state
                and event.at_ms >= since_ms - 1
            ),
            None,
        )

    async def _follow(self) -> None:
        while True:
            try:
                async for event in self.client.watch():
                    if not self.events or event.at_ms >= self.events[-1].at_ms:
                        self.events.append(event)
            except ArqonError:
                pass  # gone or not up yet; asked again
            await asyncio.sleep(AGAIN_S)
