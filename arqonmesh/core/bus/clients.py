"""What the bus knows of one connected client."""

from __future__ import annotations

from dataclasses import dataclass

from arqonmesh.core.bus.channels import Channel
from arqonmesh.core.bus.envelope import SUBPROTOCOLS, Dialect
from arqonmesh.core.bus.identity import ANONYMOUS, Identity
from arqonmesh.core.bus.ratelimit import TokenBucket
from arqonmesh.core.kernel import Instant
from arqonmesh.ids import ClientId


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What the bridge saw at the handshake."""

    address: str = ""
    """HOST:PORT of the other end."""
    subprotocol: str = ""
    """The negotiated WebSocket sub-protocol; `arqon.v1` and `arqon.v1.cbor` speak canonical from the first frame."""
    name: str = ""
    """A name for people, from `?name=` of the URL."""
    kind: str = ""
    """human, dashboard, ai-agent, service ..., from `?type=` of the URL."""
    identity: Identity = ANONYMOUS
    """What its token, key or the configuration says of it; `Client.identity` is what counts later."""


class Route:
    """Where one (type, room, channel) of a client's frames leads, worked out once."""

    __slots__ = ("channel", "legacy_where", "middle")

    def __init__(self, channel: Channel, middle: bytes, legacy_where: bytes) -> None:
        self.channel = channel
        self.middle = middle
        self.legacy_where = legacy_where


class Client:
    """One client. Its subscriptions live in `Channels`, which keeps both directions."""

    __slots__ = (
        "bad_in_a_row",
        "bucket",
        "closing",
        "connected_ms",
        "dialect",
        "id",
        "identity",
        "info",
        "only",
        "paused",
        "published",
        "routes",
        "subscriptions",
    )

    def __init__(self, now: Instant, wall_ms: int, client: ClientId, info: ClientInfo, rate_per_s: int) -> None:
        self.id = client
        self.info = info
        self.identity = info.identity
        self.only = (client,)
        self.connected_ms = wall_ms
        self.dialect = Dialect.CANONICAL if info.subprotocol in SUBPROTOCOLS else Dialect.UNTOLD
        self.subscriptions: dict[str, None] = {}
        """Channels and patterns, oldest first."""
        self.routes: dict[tuple[str, str, str], Route] = {}
        self.bucket = TokenBucket(now, rate_per_s) if rate_per_s else None
        self.published = 0
        self.bad_in_a_row = 0
        self.paused = False
        self.closing = False

    @property
    def canonical(self) -> bool:
        return self.dialect is Dialect.CANONICAL
