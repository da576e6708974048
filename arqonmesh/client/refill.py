"""The bus dropped messages because this client read too slowly: what is missing is fetched from the history.

The notice says how many are missing, not where. From it on, what comes live in the channels of this client waits; each
is read on from where it was, and what was missed comes first, in its order. What belongs to no channel (private
messages, notices, answers) is in no history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from arqonmesh.client.catch_up import CHANNELS_MAX, CatchUp
from arqonmesh.client.message import Message
from arqonmesh.client.positions import Positions, is_pattern, matches
from arqonmesh.client.resume import Resumed
from arqonmesh.errors import ArqonError, TimedOut


class Refill:
    """`told` hears of each channel in which something was missing, and of `*` when not all of it was found."""

    def __init__(
        self,
        positions: Positions,
        catch_up: CatchUp,
        ask: Callable[..., Awaitable[Message]],
        told: Callable[[Resumed], None],
    ) -> None:
        self._positions = positions
        self._catch_up = catch_up
        self._ask = ask
        self._told = told
        self._due: dict[str, None] = {}
        self._dropped = 0
        self._found = 0
        self._task: asyncio.Task[None] | None = None

    def dropped(self, count: int, joined: dict[str, None], url: str) -> None:
        """So many messages are missing from here on."""
        channels = [name for name in joined if not is_pattern(name)]
        for pattern in filter(is_pattern, joined):
            channels += self._positions.under(pattern)
        self._dropped += count
        for channel in list(dict.fromkeys(channels))[:CHANNELS_MAX]:
            self._catch_up.hold(channel)
            self._due[channel] = None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(joined, url))

    def stop(self) -> None:
        """The connection is gone: the next one goes on from where the channels were."""
        if self._task is not None:
            self._task.cancel()
        for channel in self._due:
            self._catch_up.discard(channel)
        self._due.clear()
        self._dropped = self._found = 0

    async def _run(self, joined: dict[str, None], url: str) -> None:
        while self._due:
            channel = next(iter(self._due))
            try:
                one = await self._catch_up.run(_pattern_of(channel, joined), channel, url, self._ask)
            except TimedOut:
                self._catch_up.release(channel)
                one = None
            except ArqonError:
                return  # `stop` comes with the end of the connection
            self._due.pop(channel, None)
            if one is None:
                self._told(Resumed(channel, False, url=url))
            elif one.missed or one.gaps:
                self._found += one.missed
                self._told(one)
        if self._found < self._dropped:
            self._told(Resumed("*", False, missed=self._found, url=url))
        self._dropped = self._found = 0


def _pattern_of(channel: str, joined: dict[str, None]) -> str:
    """By which pattern a channel is heard that was not joined by its name."""
    if channel in joined:
        return ""
    return next((name for name in joined if is_pattern(name) and matches(name, channel)), "")
