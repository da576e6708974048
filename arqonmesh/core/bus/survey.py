"""Where the channels of a pattern stand, for a client that means to come back to it.

A position belongs to one channel, so a pattern (`room:*`, `*:channel`, `*`) has none, and while a client is away
channels may appear that it never heard of. So a join of a pattern with `since` is answered with both: `position`, that
of a channel in which nothing was published yet, and `positions`, those of the channels in which something was that
`since` (that other `position`, of the join before; `{}` at the first) does not cover.

    {"type": "join", "channel": "a:*", "since": {}}
    ◀ {"position": {"7f2ckd3atu-1tz0ab": 0}, "positions": {"a:b": {"7f2ckd3atu-1tz0ab": 41}}, ...}
    {"type": "join", "channel": "a:*", "since": {"7f2ckd3atu-1tz0ab": 0}}
    ◀ {"positions": {"a:b": {"7f2ckd3atu-1tz0ab": 41}, "a:new": {"7f2ckd3atu-1tz0ab": 2}}, "recovered": true, ...}

The subscription begins with the same input: what is named is in the history, and what is not named yet comes live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.names import EVERYTHING
from arqonmesh.core.bus.position import position_now
from arqonmesh.core.bus.streams import OFFSET_MAX, Gap, Streams, is_over, life_of, oldest_lives
from arqonmesh.core.bus.tenants import SEPARATOR, outside, tenant_of

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.identity import Identity

CHANNELS_MAX: Final = 1_000
"""Channels that one answer names; that there are others, `positions_more` says."""
POSITIONS_BYTES_MAX: Final = 256 << 10
LOOKED_AT_MAX: Final = 16_384
"""Channels of a pattern that one answer looks at, two millionths of a second each."""
_EPOCH_BYTES: Final = 32
"""What one stream of a position takes, about."""


def survey(bus: Bus, identity: Identity, pattern: str, since: Mapping[str, int]) -> dict[str, Any]:
    """What the answer to a join of this pattern says beside that of a plain one."""
    beginning = position_now(bus, Streams(bus.shelf.epoch))
    floors = _Floors(since or beginning)
    positions: dict[str, dict[str, int]] = {}
    unsure: list[str] = []
    more, size_bytes, looked_at = False, 0, 0
    for name, streams in _matching(bus, pattern):
        looked_at += 1
        if more := looked_at > LOOKED_AT_MAX:
            break
        doubtful = bool(streams.unsure) and any(floors[epoch] < OFFSET_MAX for epoch in streams.unsure)
        if not doubtful and not floors.are_below(streams):
            continue
        if not all(bus.permissions.may(identity, action, name) for action in ("join", "history")):
            continue
        position = {epoch: offset for epoch, offset in streams.position().items() if offset}
        size_bytes += len(name) + _EPOCH_BYTES * len(position)
        if more := len(positions) >= CHANNELS_MAX or size_bytes > POSITIONS_BYTES_MAX:
            break
        positions[outside(name)] = position
        if doubtful:
            unsure.append(outside(name))
    told: dict[str, Any] = {"position": beginning, "positions": positions}
    if unsure:
        told["unsure"] = unsure
    if more:
        told["positions_more"] = True
    if since:
        gaps = _doubts(bus, since)
        told["recovered"] = not gaps and not more
        if gaps:
            told["gaps"] = [gap._asdict() for gap in gaps]
    return told


class _Floors(dict[str, int]):
    """Epoch -> what of a stream a position covers, as `Streams.missed` has it; worked out once, because there may be
    tens of thousands of channels and few lives of nodes."""

    def __init__(self, position: Mapping[str, int]) -> None:
        super().__init__(position)
        self._oldest = oldest_lives(position)

    def __missing__(self, epoch: str) -> int:
        floor = self[epoch] = OFFSET_MAX if is_over(epoch, self._oldest) else 0
        return floor

    def are_below(self, streams: Streams) -> bool:
        """Whether anything is in a channel that the position does not cover."""
        if streams.offset and streams.offset > self[streams.epoch]:
            return True
        return any(head > self[epoch] for epoch, head in streams.heads.items())


def _doubts(bus: Bus, since: Mapping[str, int]) -> list[Gap]:
    """Lives of this node that are over and left nothing, or ended in a crash: channels that they alone knew of, nobody
    knows any more."""
    own = life_of(bus.shelf.epoch)
    assert own is not None
    past = [(epoch, life) for epoch, life in ((epoch, life_of(epoch)) for epoch in since) if life is not None]
    return [
        Gap(epoch, 1, None)
        for epoch, life in past
        if life.node == own.node and 0 < life.boot < own.boot and not (bus.env.durable and bus.shelf.ended_well(epoch))
    ]


def _matching(bus: Bus, pattern: str) -> Iterator[tuple[str, Streams]]:
    """Every channel that the pattern takes and of which something is known here, the ones in the table first."""
    takes = _taker(pattern)
    for channel in bus.channels.all():
        if channel.listed and takes(channel.name):
            yield channel.name, channel.streams
    for name in bus.shelf.names():
        if takes(name) and EVERYTHING not in name and not name.startswith("$"):
            streams = bus.shelf.look(name)
            if streams is not None:
                yield name, streams


def _taker(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern takes a channel, both named inside (tenants.py)."""
    home, _, leaf = pattern.partition(":")
    if leaf == EVERYTHING:
        room = f"{home}:"
        return lambda name: name.startswith(room)
    tenant, ending = tenant_of(pattern), f":{leaf}" if leaf else ""
    if not tenant:
        return lambda name: SEPARATOR not in name and name.endswith(ending)
    bus_of = f"{tenant}{SEPARATOR}"
    return lambda name: name.startswith(bus_of) and name.endswith(ending)
