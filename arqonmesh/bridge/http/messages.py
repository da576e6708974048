"""Parameters and bodies of the endpoints. What is written here is what /openapi.json says and what is checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

HISTORY_LIMIT_DEFAULT = 50
HISTORY_LIMIT_MAX = 500
LISTING_LIMIT_DEFAULT = 100
LISTING_LIMIT_MAX = 1_000

ChannelName = Annotated[
    str,
    Meta(
        pattern=r"^([\w.@/+~#=-]{1,64}:)?[\w.@/+~#=-]{1,64}\Z",
        description="ROOM:CHANNEL; without a colon, a channel of room `default`.",
    ),
]
WallMs = Annotated[int, Meta(description="Wall clock, milliseconds since 1970.")]
Count = Annotated[int, Meta(ge=0)]


# --- parameters ---------------------------------------------------------------------------------------------


class Nothing(Struct, frozen=True):
    """No parameters."""


class HistoryQuery(Struct, frozen=True):
    """Which messages of which channel."""

    channel: ChannelName
    limit: Annotated[int, Meta(ge=1, le=HISTORY_LIMIT_MAX, description="At most so many; the newest.")] = (
        HISTORY_LIMIT_DEFAULT
    )
    since: Annotated[
        str,
        Meta(
            max_length=16_384,
            description="The first messages from there on, instead of the newest: milliseconds since 1970, ISO 8601, "
            "or a position {epoch: offset} as JSON.",
        ),
    ] = ""
    before: Annotated[
        str, Meta(max_length=16_384, description="The last messages before there, in the same forms.")
    ] = ""


class ListingQuery(Struct, frozen=True):
    """A part of a list."""

    room: Annotated[str, Meta(max_length=64, description="Only of this room; empty: of all.")] = ""
    limit: Annotated[int, Meta(ge=1, le=LISTING_LIMIT_MAX, description="At most so many.")] = LISTING_LIMIT_DEFAULT


class ClientsQuery(Struct, frozen=True):
    """A part of the list of clients."""

    limit: Annotated[int, Meta(ge=1, le=LISTING_LIMIT_MAX, description="At most so many.")] = LISTING_LIMIT_DEFAULT


class ChannelPath(Struct, frozen=True):
    channel: ChannelName


class ClientPath(Struct, frozen=True):
    client: Annotated[str, Meta(min_length=1, max_length=64, description="A client's id, `arq_...`.")]


class NewChannel(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel to be made."""

    channel: ChannelName


# --- answers ------------------------------------------------------------------------------------------------


class ErrorDetail(Struct, frozen=True):
    """Why not."""

    code: Annotated[str, Meta(description="Stable; `arqon explain CODE` says more.")]
    message: str
    hint: str = ""


class Failure(Struct, frozen=True):
    """Every answer of 400 and above."""

    error: ErrorDetail


class Index(Struct, frozen=True):
    service: str
    endpoints: list[str]


class OpenApi(Struct, frozen=True):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]


class Alive(Struct, frozen=True):
    status: Literal["alive"] = "alive"


class Ready(Struct, frozen=True):
    """not-ready while the node starts and while it drains."""

    status: Literal["ready", "not-ready"]


class Health(Struct, frozen=True):
    """degraded (200): a component that the bus can do without is not well. unhealthy (503): another one is not."""

    status: Literal["healthy", "degraded", "unhealthy"]
    components: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="By name: `ok`, `critical`, and what there is to know of the component."),
    ]


class Version(Struct, frozen=True):
    software: str
    version: str
    protocols: list[str] = []


class Status(Struct, frozen=True):
    """Everything that the node says of itself; grows with it. Who may not know it reads `Health` in its place."""

    node: dict[str, Any] = {}
    mesh: dict[str, Any] | None = None
    bus: dict[str, Any] = {}
    telemetry: dict[str, Any] = {}
    now_us: int = 0
    recorder: list[dict[str, Any]] = []


class History(Struct, frozen=True):
    channel: str
    count: Count
    history: Annotated[list[msgspec.Raw], Meta(description="Canonical frames of the bus, oldest first.")]


class ChannelFigures(Struct, frozen=True):
    channel: str
    room: str
    members: Annotated[
        Count | None, Meta(description="Clients of this node that joined it; null without the permission `presence`.")
    ]
    published: Annotated[Count, Meta(description="Messages since the node started.")]
    history: Annotated[Count, Meta(description="Messages kept in memory.")]
    created_ms: WallMs


class Channels(Struct, frozen=True):
    """The oldest channels; `total` counts those that do not fit, too."""

    total: Count
    channels: list[ChannelFigures]


class RoomFigures(Struct, frozen=True):
    """One room since it was first heard of; rates over the last whole span of ten seconds."""

    room: str
    messages: Count
    bytes: Count
    messages_per_s: float
    bytes_per_s: float
    publishers: Annotated[Count, Meta(description="Different ones in the last span.")]
    subscribers: Annotated[
        Count | None,
        Meta(
            description="Memberships at this node of those of its channels whose presence you may see; null: of none."
        ),
    ]
    last_ms: WallMs


class Rooms(Struct, frozen=True):
    """The rooms with most messages; `other` is the sum of those that have no figures of their own."""

    total: Count
    rooms: list[RoomFigures]
    other: RoomFigures


class ClientFigures(Struct, frozen=True):
    client: str
    type: str
    name: str
    address: str
    subject: str
    role: str
    tenant: str
    connected_ms: WallMs
    published: Count
    subscriptions: list[str]
    round_trip_us: Annotated[Count, Meta(description="Of its newest pong; 0 before the first.")]
    unsent_bytes: Annotated[Count, Meta(description="Waiting for it to read.")]


class Clients(Struct, frozen=True):
    total: Count
    clients: list[ClientFigures]


class ChannelMade(Struct, frozen=True):
    channel: str
    created: Annotated[bool, Meta(description="false: it was there already.")]
