"""What the bus knows of one connected client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arqonmesh.core.bus.channels import Channel
from arqonmesh.core.bus.envelope import SUBPROTOCOL_CBOR, SUBPROTOCOLS, Dialect
from arqonmesh.core.bus.identity import ANONYMOUS, Identity
from arqonmesh.core.bus.limits import ClientLimits
from arqonmesh.core.bus.profile import profile_of
from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.core.bus.replays import Replays
    from arqonmesh.core.bus.resume import Tail


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What the bridge saw at the handshake."""

    address: str = ""
    """HOST:PORT of the other end."""
    subprotocol: str = ""
    """The negotiated WebSocket sub-protocol; `arqon.v1` and `arqon.v1.cbor` speak canonical from the first frame."""
    name: str = ""
    """A name for people, from `?screen_name=` (or `?name=`) of the URL."""
    kind: str = ""
    """human, dashboard, ai-agent, service ..., from `?type=` of the URL."""
    personality: str = ""
    """In a few words, from `?personality=`."""
    avatar: str = ""
    """A picture's URL or an emoji, from `?avatar=`."""
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
        "cbor",
        "closing",
        "connected_ms",
        "dialect",
        "id",
        "identity",
        "info",
        "last_active_ms",
        "limits",
        "only",
        "paused",
        "profile",
        "published",
        "replays",
        "routes",
        "subscriptions",
        "tails",
        "told_of_expiry",
    )

    def __init__(self, wall_ms: int, client: ClientId, info: ClientInfo) -> None:
        self.id = client
        self.info = info
        self.identity = info.identity
        self.only = (client,)
        self.profile = profile_of(info.kind, info.name, info.personality, info.avatar)
        self.connected_ms = wall_ms
        self.last_active_ms = wall_ms
        self.dialect = Dialect.CANONICAL if info.subprotocol in SUBPROTOCOLS else Dialect.UNTOLD
        self.cbor = info.subprotocol == SUBPROTOCOL_CBOR
        """Its frames come as CBOR. What it is sent is JSON until the bridge."""
        self.subscriptions: dict[str, int] = {}
        """Channels and patterns, oldest first, each with the wall clock in milliseconds since when."""
        self.routes: dict[tuple[str, str, str], Route] = {}
        self.tails: tuple[Tail, ...] = ()
        """The channels whose past is being read for it; see resume.py."""
        self.replays: Replays | None = None
        """What it is sent again, of channels that it comes back to; see replays.py."""
        self.limits: ClientLimits | None = None
        """Its part in what its subject may use; None where there are no limits."""
        self.published = 0
        self.bad_in_a_row = 0
        self.paused = False
        self.closing = False
        self.told_of_expiry = False

    @property
    def tenant(self) -> str:
        return self.identity.tenant

    @property
    def subject(self) -> str:
        return self.identity.subject

    @property
    def canonical(self) -> bool:
        return self.dialect is Dialect.CANONICAL
