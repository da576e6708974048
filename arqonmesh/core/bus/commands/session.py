"""ping, status, update_client, help."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.commands.request import Command, Request
from arqonmesh.core.bus.identity import same_bus
from arqonmesh.core.bus.profile import LENGTHS_MAX, changed
from arqonmesh.core.bus.stamps import iso
from arqonmesh.core.bus.tenants import outside

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client


def _ping(bus: Bus, request: Request) -> dict[str, Any]:
    return {"pong": True, "timestamp": bus.stamps.time.decode() + "Z"}


def _status(bus: Bus, request: Request) -> dict[str, Any]:
    partition = bus.partition
    return {
        "server": {"status": "running", "node": bus.env.node_id, "cluster": bus.env.cluster},
        **(_of_all(bus) if _oversees(request.client) else _of_its_bus(bus, request.client)),
        "cluster": {"nodes": bus.exchange.nodes + 1},
        "partition": None if partition is None else {"state": partition.state, "writable": partition.writable},
        "you": _record(request.client),
    }


def _of_all(bus: Bus) -> dict[str, Any]:
    return {
        "connections": {
            "active": bus.client_count,
            "total": bus.counters["clients"],
            "cluster": bus.client_count + len(bus.exchange.view),
        },
        "channels": len(bus.channels),
        "messages": {name: bus.counters[name] for name in ("published", "delivered", "imported", "private")},
    }


def _oversees(client: Client) -> bool:
    """What is counted over all tenants would tell others of them."""
    return client.identity.role == "admin" and not client.identity.tenant


def _of_its_bus(bus: Bus, client: Client) -> dict[str, Any]:
    """Of the client's own bus, as far as it sees it; messages of the channels that there are."""
    identity = client.identity
    active = sum(same_bus(other.identity, identity) for other in bus.clients.values())
    remote = sum(other.tenant == identity.tenant for other in bus.exchange.view.clients.values())
    listed, total = bus.channels.listing(identity, "", len(bus.channels))
    return {
        "connections": {"active": active, "cluster": active + remote},
        "channels": total,
        "messages": {"published": sum(channel.published for channel in listed)},
    }


def _record(client: Client) -> dict[str, Any]:
    """A client's record (R-BU-2), as it sees itself."""
    profile = client.profile
    return {
        "client_id": client.id,
        "type": profile.type,
        "screen_name": profile.screen_name,
        "personality": profile.personality,
        "avatar": profile.avatar,
        "connected_at": iso(client.connected_ms),
        "last_activity": iso(client.last_active_ms),
        "dialect": client.dialect.value,
        "subject": client.identity.subject,
        "role": client.identity.role,
        "tenant": client.identity.tenant,
        "published": client.published,
        "subscriptions": [outside(name) for name in islice(client.subscriptions, 256)],
    }


def _update_client(bus: Bus, request: Request) -> dict[str, Any]:
    args, client = request.args, request.client
    given = {
        "type": args.type,
        "screen_name": args.screen_name,
        "personality": args.personality,
        "avatar": args.avatar,
    }
    profile = changed(client.profile, given)
    if profile != client.profile:
        client.profile = profile
        bus.exchange.own.client_came(client)
    return {"success": True, "you": _record(client)}


def _help(bus: Bus, request: Request) -> dict[str, Any]:
    commands = [command.told() for command in bus.commands.values()]
    if request.args.name:
        commands = [one for one in commands if one["name"] == request.args.name] or commands
    return {
        "commands": commands,
        "event": {"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}},
        "room": {"type": "event", "channel": "telemetry:*", "payload": {"to": "everyone in the room"}},
        "private": {"type": "private", "to": ["arq_..."], "payload": {"text": "hello"}},
    }


PING: Final = Command("ping", "Is the bus there?", {}, _ping, example={"type": "ping"})
STATUS: Final = Command("status", "The bus as this client sees it, and its own record.", {}, _status)
UPDATE_CLIENT: Final = Command(
    "update_client",
    "Change what this client says of itself; what is not given stays.",
    {name: f"at most {most} characters; empty takes it away" for name, most in LENGTHS_MAX.items()},
    _update_client,
    example={"type": "command", "command": "update_client", "args": {"screen_name": "Ada", "type": "ai-agent"}},
)
HELP: Final = Command(
    "help", "The commands: what they take, the role they need, an example.", {"name": "only this command"}, _help
)
