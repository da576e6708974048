"""create_channel, delete_channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.channels import Channel
from arqonmesh.core.bus.cluster.calls import call_delete
from arqonmesh.core.bus.commands.request import CHANNEL, Command, Request
from arqonmesh.core.bus.presence import NOTICE_MEMBERS_MAX, to_each_dialect
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.tenants import outside
from arqonmesh.core.kernel import Effect, ForgetHistory

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus


def _create(bus: Bus, request: Request) -> dict[str, Any]:
    name = request.target()
    bus.permissions.check(request.client.identity, "create", name)
    existed = bus.channels.find(name) is not None or bus.exchange.view.has(name)
    channel = bus.channels.obtain(name, bus.wall_ms)
    if not channel.kept:
        channel.kept = True
        bus.exchange.own.kept(name, channel.created_ms)
    if not existed:
        _tell_room(bus, request, channel)
    return {"success": True, "channel": channel.shown, "channel_id": channel.shown, "created": not existed}


def _tell_room(bus: Bus, request: Request, channel: Channel) -> None:
    """Those in other channels of the room hear that there is a new one; not in a room that is too large for it."""
    here = {member.id: member for other in bus.channels.in_room(channel.home) for member in other.members.values()}
    here.pop(request.client.id, None)
    members = [member for member in here.values() if bus.permissions.may_see(member.identity, channel.name)]
    if not members or len(members) > NOTICE_MEMBERS_MAX:
        return
    payload = {"event": "channel_created", "channel": channel.shown, "client_id": request.client.id}
    request.effects.extend(to_each_dialect(bus.stamps, members, payload, room=channel.room, channel=channel.leaf))


def _delete(bus: Bus, request: Request) -> dict[str, Any]:
    name = request.target()
    bus.permissions.check(request.client.identity, "delete", name)
    channel = bus.channels.find(name)
    if channel is None and not bus.exchange.view.has(name):
        raise Refusal(
            "bus.no-such-channel",
            f"there is no channel {outside(name)} in this cluster",
            field="channel",
            hint='{"type": "list_channels"}',
        )
    if channel is not None and channel.fixed:
        raise Refusal(
            "bus.channel-fixed",
            f"{outside(name)} is named in bus.rooms, so it stays",
            field="channel",
            hint="take it out of bus.rooms in arqon.yaml and restart the node",
        )
    members = (0 if channel is None else len(channel.members)) + len(bus.exchange.view.members(name))
    end_channel(bus, name, request.client.id, request.effects)
    if not bus.exchange.alone:
        request.effects.append(call_delete(name, request.client.id))
    return {"success": True, "channel": outside(name), "channel_id": outside(name), "members_removed": members}


def end_channel(bus: Bus, name: str, by: str, effects: list[Effect]) -> None:
    """End a channel of this node, with its history; its members are told and are in it no longer."""
    channel = bus.channels.find(name)
    if channel is None or channel.fixed:
        return
    payload = {"event": "channel_deleted", "channel": channel.shown, "client_id": by}
    members = [member for member in channel.members.values() if member.id != by]
    effects.extend(to_each_dialect(bus.stamps, members, payload, room=channel.room, channel=channel.leaf))
    kept = channel.kept
    bus.channels.delete(channel)
    if bus.env.durable:
        effects.append(ForgetHistory(name))
    if kept:
        bus.exchange.own.unkept(name)


CREATE: Final = Command(
    "create_channel",
    "Make a channel that stays without members; the others in its room are told.",
    {"channel": CHANNEL},
    _create,
    role="user",
    action="create",
    example={"type": "create_channel", "channel": "telemetry:host"},
)
DELETE: Final = Command(
    "delete_channel",
    "End a channel on every node of the cluster: its members are told and are in it no longer.",
    {"channel": CHANNEL},
    _delete,
    role="admin",
    action="delete",
    example={"type": "delete_channel", "channel": "telemetry:host"},
)
