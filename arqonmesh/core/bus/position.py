"""The position that an answer names: all streams of a channel, so that a later return says exactly what is owed.

A stream that a position does not name is owed from its beginning, unless all lives of its node that are named came
after it (streams.py). So the answer names a mate of the cluster that has not been heard in the channel too, in the
life that it is in, with offset 0: what it published in lives that were over is no concern of who joins now, and
everything that it publishes from now on is, whichever of its later lives is heard of first. Who comes back and had not
heard of a node at all is owed everything of it: `NODE-0`, before all its lives, says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from arqonmesh.core.bus.past import EPOCHS_MAX
from arqonmesh.core.bus.streams import Gap, epoch_of, life_of

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.streams import Streams


def living(bus: Bus) -> list[str]:
    """The streams that the cluster's other nodes write, in the lives that they are in."""
    return [epoch_of(node, boot_epoch) for node, boot_epoch in bus.exchange.lives()]


def position_now(bus: Bus, streams: Streams, since: Mapping[str, int] | None = None) -> dict[str, int]:
    """Where the channel stands; of what a client has seen elsewhere (`since`), the further. At most EPOCHS_MAX streams
    (`crowded_out` says what of `since` has no room)."""
    position = streams.position()
    for epoch, offset in (since or {}).items():
        if epoch in position:
            position[epoch] = max(position[epoch], offset)
        elif len(position) < EPOCHS_MAX and not streams.has_given_up(epoch):
            position[epoch] = offset
    named = _nodes(position if since is None else since)
    if since is None:
        beside = [epoch for epoch in living(bus) if _node(epoch) not in named]
    else:  # who comes back is owed all lives of a node that it had not heard of, whichever this node knows
        beside = [f"{node}-0" for node in _nodes((*position, *living(bus))) if node not in named]
    for epoch in beside:
        if len(position) < EPOCHS_MAX:
            position.setdefault(epoch, 0)
    return position


def _nodes(epochs: Iterable[str]) -> dict[str, None]:
    return {life.node: None for life in map(life_of, epochs) if life is not None}


def _node(epoch: str) -> str:
    return epoch.partition("-")[0]


def doubts(bus: Bus, streams: Streams, since: Mapping[str, int]) -> list[Gap]:
    """As `Streams.doubtful`, without the lives of this node that ended in good order and of which the disk has nothing
    in this channel, as the client has not: there was nothing, unless it was too old to be kept."""
    own, now_s, age_max_s = life_of(bus.shelf.epoch), bus.wall_ms / 1_000, bus.settings.history.max_age_s
    found = []
    for gap in streams.doubtful(since):
        life = life_of(gap.epoch)
        quiet = (
            bus.env.durable
            and since.get(gap.epoch) == 0
            and (own is not None and life is not None and life.node == own.node and life.boot > now_s - age_max_s)
            and bus.shelf.ended_well(gap.epoch)
            and not (gap.epoch in streams.unsure or streams.has_given_up(gap.epoch) or bus.shelf.evicted)
        )
        if not quiet:
            found.append(gap)
    return found


def crowded_out(position: Mapping[str, int], streams: Streams, since: Mapping[str, int]) -> list[Gap]:
    """What `since` names and an answer with this position does not, for want of room."""
    if len(position) < EPOCHS_MAX:
        return []
    return [
        Gap(epoch, offset + 1, None)
        for epoch, offset in since.items()
        if epoch not in position and not streams.has_given_up(epoch)
    ]
