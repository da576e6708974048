"""Clients come and go: the welcome, the limit, and what is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus import limits, mesh_room
from arqonmesh.core.bus.answers import say
from arqonmesh.core.bus.clients import Client, ClientInfo
from arqonmesh.core.bus.credentials import watch
from arqonmesh.core.bus.names import is_pattern
from arqonmesh.core.bus.presence import notice
from arqonmesh.core.events import ClientCame, ClientWent, Dropped
from arqonmesh.core.kernel import CloseClient, Effect, Emit, Instant
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

TRY_AGAIN_LATER: Final = 1013


def connect(bus: Bus, now: Instant, client: ClientId, info: ClientInfo) -> list[Effect]:
    """Welcome a client, or close it with 1013 when there are `clients_max` already."""
    if client in bus.clients:
        return []
    if len(bus.clients) >= bus.settings.clients_max:
        reason = f"{len(bus.clients)} clients are connected, which is all that bus.clients_max allows"
        dropped = Dropped("bus", "clients-max", 1, info.address)
        return [CloseClient(client, TRY_AGAIN_LATER, reason), Emit(dropped)]
    connected = Client(bus.wall_ms, client, info)
    if reason := limits.enter(bus, now, connected, info.identity):
        bus.counters["turned_away"] += 1
        dropped = Dropped("bus", limits.CONNECTIONS_FULL.removeprefix("bus."), 1, info.address)
        return [CloseClient(client, TRY_AGAIN_LATER, reason), Emit(dropped)]
    bus.clients[client] = connected
    bus.exchange.own.client_came(connected)
    watch(bus, now, connected)
    bus.counters["clients"] += 1
    payload = {
        "welcome": "Connected to ArqonMesh",
        "client_id": client,
        "node": bus.env.node_id,
        "cluster": bus.env.cluster,
        "frame_bytes_max": bus.settings.frame_bytes_max,
    }
    return [
        say(bus, connected, "system" if connected.canonical else "message", payload),
        Emit(ClientCame(client, connected.profile.type, connected.profile.screen_name, connected.tenant)),
    ]


def disconnect(bus: Bus, now: Instant, client: ClientId) -> list[Effect]:
    """Forget a client, and tell those who shared its channels. Repeats are harmless."""
    gone = bus.clients.pop(client, None)
    if gone is None:
        return []
    bus.paused.pop(client, None)
    bus.credentials.forget(client)
    limits.leave(bus, now, gone)
    said = gone.profile
    effects: list[Effect] = [Emit(ClientWent(client, said.type, said.screen_name, gone.published, gone.tenant))]
    for name in list(gone.subscriptions):
        bus.channels.unsubscribe(gone, name)
        if not is_pattern(name) and name != mesh_room.NAME:
            effects.extend(notice(bus, name, gone, "left"))
    bus.exchange.own.client_went(gone)
    return effects
