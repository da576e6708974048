"""Where the answers come from: the seam between this room and the runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from arqonmesh.bridge.http.messages import (
    Channels,
    Clients,
    ClientsQuery,
    HistoryQuery,
    ListingQuery,
    Rooms,
)
from arqonmesh.core.bus.identity import Identity

Frames: TypeAlias = Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSources:
    """All are called on the event loop and answer at once, `history` alone may take its time. An ArqonError that one
    raises is answered with 400, 403 or 404 by its kind, anything else with 500."""

    health: Callable[[], Mapping[str, Mapping[str, Any]]]
    """Per component {"ok": bool, ...}; `critical: False` is one that the bus can do without."""
    ready: Callable[[], bool]
    """False while starting and while draining."""
    version: Callable[[], Mapping[str, Any]]
    status: Callable[[Identity | None], Mapping[str, Any] | None]
    """Everything, for an operator; None for others. Their identity is None where the bus would not let them in."""
    metrics: Callable[[Identity | None], bytes]
    """Prometheus text format 0.0.4; what happens in rooms that this client may not see is one sum without names."""
    history: Callable[[Identity, HistoryQuery], Frames | Awaitable[Frames]]
    """Canonical frames of a channel, oldest first, as far as this client may read them."""
    channels: Callable[[Identity, ListingQuery], Channels]
    rooms: Callable[[Identity, ListingQuery], Rooms]
    clients: Callable[[Identity, ClientsQuery], Clients]
    create_channel: Callable[[Identity, str], tuple[str, bool]]
    """(the full name, whether it is new)."""
    delete_channel: Callable[[Identity, str], bool]
    """False when there is none."""
    disconnect: Callable[[Identity, str], bool]
    """Close a client's connection; False when there is none."""
