"""The clients of this node's bus, as the core and the WebSocket server know them together."""

from __future__ import annotations

from itertools import islice
from typing import Final

from arqonmesh.api.node_views import BusClientView
from arqonmesh.bridge.server import BusServer
from arqonmesh.core.bus.bus import Bus
from arqonmesh.core.bus.tenants import outside

CLIENTS_MAX: Final = 1_000
ROOMS_MAX: Final = 32


def client_views(bus: Bus, server: BusServer, *, slow: bool) -> tuple[tuple[BusClientView, ...], int]:
    """The longest queues first, at most `CLIENTS_MAX`, and how many clients are connected."""
    looks = [look for look in server.looks() if look.slow_ms or not slow]
    looks.sort(key=lambda look: (-look.queue_bytes, look.client))
    views = []
    for look in looks[:CLIENTS_MAX]:
        client = bus.clients.get(look.client)
        if client is None:
            continue
        identity = client.identity
        views.append(
            BusClientView(
                id=client.id,
                address=look.address,
                name=client.profile.screen_name,
                kind=client.profile.type,
                subject=identity.subject,
                role=identity.role,
                tenant=identity.tenant,
                via=identity.via,
                rooms=tuple(outside(name) for name in islice(client.subscriptions, ROOMS_MAX)),
                subscriptions=len(client.subscriptions),
                published=client.published,
                in_per_s=look.in_per_s,
                out_bytes_per_s=look.out_bytes_per_s,
                queue_bytes=look.queue_bytes,
                dropped=look.lost,
                since_ms=client.connected_ms,
                slow_ms=look.slow_ms,
            )
        )
    return tuple(views), bus.client_count
