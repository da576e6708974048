"""The seam between the QUIC driver and the runtime: what the endpoint offers, and whom it tells.

The endpoint knows addresses, certificates and bytes. It decides nothing about the mesh: whether a node may
link is asked through `Authority`, and every authenticated frame goes to `Listener` undecoded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from arqonmesh.core.kernel import Lane
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinReject, JoinRequest


class Authority(Protocol):
    """Asked by the endpoint during a handshake; answers from the roster, at once."""

    @property
    def mesh_id(self) -> MeshId | None:
        """None while this node belongs to no mesh: mesh connections are then refused."""

    def refuse_member(self, node: NodeId, public_key: bytes) -> str | None:
        """None when this node may link; else the reason's code ("unknown-key", "evicted", "ignored")."""

    def known_host(self, host: str) -> bool:
        """Whether a member's record tells this literal IP address as its own. A name in a record is not looked up."""

    def join_offer(self) -> JoinOffer | None:
        """What a joiner is told first; None: no joining here."""

    async def admit(self, request: JoinRequest, node: NodeId, channel_binding: bytes) -> JoinAccept | JoinReject:
        """Judge a join request. Returns once an admission is on disk: what is accepted is never forgotten."""


class Listener(Protocol):
    """Told by the endpoint, on the event loop, never re-entrantly from within a call to the endpoint."""

    def link_up(self, peer: NodeId, link: LinkInfo) -> None: ...
    def link_down(self, peer: NodeId, reason: str) -> None: ...
    def frame(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        """One complete encoded message."""

    def tick(self) -> None:
        """All datagrams of one readable event have been handed over; what was queued by now may share a batch."""

    def refused(self, reason: str, address: str, sentence: str) -> None:
        """A connection was refused before it became a link; count it. `reason` is a code, `sentence` says it in words
        where there is more to say."""


@dataclass(slots=True)
class LinkInfo:
    """One link as the driver sees it, updated in place."""

    peer: NodeId
    address: str
    transport: str
    outbound: bool
    software: str = ""
    srtt_us: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    unsent_bytes: int = 0
    packets_lost: int = 0
    packets_sent: int = 0


@dataclass(slots=True)
class DialInfo:
    """One wish for a link, as `arqon link ls` shows it."""

    address: str
    peer: NodeId | None
    state: Literal["dialling", "waiting", "up", "given-up"]
    attempt: int = 0
    last_error: str = ""
    next_try_in_s: float | None = None
    addresses: tuple[str, ...] = field(default=())


class Endpoint(Protocol):
    """One UDP socket for dialling and listening."""

    @property
    def address(self) -> tuple[str, int]: ...

    def send(self, peer: NodeId, lane: Lane, data: bytes) -> bool:
        """Queue one encoded message; False when there is no link or the lane's bound is reached (counted)."""

    def backlog(self, peer: NodeId) -> int:
        """Bytes queued for this peer and not yet handed to QUIC."""

    def want(self, peer: NodeId | None, addresses: tuple[str, ...]) -> None:
        """Dial for ever until it is up, and again whenever it falls; repeats are harmless."""

    def forget(self, peer: NodeId | None, address: str | None = None) -> None: ...
    def disconnect(self, peer: NodeId, reason: str) -> None: ...
    def links(self) -> dict[NodeId, LinkInfo]: ...
    def dials(self) -> list[DialInfo]: ...
    async def join(self, address: str, build: JoinBuilder, *, timeout_s: float) -> tuple[JoinOffer, JoinAccept]:
        """Dial with the join protocol. Raises PeerError, Denied (a JoinReject's code and sentence) or TimedOut."""

    async def close(self, reason: str) -> None: ...


class JoinBuilder(Protocol):
    """Makes the request once the offer and the channel binding are known."""

    def __call__(self, offer: JoinOffer, channel_binding: bytes) -> JoinRequest: ...
