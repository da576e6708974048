"""What a client has joined, and how it joins it again: each channel from where it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from msgspec import structs

from arqonmesh.client.catch_up import CatchUp
from arqonmesh.client.endpoints import Endpoints
from arqonmesh.client.message import Message, object_of
from arqonmesh.client.pasts import Past, survey_of
from arqonmesh.client.positions import Positions, is_pattern, matches
from arqonmesh.client.refill import Refill
from arqonmesh.client.resume import Resumed, resumed_of
from arqonmesh.errors import Denied, UsageError

JOINS_AT_ONCE_MAX: Final = 64
BUSY_PATIENCE_S: Final = 60.0
"""How long a bus that is busy is asked again on the same connection."""
RATE_PAUSE_S: Final = 1.0
"""At least: a bus that drops frames above a rate counts them by the second, and several wait here."""
RATE_PAUSE_S_MAX: Final = 30.0
"""At most, whatever the bus says."""

_log: Final = logging.getLogger("arqonmesh.client")


class Subscriptions:
    """`ask` runs a command of the bus; `take` hands an event to the application, unless it came before; `told` hears
    how it goes on where something was dropped. `returns`: whether a lost connection is replaced."""

    def __init__(
        self,
        endpoints: Endpoints,
        ask: Callable[..., Awaitable[Message]],
        take: Callable[[Message], bool],
        told: Callable[[Resumed], None],
        *,
        returns: bool = True,
    ) -> None:
        self.joined: dict[str, None] = {}
        self.positions = Positions()
        self.catch_up = CatchUp(self.positions, take, self._ask_patiently)
        self.refill = Refill(self.catch_up, told)
        self._endpoints = endpoints
        self._ask = ask
        self._returns = returns
        self._at_once = JOINS_AT_ONCE_MAX
        """Fewer once a bus said that this is too fast for it; a little more each time that it does not."""
        self._slower = asyncio.Event()
        self._pause_s = RATE_PAUSE_S

    async def join(self, channel: str, since: Mapping[str, int] | None) -> Resumed:
        """Subscribe, from a position where one is given; from now on it is joined again after each loss."""
        if since is not None:
            if is_pattern(channel):
                raise UsageError(
                    "bus.invalid-field",
                    f"{channel} is many channels; since belongs to one",
                    hint="bus.join('ROOM:CHANNEL', since=...)",
                )
            self.catch_up.leave(channel)
            self.positions.set(channel, since)
            self.positions.asking(channel)
        asked = {} if is_pattern(channel) and self._returns else since
        resumed, answer = await self._join(channel, asked)
        if is_pattern(channel) and (survey := survey_of(answer.payload_)) is not None:
            self.catch_up.pasts[channel] = Past(survey)
        self.joined[channel] = None
        return resumed

    def leave(self, channel: str) -> None:
        """From now on nothing of it is fetched, nor kept, unless another subscription brings it."""
        self.joined.pop(channel, None)
        self.catch_up.forget(channel)
        for name in self.positions.under(channel):
            if not any(matches(other, name) for other in self.joined):
                self.positions.forget(name)
                self.catch_up.leave(name)

    def dropped(self, count: int) -> None:
        """The bus has dropped so much of what waited for this client."""
        heard = {name: "" for name in self.joined if self.positions.known(name)}
        for pattern in filter(is_pattern, self.joined):
            for name in self.positions.under(pattern):
                heard.setdefault(name, pattern)
        self.refill.dropped(count, heard.items(), self._endpoints.current)

    async def join_again(self) -> list[Resumed]:
        """Every subscription on a new connection, a few at a time. Raises what the first refusal says."""
        resumed: list[Resumed] = []
        left = list(self.joined)
        while left:
            few, left = left[: self._at_once], left[self._at_once :]
            joins = {channel: asyncio.ensure_future(self._join_one_again(channel)) for channel in few}
            together: asyncio.Future[Any] = asyncio.gather(*joins.values())
            dropped: asyncio.Future[Any] = asyncio.ensure_future(self._dropped())
            try:
                await asyncio.wait({together, dropped}, return_when=asyncio.FIRST_COMPLETED)
                if together.done():
                    together.result()
                    self._at_once = min(JOINS_AT_ONCE_MAX, self._at_once + 1 + self._at_once // 8)
                else:  # nobody is told which were dropped: those that are not answered by now
                    left = [channel for channel, join in joins.items() if not join.done()] + left
                    self._at_once = max(1, self._at_once // 2)
                resumed += [one for join in joins.values() if join.done() for one in join.result()]
            finally:
                for task in (dropped, together, *joins.values()):
                    task.cancel()
                await asyncio.gather(dropped, together, *joins.values(), return_exceptions=True)
        return resumed

    def too_fast(self, retry_after_ms: object = None) -> None:
        """The bus has dropped some of what was sent, and may have said when it takes more."""
        told_s = retry_after_ms / 1_000 if isinstance(retry_after_ms, int) else 0.0
        self._pause_s = min(max(told_s, RATE_PAUSE_S), RATE_PAUSE_S_MAX)
        self._slower.set()
        self._slower = asyncio.Event()

    async def _dropped(self) -> None:
        await self._slower.wait()
        await asyncio.sleep(self._pause_s)

    async def _join_one_again(self, channel: str) -> list[Resumed]:
        """One that this client may not join any more takes nothing from the others; it is tried at the next loss."""
        try:
            if is_pattern(channel):
                return await self._join_pattern(channel)
            if not self.positions.known(channel):
                return [(await self._join(channel, None))[0]]
            return [await self._join_from(channel, self.positions.asking(channel))]
        except Denied as denied:
            _log.warning("%s could not be joined again: %s", channel, denied)
            return [Resumed(channel, False, url=self._endpoints.current)]

    async def _join_from(self, channel: str, since: dict[str, int]) -> Resumed:
        """Or from now on, when this client may join it and not read its history."""
        try:
            return (await self._join(channel, since))[0]
        except Denied as denied:
            position = object_of(await self._ask_patiently("join_channel", {"channel": channel})).get("position", {})
            _log.warning("%s is joined again without what was missed: %s", channel, denied)
        self.positions.miss_to(channel, position)
        gaps = self.positions.close(channel, since)
        self.positions.told(channel, position)
        return Resumed(channel, False, gaps, url=self._endpoints.current)

    async def _join(self, channel: str, since: Mapping[str, int] | None) -> tuple[Resumed, Message]:
        args: dict[str, Any] = {"channel": channel}
        if since is not None:
            args["since"] = dict(since)
        answer = await self._ask_patiently("join_channel", args)
        told = object_of(answer)
        resumed = resumed_of(channel, self._endpoints.current, told)
        if is_pattern(channel):  # its position is that of no channel (pasts.py)
            self.catch_up.began(channel, answer.timestamp)
            return resumed, answer
        position = told.get("position")
        if isinstance(position, dict) and channel not in self.catch_up:  # else some of it was dropped on its way
            if resumed.recovered is None:
                self.positions.told(channel, position)
            else:
                gaps = self.positions.answered(channel, position, resumed.gaps)
                resumed = structs.replace(resumed, recovered=not gaps, gaps=gaps)
        return resumed, answer

    async def _ask_patiently(self, name: str, args: dict[str, Any]) -> Message:
        return await self._ask(name, args, patience_s=BUSY_PATIENCE_S)

    async def _join_pattern(self, pattern: str) -> list[Resumed]:
        holds = self.catch_up.hold_under(pattern, self.joined)
        past = self.catch_up.pasts.get(pattern)
        url = self._endpoints.current
        self.catch_up.expect(pattern)
        try:
            one, answer = await self._join(pattern, past.beginning if past is not None else {})
            resumed = [one]
            if (survey := survey_of(answer.payload_)) is not None:
                if past is None:
                    self.catch_up.pasts[pattern] = Past(survey)
                else:
                    holds += self.catch_up.hold_unheard(pattern, survey, self.joined)
                    past.adopt(survey)
            self.catch_up.expected(pattern)
            for hold in holds:
                caught_up = await self.catch_up.run(hold, pattern, url)
                resumed += [] if caught_up is None else [caught_up]
            return resumed
        except Denied:
            for hold in holds:
                self.catch_up.give_up(hold, url)
            raise
        finally:
            self.catch_up.expected(pattern)
            for hold in holds:
                self.catch_up.discard(hold)
