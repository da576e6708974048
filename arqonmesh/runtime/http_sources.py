"""What HTTP says of this node, and what operators change by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import arqonmesh
from arqonmesh.bridge.auth.authenticator import is_loopback
from arqonmesh.bridge.http import HttpSources
from arqonmesh.bridge.http.messages import (
    ChannelFigures,
    Channels,
    ClientFigures,
    Clients,
    ClientsQuery,
    HistoryQuery,
    ListingQuery,
    Rooms,
)
from arqonmesh.core.bus.administration import create_channel, delete_channel
from arqonmesh.core.bus.identity import Identity, same_bus
from arqonmesh.core.bus.tenants import outside, tenant_of
from arqonmesh.ids import ClientId
from arqonmesh.runtime import metrics
from arqonmesh.runtime.history import page_for
from arqonmesh.runtime.status import everything

if TYPE_CHECKING:
    from arqonmesh.runtime.service import Service

PROTOCOLS = ("arqon.v1", "ArqonBus/1.0")
SUBSCRIPTIONS_TOLD = 32
NORMAL_CLOSURE = 1000


def oversees(service: Service, identity: Identity) -> bool:
    """Whether this client may know what happens on all buses of the node: an admin without a tenant, and whoever
    reaches a loopback address of which nobody said who may use it."""
    if identity.tenant:
        return False
    if identity.via == "anonymous":
        return not service.authenticator.configured and is_loopback(service.config.listen.http.rpartition(":")[0])
    return identity.at_least("admin")


def sources_of(service: Service, ready: Callable[[], bool]) -> HttpSources:
    """Of a service that is built, whether it runs or not."""
    bus, server = service.node.bus, service.bus

    def history(identity: Identity, query: HistoryQuery) -> Awaitable[list[bytes]]:
        return page_for(bus, service.history, identity, query.channel, query.limit, query.since, query.before)

    def channels(identity: Identity, query: ListingQuery) -> Channels:
        found, total = bus.channels.listing(identity, query.room, query.limit)
        may = bus.permissions.may
        return Channels(
            total,
            [
                ChannelFigures(
                    channel=channel.shown,
                    room=channel.room,
                    members=len(channel.members) if may(identity, "presence", channel.name) else None,
                    published=channel.published,
                    history=len(channel.ring.frames),
                    created_ms=channel.created_ms,
                )
                for channel in found
            ],
        )

    def sees(identity: Identity, home: str) -> bool:
        return bus.permissions.unrestricted(identity) or any(
            bus.permissions.may_see(identity, channel.name) for channel in bus.channels.in_room(home)
        )

    def rooms(identity: Identity, query: ListingQuery) -> Rooms:
        other = oversees(service, identity)
        return service.figures.rooms(
            identity.tenant,
            query.room,
            query.limit,
            partial(sees, identity),
            counts=partial(bus.permissions.may, identity, "presence"),
            other=other,
        )

    def exposition(identity: Identity | None) -> bytes:
        from arqonmesh.observe.collectors import Exposition  # 2 MB, for a node whose metrics somebody reads

        if identity is None:
            return Exposition(partial(metrics.samples, service, lambda home: False)).render()
        if oversees(service, identity):
            return Exposition(partial(metrics.samples, service)).render()

        def may_know(home: str) -> bool:
            return tenant_of(home) == identity.tenant and sees(identity, home)

        counts = partial(bus.permissions.may, identity, "presence")
        return Exposition(partial(metrics.samples, service, may_know, counts)).render()

    def status(identity: Identity | None) -> dict[str, object] | None:
        return everything(service) if identity is not None and oversees(service, identity) else None

    def clients(identity: Identity, query: ClientsQuery) -> Clients:
        seen = [client for client in bus.clients.values() if not identity.tenant or same_bus(client.identity, identity)]
        return Clients(
            len(seen),
            [
                ClientFigures(
                    client=client.id,
                    type=client.profile.type,
                    name=client.profile.screen_name,
                    address=client.info.address,
                    subject=client.identity.subject,
                    role=client.identity.role,
                    tenant=client.identity.tenant,
                    connected_ms=client.connected_ms,
                    published=client.published,
                    subscriptions=[outside(name) for name in list(client.subscriptions)[:SUBSCRIPTIONS_TOLD]],
                    round_trip_us=server.round_trip_us(client.id),
                    unsent_bytes=server.unsent_bytes_of(client.id),
                )
                for client in seen[: query.limit]
            ],
        )

    def delete(identity: Identity, channel: str) -> bool:
        now = service.host.now()
        found, effects = delete_channel(bus, now, identity, channel)
        service.host.perform(service.node.bus_did(now, effects))
        return found

    def create(identity: Identity, channel: str) -> tuple[str, bool]:
        now = service.host.now()
        made = create_channel(bus, now, identity, channel)
        service.host.perform(service.node.bus_did(now, []))
        return made

    def disconnect(identity: Identity, client: str) -> bool:
        found = bus.clients.get(ClientId(client))
        if found is None or (identity.tenant and not same_bus(found.identity, identity)):
            return False
        server.close_client(found.id, NORMAL_CLOSURE, "closed by an operator")
        return True

    return HttpSources(
        health=service.probes.read,
        ready=ready,
        version=lambda: {"version": arqonmesh.__version__, "software": "arqonmesh", "protocols": PROTOCOLS},
        status=status,
        metrics=exposition,
        history=history,
        channels=channels,
        rooms=rooms,
        clients=clients,
        create_channel=create,
        delete_channel=delete,
        disconnect=disconnect,
    )
