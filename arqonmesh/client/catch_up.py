"""After a lost connection, the channels that a pattern (`room:*`, `*:channel`, `*`) had brought.

A position belongs to one channel, so the bus cannot resume a pattern. The client does: it joins the pattern again,
holds back what comes live in the channels that it knows, reads what each missed from the history, and lets go what it
held. A channel that nobody had published in before the loss is unknown and not caught up: who must miss nothing there
joins it by its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from arqonmesh.client.message import Message
from arqonmesh.client.records import page_of
from arqonmesh.client.resume import Positions, Resumed
from arqonmesh.errors import Denied, NotFound

CHANNELS_MAX: Final = 256
"""Channels that one reconnect catches up, those first that were heard of first."""
HELD_MAX: Final = 10_000
"""Live messages per channel that wait for older ones; beyond it they are handed on out of order."""
PAGE: Final = 500


class CatchUp:
    """Holds back live messages while their channels are caught up."""

    def __init__(self, positions: Positions, take: Callable[[Message], None]) -> None:
        self._positions = positions
        self._take = take
        self._began: dict[str, str] = {}
        self._held: dict[str, list[Message]] = {}

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
        held.append(message)
        if len(held) > HELD_MAX:
            self.release(channel)
        return True

    def hold(self, pattern: str, joined: dict[str, None]) -> list[str]:
        """Before the pattern is joined again: the channels to catch up, held from now on."""
        channels = [channel for channel in self._positions.under(pattern) if channel not in joined]
        channels = [channel for channel in channels if channel not in self._held and self._positions.of(channel)]
        for channel in channels[:CHANNELS_MAX]:
            self._held[channel] = []
        return channels[:CHANNELS_MAX]

    async def run(self, pattern: str, channel: str, url: str, ask: Callable[..., Awaitable[Message]]) -> Resumed | None:
        """Hand on what was missed of one channel, then what was held. None when there is no history to be had."""
        since = self._positions.of(channel)
        missed = 0
        try:
            while True:
                args: dict[str, Any] = {"channel": channel, "since": self._positions.of(channel), "limit": PAGE}
                page = page_of(await ask("history", args))
                for message in page:
                    if message.epoch not in since and message.timestamp < self._began.get(pattern, ""):
                        self._positions.advance(channel, message)
                        continue
                    self._take(message)
                    missed += 1
                if not page.more or not len(page):
                    break
        except (Denied, NotFound):
            return None
        finally:
            self.release(channel)
        gaps = self._positions.gaps(channel, since)
        return Resumed(channel, not gaps, gaps, missed, url)

    def release(self, channel: str) -> None:
        for message in self._held.pop(channel, ()):
            self._take(message)
