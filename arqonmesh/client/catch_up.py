"""What a channel missed, read from the history while live messages wait behind it.

Two need this. A pattern (`room:*`, `*:channel`, `*`) after a lost connection: a position belongs to one channel, so the
bus cannot resume a pattern; the client joins it again and catches up each channel that it knows. A channel that nobody
had published in before the loss is unknown and not caught up: who must miss nothing there joins it by its name. And
any channel when the bus dropped something (refill.py).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from arqonmesh.client.message import Message
from arqonmesh.client.positions import Positions
from arqonmesh.client.records import page_of
from arqonmesh.client.resume import Resumed
from arqonmesh.errors import Denied, NotFound

CHANNELS_MAX: Final = 256
"""Channels that are caught up at one time, those first that were heard of first."""
HELD_MAX: Final = 10_000
"""Live messages per channel that wait for older ones; beyond it they are left to the history too."""
PAGE: Final = 500


class CatchUp:
    """Holds back live messages while their channels are caught up. `take` hands one on: False when it came before."""

    def __init__(self, positions: Positions, take: Callable[[Message], bool]) -> None:
        self._positions = positions
        self._take = take
        self._began: dict[str, str] = {}
        self._held: dict[str, list[Message]] = {}
        self._stale: dict[str, None] = {}
        """Channels of which something was dropped since the history was asked last."""

    def began(self, pattern: str, timestamp: str) -> None:
        """When a pattern was joined: what was published before that was not missed."""
        self._began.setdefault(pattern, timestamp)

    def forget(self, pattern: str) -> None:
        self._began.pop(pattern, None)

    def holds(self, channel: str, message: Message) -> bool:
        """Keep a live message for later, if its channel is being caught up."""
        held = self._held.get(channel)
        if held is None:
            return False
        if len(held) < HELD_MAX:
            held.append(message)
        else:
            self._stale[channel] = None
        return True

    def hold(self, channel: str) -> bool:
        """From now on what is live there waits, until `release` or `discard`; False when it does already. The history
        is asked at least once more."""
        self._stale[channel] = None
        self._positions.unsettle(channel)
        if channel in self._held:
            return False
        self._held[channel] = []
        return True

    def hold_under(self, pattern: str, joined: dict[str, None]) -> list[str]:
        """Before the pattern is joined again: the channels to catch up, held from now on."""
        channels = [channel for channel in self._positions.under(pattern) if channel not in joined]
        channels = [channel for channel in channels if channel not in self._held and self._positions.of(channel)]
        return [channel for channel in channels[:CHANNELS_MAX] if self.hold(channel)]

    async def run(self, pattern: str, channel: str, url: str, ask: Callable[..., Awaitable[Message]]) -> Resumed | None:
        """Hand on what was missed of one channel, then what was held. None when there is no history to be had. When
        this raises, what is held is still held."""
        since = self._positions.of(channel)
        cursor = dict(since)
        missed = 0
        while True:
            self._stale.pop(channel, None)
            args: dict[str, Any] = {"channel": channel, "since": cursor, "limit": PAGE}
            try:
                page = page_of(await ask("history", args))
            except (Denied, NotFound):
                self.release(channel)
                return None
            for message in page:
                cursor[message.epoch] = max(cursor.get(message.epoch, 0), message.offset)
                if message.epoch not in since and message.timestamp < self._began.get(pattern, ""):
                    self._positions.advance(channel, message)
                elif self._take(message):
                    missed += 1
            behind = any(head > cursor.get(epoch, head) for epoch, head in page.position.items())
            if (not len(page) or not (page.more or behind)) and channel not in self._stale:
                break
        self._positions.miss_to(channel, page.position)
        self.release(channel)
        gaps = self._positions.close(channel, since)
        return Resumed(channel, not gaps, gaps, missed, url)

    def release(self, channel: str) -> None:
        self._stale.pop(channel, None)
        for message in self._held.pop(channel, ()):
            self._take(message)

    def discard(self, channel: str) -> None:
        """The connection is gone, and what it brought comes again from where the channel was."""
        self._stale.pop(channel, None)
        self._held.pop(channel, None)
