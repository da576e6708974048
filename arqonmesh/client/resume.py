"""How it went on in a channel after a lost connection was replaced, or after something was dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct


class Gap(Struct, frozen=True):
    """Events `first` to `last` of one stream that nobody has any more."""

    epoch: str
    first: int
    last: int | None = None
    """None: nobody knows how many there were, if any."""


class Resumed(Struct, frozen=True):
    """How it goes on in one channel."""

    channel: str
    recovered: bool | None
    """True: nothing is missing. False: something is, see `gaps`. None: nothing was asked, or this node does not say."""
    gaps: tuple[Gap, ...] = ()
    missed: int = 0
    """Events that came after all, before anything new."""
    url: str = ""
    """The node that it goes on at."""
    lost: tuple[Gap, ...] = ()
    """Events that this client has seen and this node has not, though the life of the node that published them is over:
    others may never see them."""


def resumed_of(channel: str, url: str, told: Mapping[str, Any]) -> Resumed:
    """What the answer to a `join_channel` with `since` says; a node that keeps no count says nothing of it."""
    recovered = told.get("recovered")
    if not isinstance(recovered, bool):
        return Resumed(channel, None, url=url)
    gaps = msgspec.convert(told.get("gaps") or (), tuple[Gap, ...])
    lost = msgspec.convert(told.get("lost") or (), tuple[Gap, ...])
    return Resumed(channel, recovered, gaps, int(told.get("missed") or 0), url, lost)
