"""What the mesh tells this node's clients: notices to all, and the room `$mesh` to those who asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arqonmesh.core.bus import mesh_room
from arqonmesh.core.bus.presence import to_each_dialect
from arqonmesh.core.events import PartitionChanged
from arqonmesh.core.kernel import Effect

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


def partition_changed(bus: Bus, event: PartitionChanged) -> list[Effect]:
    before, bus.partition = bus.partition, event
    told = to_mesh_room(bus, mesh_room.partition_payload(event, bus.cluster_of))
    if before is not None and (before.state, before.writable) == (event.state, event.writable):
        return told
    payload = {
        "event": "partition",
        "state": event.state,
        "writable": event.writable,
        "reachable": event.reachable,
        "required": event.required,
    }
    return [*to_each_dialect(bus.stamps, list(bus.clients.values()), payload), *told]


def tell_mesh_state(bus: Bus, client: Client) -> list[Effect]:
    """What is the case now, for one that has just subscribed to `$mesh`."""
    return _in_mesh_room(bus, [client], mesh_room.partition_payload(bus.partition, bus.cluster_of))


def to_mesh_room(bus: Bus, payload: dict[str, Any]) -> list[Effect]:
    """To those who subscribed to `$mesh`, whatever other patterns take."""
    channel = bus.channels.find(mesh_room.NAME)
    return [] if channel is None else _in_mesh_room(bus, list(channel.members.values()), payload)


def _in_mesh_room(bus: Bus, clients: list[Client], payload: dict[str, Any]) -> list[Effect]:
    room, _, leaf = mesh_room.NAME.partition(":")
    return list(to_each_dialect(bus.stamps, clients, payload, room=room, channel=leaf, kind="event"))
