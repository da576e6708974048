"""ping, status, help."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.core.bus.commands.request import Command, Request
from arqonmesh.core.bus.tenants import outside

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus


def _ping(bus: Bus, request: Request) -> dict[str, Any]:
    return {"pong": True, "timestamp": bus.stamps.time.decode() + "Z"}


def _status(bus: Bus, request: Request) -> dict[str, Any]:
    client = request.client
    partition = bus.partition
    return {
        "server": {"status": "running", "node": bus.env.node_id, "cluster": bus.env.cluster},
        "connections": {"active": bus.client_count, "total": bus.counters["clients"]},
        "channels": len(bus.channels),
        "messages": {name: bus.counters[name] for name in ("published", "delivered", "imported", "private")},
        "partition": None if partition is None else {"state": partition.state, "writable": partition.writable},
        "you": {
            "client_id": client.id,
            "dialect": client.dialect.value,
            "subject": client.identity.subject,
            "role": client.identity.role,
            "tenant": client.identity.tenant,
            "published": client.published,
            "subscriptions": [outside(name) for name in islice(client.subscriptions, 256)],
        },
    }


def _help(bus: Bus, request: Request) -> dict[str, Any]:
    return {
        "commands": [
            {"name": command.name, "description": command.help, "parameters": command.args}
            for command in bus.commands.values()
        ],
        "event": {"type": "event", "channel": "telemetry:host", "payload": {"load": 0.5}},
        "private": {"type": "private", "to": ["arq_..."], "payload": {"text": "hello"}},
    }


PING: Final = Command("ping", "Is the bus there?", {}, _ping)
STATUS: Final = Command("status", "The bus as this client sees it.", {}, _status)
HELP: Final = Command("help", "The commands, and what they take.", {}, _help)
