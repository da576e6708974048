"""The bus dropped messages because this client read too slowly: what is missing is fetched from the history.

The notice says how many are missing, not where. From it on, what comes live in the channels of this client waits; each
is read on from where it was, and what was missed comes first, in its order. What belongs to no channel (private
messages, notices, answers) is in no history, and neither is the mesh's own room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from arqonmesh.client.catch_up import CatchUp, Hold
from arqonmesh.client.resume import Resumed
from arqonmesh.errors import ArqonError


class Refill:
    """`told` hears of each channel in which something was missing, and of `*` when not all of it was found."""

    def __init__(self, catch_up: CatchUp, told: Callable[[Resumed], None]) -> None:
        self._catch_up = catch_up
        self._told = told
        self._due: deque[tuple[Hold, str]] = deque()
        self._dropped = 0
        self._found = 0
        self._task: asyncio.Task[None] | None = None

    def dropped(self, count: int, heard: Iterable[tuple[str, str]], url: str) -> None:
        """So many messages are missing from here on. `heard`: channels, and by which pattern; empty: by their name."""
        self._dropped += count
        for channel, pattern in heard:
            hold = self._catch_up.hold(channel)
            if hold is not None:
                self._due.append((hold, pattern))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(url))

    def stop(self) -> None:
        """The connection is gone: the next one goes on from where the channels were."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        for hold, _ in self._due:
            self._catch_up.discard(hold)
        self._due.clear()
        self._dropped = self._found = 0

    async def _run(self, url: str) -> None:
        while self._due:
            hold, pattern = self._due[0]
            try:
                one = await self._catch_up.run(hold, pattern, url)
            except ArqonError:  # nobody else's concern; when the connection is gone, `stop` has ended this
                one = self._catch_up.give_up(hold, url)
            self._due.popleft()
            self._found += hold.found
            if one is not None and (one.missed or not one.recovered):
                self._told(one)
        if self._found < self._dropped:  # what a pattern that comes back fetches meanwhile may be something else
            self._told(Resumed("*", False, missed=self._found, url=url))
        self._dropped = self._found = 0
