"""Addresses on the bus: `room:channel`, in the spellings that clients use.

    {"room": "science", "channel": "explore"}     science:explore
    {"room": "science:explore"}                   science:explore
    {"channel": "science:explore"}                science:explore
    {"channel": "explore"}                        default:explore
    {"room": "science"}                           science:general

The channel field goes before the room field, and both before the client's first subscription. `*` stands for all:

| written          | a subscription to             | an event to                                         |
|------------------|-------------------------------|-----------------------------------------------------|
| `room:channel`   | that channel                  | that channel                                        |
| `room:*`         | every channel of the room     | everyone in any channel of the room, each once      |
| `*:channel`      | channels of this name in every room | refused                                       |
| `*`, `*:*`       | everything                    | refused                                             |

`*` stands for a whole room or channel, never for a part of a name. What a client hears by several subscriptions it
hears once. `default` and `general` are what `bus.names` says.
"""

from __future__ import annotations

import re
from typing import Final

from arqonmesh.config.model import RoomNames
from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.refusal import Refusal

USUAL: Final = RoomNames()
"""`default` and `general`; a node may call them otherwise, with `bus.names`."""
EVERYTHING: Final = "*"

_PART: Final = re.compile(r"[\w.@/+~#=-]{1,64}")
_FORM: Final = "letters, digits and any of . _ - @ / + ~ # =, at most 64 characters on each side of the colon"


def resolve(room: str, channel: str, names: RoomNames = USUAL) -> str:
    """The full `room:channel` of a non-empty room or channel field. Raises Refusal."""
    if mesh_room.is_meant(room, channel):
        raise mesh_room.reserved()
    name = _joined(room, channel, names)
    left, _, right = name.partition(":")
    if _PART.fullmatch(left) is None or _PART.fullmatch(right) is None:
        raise _refusal(room, channel, name)
    return name


def resolve_target(room: str, channel: str, names: RoomNames = USUAL) -> str:
    """As `resolve`, for an event: `room:*` is fine too, and means everyone in the room. Raises Refusal."""
    if channel != EVERYTHING and not channel.endswith(":*") and not (not channel and room.endswith(":*")):
        return resolve(room, channel, names)
    if mesh_room.is_meant(room, channel):
        raise mesh_room.reserved()
    name = _joined(room, channel, names) if room or channel != EVERYTHING else EVERYTHING
    left, _, right = name.partition(":")
    if _PART.fullmatch(left) is None or right != EVERYTHING:
        raise _refusal(room, channel, name)
    return name


def resolve_pattern(room: str, channel: str, names: RoomNames = USUAL) -> str:
    """As `resolve`, for a subscription: `room:*`, `*:channel`, `*` and `$mesh` are fine too. Raises Refusal."""
    if mesh_room.is_meant(room, channel):
        whole = (
            room if not channel else channel if channel.startswith(mesh_room.ROOM) else f"{mesh_room.ROOM}:{channel}"
        )
        return mesh_room.channel_meant(whole)
    if (room or EVERYTHING, channel or EVERYTHING) == (EVERYTHING, EVERYTHING):
        return EVERYTHING
    name = _joined(room, channel, names)
    if name == "*:*":
        return EVERYTHING
    left, _, right = name.partition(":")
    if any(part != EVERYTHING and _PART.fullmatch(part) is None for part in (left, right)):
        raise _refusal(room, channel, name)
    return name


def is_pattern(name: str) -> bool:
    """Whether this subscription takes more than one channel; as an event's target, a whole room."""
    return EVERYTHING in name


def _joined(room: str, channel: str, names: RoomNames) -> str:
    if channel:
        if ":" in channel:
            return channel
        return f"{room.partition(':')[0] or names.room}:{channel}"
    return room if ":" in room else f"{room}:{names.channel}"


def _refusal(room: str, channel: str, name: str) -> Refusal:
    field = "channel" if channel else "room"
    return Refusal(
        "bus.channel-name",
        f"{name[:160]!r} is not a channel; it needs to be ROOM:CHANNEL of {_FORM}",
        field=field,
        hint='{"type": "join", "channel": "telemetry:host"}',
    )
