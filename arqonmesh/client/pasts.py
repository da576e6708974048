"""Where the channels of a pattern stood when it was joined: of those that nobody had published in since, too.

The bus names them in its answer to a join of a pattern with `since` (core/bus/survey.py), so a client that comes back
knows from where each channel is to be caught up, those included that it never heard of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

CHANNELS_MAX: Final = 10_000
"""Channels of one pattern of which it is remembered where they stood."""


class Survey(Struct):
    """The answer."""

    position: dict[str, int] = {}
    """Of a channel in which nothing was published yet."""
    positions: dict[str, dict[str, int]] | None = None
    """Of those with something that `since` does not cover; None: this bus does not say."""
    positions_more: bool = False
    unsure: tuple[str, ...] = ()
    """Channels in which something may be missing that nobody can see any more."""


def survey_of(payload: bytes) -> Survey | None:
    """None when the answer holds none."""
    try:
        found = msgspec.json.decode(payload, type=Survey)
    except msgspec.DecodeError:
        return None
    return None if found.positions is None else found


class Past:
    """Of one pattern, as of the last answer."""

    __slots__ = ("beginning", "known", "whole")

    def __init__(self, survey: Survey) -> None:
        self.beginning = survey.position
        self.known = dict(survey.positions or {})
        self.whole = not survey.positions_more
        """Whether every channel that is not in `known` began later."""

    def of(self, channel: str) -> dict[str, int] | None:
        """The position to go on from in a channel that was not heard; None: nobody knows."""
        known = self.known.get(channel)
        if known is None:
            return dict(self.beginning) if self.whole else None
        nodes = {epoch.partition("-")[0] for epoch in known}
        beside = {epoch: at for epoch, at in self.beginning.items() if epoch.partition("-")[0] not in nodes}
        return {**beside, **known}

    def adopt(self, survey: Survey) -> None:
        """What came since, up to this answer, is known or asked for. A node that it does not name may only be out of
        reach: what is known of that holds."""
        named = {epoch.partition("-")[0] for epoch in survey.position}
        self.beginning = {
            **{epoch: at for epoch, at in self.beginning.items() if epoch.partition("-")[0] not in named},
            **survey.position,
        }
        self.known.update(survey.positions or {})
        while len(self.known) > CHANNELS_MAX:
            del self.known[next(iter(self.known))]
            self.whole = False
        self.whole = self.whole and not survey.positions_more


def has_news(since: Mapping[str, int], position: Mapping[str, int]) -> bool:
    """Whether anything is at this position that was not at the other."""
    return any(offset > since.get(epoch, 0) for epoch, offset in position.items())
