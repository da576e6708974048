"""Presence: how many listen to a channel, and notices when someone comes or goes.

In a large channel the notices of n members joining are n²/2 frames, so above `NOTICE_MEMBERS_MAX` members only
the counts (channel_info, join answers) tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.envelope import Dialect, from_bus
from arqonmesh.core.kernel import Deliver

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.cluster.view import Remote
    from arqonmesh.core.bus.stamps import Stamps

NOTICE_MEMBERS_MAX: Final = 64


def notice(bus: Bus, name: str, who: Client | Remote, word: str) -> list[Deliver]:
    """Tell those here that `who`, of this node or another of the cluster, "joined" or "left" this channel."""
    channel = bus.channels.find(name)
    if channel is None or not channel.members:
        return []
    members = len(channel.members) + len(bus.exchange.view.members(name))
    if members > NOTICE_MEMBERS_MAX:
        return []
    payload: dict[str, Any] = {"event": word, "client_id": who.id, "members": members, **who.profile.shown()}
    may = bus.permissions.may
    others = [
        member for member in channel.members.values() if member.id != who.id and may(member.identity, "presence", name)
    ]
    return to_each_dialect(bus.stamps, others, payload, room=channel.room, channel=channel.leaf)


def to_each_dialect(
    stamps: Stamps,
    clients: list[Client],
    payload: dict[str, Any],
    *,
    room: str = "",
    channel: str = "",
    kind: str = "system",
) -> list[Deliver]:
    """One frame of the bus's own, rendered once per dialect that someone speaks."""
    delivers = []
    for dialect in (Dialect.CANONICAL, Dialect.ARQONBUS_1):
        audience = tuple(client.id for client in clients if client.canonical is (dialect is Dialect.CANONICAL))
        if audience:
            frame = from_bus(dialect, kind, stamps.next_id().decode(), stamps.time, payload, room=room, channel=channel)
            delivers.append(Deliver(audience, (frame,)))
    return delivers
