"""What a channel missed, read from the history while live messages wait behind it.

Two need this. A pattern (`room:*`, `*:channel`, `*`) after a lost connection: a position belongs to one channel, so the
bus cannot resume a pattern; the client joins it again and catches up each channel that it has heard, from there, and
each in which something is that it has not heard, from where that stood when the pattern was joined (pasts.py). And any
channel when the bus dropped something (refill.py).

Whoever owes a channel its past owns its `Hold`, one per channel. It ends once: caught up, given up (what nobody could
read stays a hole in the position, and is asked for at the next return), or discarded with the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, Final

from arqonmesh.client.message import Message
from arqonmesh.client.pasts import Past, Survey, has_news
from arqonmesh.client.positions import Positions, is_pattern, matches
from arqonmesh.client.records import page_of
from arqonmesh.client.resume import Gap, Resumed
from arqonmesh.errors import Denied, NotFound

HOLDING_MAX: Final = 256
"""Channels whose live messages wait at one time, those first that were heard of first. What comes live in the others
before their turn comes passes; what they missed comes behind it."""
HELD_MAX: Final = 10_000
"""Live messages per channel that wait for older ones; beyond it they are left to the history too."""
MET_MAX: Final = 1_024
"""Channels that are heard of first while their pattern is being joined again, and wait until it is known from where."""
PAGE: Final = 500


class Hold:
    """A channel that is owed what came after `since`."""

    __slots__ = ("channel", "found", "left", "live", "over", "since", "stale")

    def __init__(self, channel: str, since: dict[str, int]) -> None:
        self.channel = channel
        self.since = since
        self.live: list[Message] | None = None
        """What came live, and waits; None: its turn has not come."""
        self.left = 0
        """Live messages that had no room here."""
        self.stale = False
        """Something was dropped since the history was asked last."""
        self.found = 0
        """Once it is caught up: how many were fetched that had not come live."""
        self.over = False


class CatchUp:
    """The holds. `take` hands a message on: False when it came before; `ask` runs a command of the bus."""

    def __init__(
        self, positions: Positions, take: Callable[[Message], bool], ask: Callable[..., Awaitable[Message]]
    ) -> None:
        self._positions = positions
        self._take = take
        self._ask = ask
        self.pasts: dict[str, Past] = {}
        """By pattern, where the bus told it."""
        self._began: dict[str, str] = {}
        self._coming: dict[str, None] = {}
        """Patterns that are being joined again."""
        self._met: dict[str, None] = {}
        """Channels that were heard of first meanwhile."""
        self._holds: dict[str, Hold] = {}
        self._holding = 0

    def __contains__(self, channel: str) -> bool:
        return channel in self._holds

    def began(self, pattern: str, timestamp: str) -> None:
        """When a pattern was joined: what was published before that was not missed."""
        self._began.setdefault(pattern, timestamp)

    def forget(self, pattern: str) -> None:
        self._began.pop(pattern, None)
        self.pasts.pop(pattern, None)

    def holds(self, channel: str, message: Message) -> bool:
        """Keep a live message for later, if its channel is being caught up."""
        hold = self._holds.get(channel)
        if hold is None and message.epoch and not self._positions.known(channel):
            hold = self._meet(channel)
        if hold is None or hold.live is None:
            return False
        if len(hold.live) < HELD_MAX:
            hold.live.append(message)
        else:
            hold.left += 1
            hold.stale = True
        return True

    def hold(self, channel: str) -> Hold | None:
        """Something may be missing there from now on. None: somebody catches it up already, and asks once more."""
        self._positions.unsettle(channel)
        found = self._holds.get(channel)
        if found is not None:
            found.stale = True
            return None
        hold = self._holds[channel] = Hold(channel, self._positions.asking(channel))
        if self._holding < HOLDING_MAX:
            self._hold_back(hold)
        return hold

    def hold_under(self, pattern: str, joined: Container[str]) -> list[Hold]:
        """Before the pattern is joined again: the channels that it brings and that are not live yet."""
        channels = [channel for channel in self._positions.under(pattern) if channel not in joined]
        channels = [channel for channel in channels if channel not in self and self._positions.of(channel)]
        holds = [self.hold(channel) for channel in channels if not self._positions.is_live(channel)]
        return [hold for hold in holds if hold is not None]

    def expect(self, pattern: str) -> None:
        """It is being joined again: what comes live of channels that were never heard waits until it is known whether
        anything came before it."""
        self._coming[pattern] = None

    def expected(self, pattern: str) -> None:
        """As far as this pattern goes, that is known, or will not be."""
        self._coming.pop(pattern, None)
        if not self._coming:
            for channel in list(self._met):
                self.discard(self._holds[channel])

    def hold_unheard(self, pattern: str, survey: Survey, joined: Container[str]) -> list[Hold]:
        """The pattern is joined again, and this is the answer: the channels that were never heard and in which
        something is, or may be, that came after the pattern was joined first."""
        past = self.pasts[pattern]
        positions = survey.positions or {}
        holds: list[Hold | None] = []
        for channel in (*positions, *(met for met in self._met if met not in positions and matches(pattern, met))):
            met = channel in self._met
            if not met and (channel in self or channel in joined or self._positions.known(channel)):
                continue
            self._met.pop(channel, None)
            since = past.of(channel)
            missed = since is None or channel in survey.unsure or has_news(since, positions.get(channel, {}))
            if since is not None and (met or missed):
                self._positions.told(channel, since)
            if not missed:
                self._release(self._holds[channel]) if met else None
                continue
            if met:  # anew, from where it is known now to have been
                hold = self._holds.pop(channel)
                self._holding -= 1
                again = self.hold(channel)
                assert again is not None
                self._hold_back(again)
                again.live, again.left, again.stale = hold.live, hold.left, hold.stale
                holds.append(again)
            else:
                holds.append(self.hold(channel))
        return [hold for hold in holds if hold is not None]

    async def run(self, hold: Hold, pattern: str, url: str) -> Resumed | None:
        """Hand on what was missed of one channel, then what was held. None when the channel was left meanwhile. When
        this raises, the hold goes on."""
        if hold.over:
            return None
        self._hold_back(hold)
        since, cursor = hold.since, dict(hold.since)
        doubts: dict[str, Gap] = {}
        missed = 0
        while True:
            hold.stale = False
            args: dict[str, Any] = {"channel": hold.channel, "since": cursor, "limit": PAGE}
            try:
                page = page_of(await self._ask("history", args))
            except (Denied, NotFound):
                return self.give_up(hold, url)
            if hold.over:
                return None
            for gap in page.gaps:
                doubts.setdefault(gap.epoch, gap)
            for message in page:
                cursor[message.epoch] = max(cursor.get(message.epoch, 0), message.offset)
                if message.epoch not in since and message.timestamp < self._began.get(pattern, ""):
                    self._positions.advance(hold.channel, message)
                elif self._take(message):
                    missed += 1
            behind = any(head > cursor.get(epoch, head) for epoch, head in page.position.items())
            if (not len(page) or not (page.more or behind)) and not hold.stale:
                break
        self._positions.miss_to(hold.channel, page.position, doubts)
        hold.found = missed - hold.left - self._release(hold)
        gaps = (*self._positions.close(hold.channel, since), *doubts.values())
        return Resumed(hold.channel, not gaps, gaps, missed, url)

    def give_up(self, hold: Hold, url: str) -> Resumed | None:
        """Its past cannot be read: what is live goes on, behind a hole. None when it was over already."""
        if hold.over:
            return None
        self._positions.go_on_blindly(hold.channel)
        self._release(hold)
        return Resumed(hold.channel, False, url=url)

    def discard(self, hold: Hold) -> None:
        """The connection is gone, and what it brought comes again from where the channel was. Repeats are harmless."""
        self._end(hold)

    def leave(self, channel: str) -> None:
        """Nobody wants it any more."""
        if (hold := self._holds.get(channel)) is not None:
            self._end(hold)

    def _meet(self, channel: str) -> Hold | None:
        """Its first event: what came before that, since its pattern was joined, is missing."""
        if is_pattern(channel):  # what is said to a whole room has no past
            return None
        if len(self._met) < MET_MAX and any(matches(pattern, channel) for pattern in self._coming):
            self._met[channel] = None
            hold = self._holds[channel] = Hold(channel, {})
            self._hold_back(hold)
            return hold
        for pattern, past in self.pasts.items():
            if matches(pattern, channel) and (since := past.of(channel)) is not None:
                self._positions.told(channel, since)
                break
        return None

    def _hold_back(self, hold: Hold) -> None:
        if hold.live is None:
            hold.live = []
            self._holding += 1

    def _release(self, hold: Hold) -> int:
        """Hand on what waited; how much of it had come before."""
        return sum(not self._take(message) for message in self._end(hold))

    def _end(self, hold: Hold) -> list[Message]:
        if hold.over:
            return []
        hold.over = True
        del self._holds[hold.channel]
        self._met.pop(hold.channel, None)
        self._holding -= hold.live is not None
        return hold.live or []
