"""list_channels, channel_info: what this node and the others of its cluster have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.channels import Channel
from arqonmesh.core.bus.commands.request import CHANNEL, Command, Request
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.names import EVERYTHING
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.stamps import iso
from arqonmesh.core.bus.tenants import inside, outside
from arqonmesh.ids import NodeId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client
    from arqonmesh.core.bus.cluster.view import Remote

LISTED_DEFAULT: Final = 100
LISTED_MAX: Final = 1_000


def _list_channels(bus: Bus, request: Request) -> dict[str, Any]:
    limit = request.limit(LISTED_DEFAULT, LISTED_MAX)
    identity = request.client.identity
    room = (request.args.room or request.room).partition(":")[0]
    listed, total = bus.channels.listing(identity, room, limit)
    summaries = [_summary(bus, identity, channel.name, channel) for channel in listed]
    elsewhere = bus.exchange.view.names(identity.tenant, inside(identity.tenant, room) if room else "")
    for name in elsewhere:
        if bus.channels.find(name) is None and bus.permissions.may_see(identity, name):
            total += 1
            if len(summaries) < limit:
                summaries.append(_summary(bus, identity, name, None))
    return {"channels": summaries, "total": total, "returned": len(summaries)}


def _channel_info(bus: Bus, request: Request) -> dict[str, Any]:
    name = request.target(pattern=True)
    if name == mesh_room.NAME:  # clients of all tenants are in it
        raise mesh_room.reserved()
    if name.endswith(f":{EVERYTHING}"):
        return _room_info(bus, request, name.removesuffix(f":{EVERYTHING}"))
    if EVERYTHING in name:
        name = request.target()  # says what is wrong with it
    bus.permissions.check(request.client.identity, "presence", name)
    channel = bus.channels.find(name)
    view = bus.exchange.view
    if channel is None and not view.has(name):
        raise Refusal(
            "bus.no-such-channel",
            f"there is no channel {outside(name)} in this cluster: nobody is in it and nothing was published",
            field="channel",
            hint='{"type": "list_channels"}',
        )
    times = [*([] if channel is None else [channel.created_ms]), view.created_ms(name)]
    return {
        "channel": {
            **_summary(bus, request.client.identity, name, channel),
            "created_at": iso(min([time for time in times if time], default=0)),
            "history": 0 if channel is None else len(channel.ring.frames),
            "members": list(islice(_members(bus, name), request.limit(LISTED_DEFAULT, LISTED_MAX))),
        }
    }


def _room_info(bus: Bus, request: Request, room: str) -> dict[str, Any]:
    """Who is in any channel of the room, each once; of the channels whose presence this client may see."""
    identity, view = request.client.identity, bus.exchange.view
    names = dict.fromkeys([channel.name for channel in bus.channels.in_room(room)])
    names.update(dict.fromkeys(view.names(identity.tenant, room)))
    seen = [name for name in names if bus.permissions.may(identity, "presence", name)]
    if not seen:
        raise Refusal(
            "bus.no-such-channel",
            f"there is no channel in the room {outside(room)} of which this client may know",
            field="room",
            hint='{"type": "list_channels"}',
        )
    members: dict[str, dict[str, Any]] = {}
    for name in seen:
        for member in _members(bus, name):
            known = members.setdefault(member["client_id"], member)
            known["since"] = min(known["since"], member["since"])
    limit = request.limit(LISTED_DEFAULT, LISTED_MAX)
    return {
        "room": {
            "room": outside(room),
            "channels": [outside(name) for name in seen[:limit]],
            "channel_count": len(seen),
            "member_count": len(members),
            "members": list(islice(members.values(), limit)),
        }
    }


def _members(bus: Bus, name: str) -> Iterator[dict[str, Any]]:
    """Presence: who, what they say of themselves, since when, at which node."""
    channel = bus.channels.find(name)
    if channel is not None:
        for client in channel.members.values():
            yield _member(client, client.subscriptions[name], bus.env.node_id)
    for remote in bus.exchange.view.members(name).values():
        yield _member(remote, remote.channels[name], remote.node)


def _member(who: Client | Remote, since_ms: int, node: NodeId) -> dict[str, Any]:
    told = {"client_id": who.id, "name": "", "type": "", **who.profile.shown()}
    return {**told, "since": iso(since_ms), "node": node}


def _summary(bus: Bus, identity: Identity, name: str, channel: Channel | None) -> dict[str, Any]:
    """`published` counts at this node; 0 for a channel that only other nodes of the cluster have. `member_count` is
    presence: without the permission for it, it is left out."""
    shown = outside(name)
    room, _, leaf = shown.partition(":")
    told = {"id": shown, "room": room, "channel": leaf, "published": 0 if channel is None else channel.published}
    if bus.permissions.may(identity, "presence", name):
        here = 0 if channel is None else len(channel.members)
        told["member_count"] = here + len(bus.exchange.view.members(name))
    return told


LIST_CHANNELS: Final = Command(
    "list_channels",
    "The channels of this cluster that the client may see, those of this node first, oldest first.",
    {"room": "only this room", "limit": f"1 to {LISTED_MAX}, default {LISTED_DEFAULT}"},
    _list_channels,
    example={"type": "list_channels", "limit": 10},
)
CHANNEL_INFO: Final = Command(
    "channel_info",
    "One channel, or a room as `ROOM:*`, and who is in it, in the whole cluster.",
    {"channel": CHANNEL, "limit": f"members to show, 1 to {LISTED_MAX}, default {LISTED_DEFAULT}"},
    _channel_info,
    action="presence",
    example={"type": "channel_info", "channel": "telemetry:host"},
)
