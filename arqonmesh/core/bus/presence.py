"""Presence: how many listen to a channel, and notices when someone comes or goes.

In a large channel the notices of n members joining are n²/2 frames, so above `NOTICE_MEMBERS_MAX` members only
the counts (channel_info, join answers) tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.channels import Channel
from arqonmesh.core.bus.envelope import Dialect, from_bus
from arqonmesh.core.kernel import Deliver

if TYPE_CHECKING:
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.stamps import Stamps

NOTICE_MEMBERS_MAX: Final = 64


def notices(stamps: Stamps, channel: Channel, who: Client, event: str) -> list[Deliver]:
    """Tell the other members that `who` "joined" or "left"; nothing in a channel that is too large for it."""
    if len(channel.members) > NOTICE_MEMBERS_MAX:
        return []
    payload: dict[str, Any] = {"event": event, "client_id": who.id, "members": len(channel.members)}
    if who.info.name:
        payload["name"] = who.info.name
    others = [member for member in channel.members.values() if member is not who]
    return to_each_dialect(stamps, others, payload, room=channel.room, channel=channel.leaf)


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
