"""The newest events of a node, for `WatchMeshEvents`, the TUI and whoever asks why.

A ring of bounded length; each watcher has a bounded queue of its own and loses its oldest when it reads too slowly,
which it is told in a line of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from arqonmesh.api.mesh_views import MeshEvent
from arqonmesh.observe.printable import printable

KEPT: Final = 500
WATCHERS_MAX: Final = 32
QUEUE_MAX: Final = 1_000


class EventLog:
    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._ring: deque[MeshEvent] = deque(maxlen=KEPT)
        self._watchers: list[_Watcher] = []

    @property
    def newest(self) -> tuple[MeshEvent, ...]:
        return tuple(self._ring)

    def add(self, kind: str, text: str, **fields: str) -> None:
        """`text` may hold what members of the mesh wrote, and ends on terminals; `fields` are as they were written."""
        event = MeshEvent(at_ms=self._wall_ms(), kind=kind, text=printable(text), fields=fields)
        self._ring.append(event)
        for watcher in self._watchers:
            watcher.put(event)

    async def watch(self, *, lasting: bool = False) -> AsyncIterator[MeshEvent]:
        """The ring first, oldest to newest, then live events until the reader stops.

        Beyond `WATCHERS_MAX` the oldest watcher is ended; never a lasting one, which is part of the node itself.
        """
        watcher = _Watcher(self._wall_ms, lasting)
        for past in self._ring:
            watcher.put(past)
        guests = [other for other in self._watchers if not other.lasting]
        if not lasting and len(guests) >= WATCHERS_MAX:
            self._watchers.remove(guests[0])
            guests[0].end()
        self._watchers.append(watcher)
        try:
            while (event := await watcher.get()) is not None:
                yield event
        finally:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def close(self) -> None:
        for watcher in self._watchers:
            watcher.end()


class _Watcher:
    def __init__(self, wall_ms: Callable[[], int], lasting: bool) -> None:
        self.lasting = lasting
        self._wall_ms = wall_ms
        self._queue: deque[MeshEvent] = deque()
        self._lost = 0
        self._ended = False
        self._ready = asyncio.Event()

    def put(self, event: MeshEvent) -> None:
        if len(self._queue) >= QUEUE_MAX:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(event)
        self._ready.set()

    def end(self) -> None:
        self._ended = True
        self._ready.set()

    async def get(self) -> MeshEvent | None:
        while not self._queue:
            if self._ended:
                return None
            self._ready.clear()
            await self._ready.wait()
        if self._lost:
            lost, self._lost = self._lost, 0
            text = f"{lost} events were lost: this watcher reads too slowly"
            return MeshEvent(at_ms=self._wall_ms(), kind="node", text=text, fields={"lost": str(lost)})
        return self._queue.popleft()
