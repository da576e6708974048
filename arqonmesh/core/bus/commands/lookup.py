"""list_channels, channel_info, history."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.channels import Channel
from arqonmesh.core.bus.commands.request import Command, Request
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.stamps import iso
from arqonmesh.core.bus.tenants import outside

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

LISTED_DEFAULT: Final = 100
LISTED_MAX: Final = 1_000
HISTORY_DEFAULT: Final = 50
HISTORY_MAX: Final = 500
ANSWER_BYTES_MAX: Final = 1 << 20
"""The most that one history answer carries; older frames are left off and `truncated` says so."""


def _list_channels(bus: Bus, request: Request) -> dict[str, Any]:
    limit = request.limit(LISTED_DEFAULT, LISTED_MAX)
    room = request.args.room.partition(":")[0]
    listed, total = bus.channels.listing(request.client.identity, room, limit)
    return {"channels": [_summary(channel) for channel in listed], "total": total, "returned": len(listed)}


def _channel_info(bus: Bus, request: Request) -> dict[str, Any]:
    name = request.target()
    bus.permissions.check(request.client.identity, "presence", name)
    channel = _existing(bus, name)
    return {
        "channel": {
            **_summary(channel),
            "created_at": iso(channel.created_ms),
            "history": len(channel.ring.frames),
            "members": [
                {"client_id": client.id, "name": client.info.name, "type": client.info.kind}
                for client in islice(channel.members.values(), LISTED_DEFAULT)
            ],
        }
    }


def _existing(bus: Bus, name: str) -> Channel:
    channel = bus.channels.find(name)
    if channel is None:
        raise Refusal(
            "bus.no-such-channel",
            f"there is no channel {outside(name)} on this node: nobody is in it and nothing was published",
            field="channel",
            hint='{"type": "list_channels"}',
        )
    return channel


def _summary(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.shown,
        "room": channel.room,
        "channel": channel.leaf,
        "member_count": len(channel.members),
        "published": channel.published,
    }


LIST_CHANNELS: Final = Command(
    "list_channels",
    "The channels of this node, oldest first.",
    {"room": "only this room", "limit": f"1 to {LISTED_MAX}, default {LISTED_DEFAULT}"},
    _list_channels,
)
CHANNEL_INFO: Final = Command(
    "channel_info", "One channel and who is in it.", {"channel": "ROOM:CHANNEL"}, _channel_info
)
