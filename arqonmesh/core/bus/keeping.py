"""Every finished event of a channel passes here once: into the ring, to those who are catching up, and to the disk.

Those of `room:*` too: no client reads them again, but a mate of the cluster that missed some fetches them here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arqonmesh.core.kernel import Effect, KeepFrames

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.channels import Channel


def keep(
    bus: Bus,
    channel: Channel,
    frames: Sequence[bytes],
    epoch: str,
    first: int,
    low_ms: int,
    high_ms: int,
    effects: list[Effect],
    *,
    ours: bool = True,
) -> None:
    """Consecutive events of one stream, or of none (epoch "")."""
    if channel.tails:
        for tail in channel.tails:
            tail.add(frames)
    bus.channels.keep_frames(channel, frames, epoch, first)
    if bus.env.durable:
        effects.append(KeepFrames(channel.name, epoch, first, low_ms, high_ms, tuple(frames), ours))


def keep_late(
    bus: Bus,
    channel: Channel,
    frames: Sequence[bytes],
    epoch: str,
    first: int,
    low_ms: int,
    high_ms: int,
    effects: list[Effect],
    *,
    ours: bool,
) -> None:
    """As `keep`, of events that fill a hole: the ring keeps to the order in which things came, so the disk has them."""
    for tail in channel.tails:
        tail.add(frames)
    channel.ring.whole = False
    if bus.env.durable:
        effects.append(KeepFrames(channel.name, epoch, first, low_ms, high_ms, tuple(frames), ours))
