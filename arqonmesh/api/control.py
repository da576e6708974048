"""What a running node does for those who control it. The gRPC service speaks to this and nothing else.

The runtime implements `NodeControl`; every method answers with plain data and raises ArqonError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec


class IgnoredView(msgspec.Struct, frozen=True, kw_only=True):
    """Why and since when this node ignores a member: its operator's ban, a proof, or what it has seen itself."""

    cause: str
    """As in the timeline of `arqon peer show`: banned, equivocation, ..."""
    at_ms: int
    """Wall clock, milliseconds; 0 when the timeline does not reach back so far."""
    reason: str = ""
    """What the operator wrote, or what the proof is, in a few words."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    cluster: str
    role: str
    region: str
    state: str
    """alive, suspect, dead or left, as this node sees it."""
    incarnation: int = 0
    addresses: tuple[str, ...] = ()
    software: str = ""
    self_: bool = msgspec.field(default=False, name="self")
    ignored: IgnoredView | None = None
    """This node ignores it; its other word, `state`, is about whether it lives."""
    refused: str = ""
    """Why no link with it can be: link.version, it speaks another version of the protocol."""


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """A link anywhere in the mesh, from the members' own records; figures of this node's links are live."""

    a: str
    b: str
    state: str
    transport: str
    rtt_ms: float | None
    loss: float | None = 0.0
    """None as the round trip is: of a link that is down nothing is measured, and what was says nothing any more."""
    bytes_per_s: float = 0.0
    """Both directions; known for this node's own links only."""
    backlog: int = 0
    """Messages held for the other side, known for this node's own links only."""
    mine: bool = False


class MissingView(msgspec.Struct, frozen=True, kw_only=True):
    """A member that cannot be reached from here, and since when (wall clock, milliseconds)."""

    node: str
    since_ms: int


class PartitionView(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the mesh this node reaches. `required` of `voters` make a quorum; `votes` of them are reached."""

    state: str
    writable: bool
    reachable: int
    required: int
    members: int
    preset: str
    phase: str = "healthy"
    """healthy, suspect, partitioned or healing."""
    votes: int = 0
    voters: int = 0
    missing: tuple[MissingView, ...] = ()
    """Longest missing first; how many more there are is in `missing_more`."""
    missing_more: int = 0
    votes_ignored: int = 0
    """Votes that could be reached and do not count, because this node ignores those members."""

    @property
    def by_ignoring(self) -> bool:
        """It is for this alone that there is no quorum: nothing is cut."""
        return self.votes < self.required <= self.votes + self.votes_ignored


class MeshView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    id: str
    health: str
    root: str = ""
    """Hash over all statement heads; equal on two nodes when their records are equal."""


class RegionSummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """A region as one of its leaders tells it, signed."""

    by: str
    term: int
    leaders: tuple[str, ...]
    alive: int
    suspect: int
    dead: int
    clusters: tuple[str, ...]
    software: dict[str, int]
    root: str


class RegionView(msgspec.Struct, frozen=True, kw_only=True):
    """A region as this node counts it, and what its leaders tell."""

    name: str
    leaders: tuple[str, ...]
    """Best first; empty when nobody of it is alive."""
    alive: int
    suspect: int
    dead: int
    clusters: tuple[str, ...]
    software: dict[str, int]
    """Version to the number of members that run it."""
    self_: bool = msgspec.field(default=False, name="self")
    """This node is of the region."""
    summary: RegionSummaryView | None = None
    """None in a mesh of one region, and until a leader has published."""


class PeerClusterView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    peers: int
    rtt_ms: float
    """Median."""


class SelectionView(msgspec.Struct, frozen=True, kw_only=True):
    """Whom this node prefers, and among whom it chose."""

    strategy: str
    chosen: tuple[str, ...] = ()
    clusters: tuple[PeerClusterView, ...] = ()
    gain: float = 0.0
    """How much shorter the mean round trip to the chosen is than to all; below 0 when it is longer."""
    rebalances: int = 0


class MatrixNodeView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    cluster: str
    region: str
    state: str


class MatrixCellView(msgspec.Struct, frozen=True, kw_only=True):
    """One pair, a < b. `loss` is None where the round trip is a guess."""

    a: str
    b: str
    rtt_ms: float
    loss: float | None
    measured: bool


class MatrixView(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon mesh matrix`. Pairs of which nothing is known are left out."""

    self_: str = msgspec.field(name="self")
    nodes: tuple[MatrixNodeView, ...]
    cells: tuple[MatrixCellView, ...]


class HopView(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a way, with the round trip to it from the node before; None before it is measured. `kept_off` says
    why it is a last resort or not used at all for what is meant for others: convicted, ignored or hold-down; empty when
    it carries."""

    id: str
    cluster: str
    rtt_ms: float | None
    kept_off: str


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon mesh route`. `hops` end with `to`, and are empty when no way leads there; `otherwise` is the way that
    would be taken if everybody carried, where that is another one. `link` is the state of this node's own link with
    `to`, as `arqon link ls` tells it, empty where there is none and none is wished; `link_why` why it is not up.
    `shorter` is a way whose round trips are shorter than that of the link: what is for a neighbour leaves on its own
    link all the same."""

    to: str
    cluster: str
    state: str
    policy: str
    hops: tuple[HopView, ...]
    otherwise: tuple[HopView, ...]
    link: str = ""
    link_why: str = ""
    shorter: tuple[HopView, ...] = ()


class BusClientView(msgspec.Struct, frozen=True, kw_only=True):
    """A client of this node's bus."""

    id: str
    address: str
    name: str
    kind: str
    subject: str
    role: str
    tenant: str
    via: str
    """anonymous, token, jwt, or key:PREFIX."""
    rooms: tuple[str, ...]
    """Subscriptions, oldest first, at most 32."""
    subscriptions: int
    published: int
    in_per_s: float
    """Frames, since the last look."""
    out_bytes_per_s: float
    queue_bytes: int
    """Unsent: in the transport, in memory and on disk."""
    dropped: int
    """Messages that it missed for being slow."""
    since_ms: int
    slow_ms: int
    """How long it has been too slow; 0 when it is not."""


class MeshStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon mesh status --json`, its `data`. `mesh` is None before seed or join."""

    mesh: MeshView | None
    self_: str = msgspec.field(name="self")
    nodes: tuple[NodeView, ...]
    links: tuple[LinkView, ...]
    partition: PartitionView | None
    regions: tuple[RegionView, ...] = ()
    selection: SelectionView | None = None


class OwnLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `arqon link ls`: a wish, a connection, or both."""

    peer: str
    address: str
    state: str
    transport: str
    why: str
    """Why this transport, or why not up: what the last try ended with, or that the first one runs."""
    rtt_ms: float | None
    loss: float | None
    attempt: int
    last_error: str
    next_try_in_s: float | None
    backlog: int
    asked_by: str
    """"operator" (link add), "mesh" (roles) or "peer" (dialled by the other side)."""


class CauseView(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    delta: float
    cause: str
    evidence: str = ""
    """Hexadecimal."""
    score: float = 1.0
    """After it."""
    summary: str = ""
    """The evidence in words."""


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    cluster: str
    role: str
    region: str
    state: str
    score: float
    ignored: bool
    standing: str
    latency_ms: float | None
    first_seen_ms: int
    last_seen_ms: int
    addresses: tuple[str, ...]
    deliveries: int = 0
    causes: tuple[CauseView, ...] = ()
    inviter: str = ""
    probation: bool = False
    """A newcomer among established ones: held to a tenth of the rate."""
    preferred: bool = False
    guess_ms: float | None = None
    """The round trip by coordinates, for one that was never measured."""
    rtt_min_ms: float | None = None
    rtt_deviation_ms: float | None = None
    loss: float | None = None


class UserEventSent(msgspec.Struct, frozen=True, kw_only=True):
    """A user event that this node has sent; (author, lamport) is its number."""

    author: str
    lamport: int


class InviteView(msgspec.Struct, frozen=True, kw_only=True):
    ticket_id: str
    cluster: str
    role: str
    expires_ms: int
    uses: int
    used: int
    revoked: bool
    inviter: str


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    node_id: str
    subject: str
    serial: str
    not_before_ms: int
    not_after_ms: int
    renew_at_ms: int
    previous_valid_until_ms: int | None


class PolicyRuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A pin, an aggregate or a denial of a compliance pack."""

    name: str
    kind: str
    channels: tuple[str, ...]
    regions: tuple[str, ...] = ()
    every_s: int = 0
    to: str = ""


class PolicyVerdictView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether events on a channel may be sent to this member. `linked`: over a link that is up."""

    node: str
    cluster: str
    region: str
    linked: bool
    allowed: bool
    rule: str
    reason: str


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    export_allow: tuple[str, ...]
    export_deny: tuple[str, ...]
    import_allow: tuple[str, ...]
    import_deny: tuple[str, ...]
    decisions: tuple[dict[str, Any], ...]
    """Counts so far: direction, channel, cluster, allowed, rule, messages."""
    rules: tuple[PolicyRuleView, ...] = ()
    verdicts: tuple[PolicyVerdictView, ...] = ()
    """For the channel that was asked about."""


class ConfigChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that is one thing in the running node and another on disk. Values as JSON; secrets masked."""

    name: str
    running: str
    file: str
    """With the node's environment over it."""
    origin: str
    """Who says so: "arqon.yaml, line 14", "environment ARQON_...", "default"."""
    hot: bool
    """The running node can take it; else a restart is needed."""


class ConfigChangesView(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon config diff` and `reload`."""

    file: str
    applied: bool
    """The hot ones are in force."""
    changes: tuple[ConfigChangeView, ...] = ()
    warnings: tuple[str, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon node status`."""

    node_id: str
    cluster: str
    role: str
    region: str
    version: str
    pid: int
    uptime_s: float
    mesh: str
    quic: str
    bus: str
    http: str
    data_dir: str
    clients: int
    channels: int
    published_per_s: float
    """By clients of this node, over the last span of some seconds; so is what follows."""
    delivered_per_s: float
    delivery_p50_us: int
    """From the read of a client's frame to the writes that it caused; 0 before the first."""
    delivery_p99_us: int
    counters: dict[str, int]
    """published, delivered, exported, imported, kept_local, held, dropped ... since the start."""
    telemetry: str = ""
    """Where telemetry clients connect; empty while nobody listens there."""
    telemetry_failure: str = ""
    """What is wrong with it at the moment."""


class MeshEvent(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    kind: str
    """member, link, partition, federation, reputation, mesh or node."""
    text: str
    fields: dict[str, str] = msgspec.field(default_factory=dict)


class NodeControl(Protocol):
    """Implemented by runtime/control.py."""

    async def node_status(self) -> NodeStatus: ...
    async def mesh_status(self) -> MeshStatus: ...
    def watch(self) -> AsyncIterator[MeshEvent]:
        """The newest events first seen, then live ones; a slow reader loses the oldest (bounded queue)."""

    async def seed(self, name: str, policy: str, key: str) -> MeshView:
        """`policy`: open, key or closed. `key` empty under "key": only tickets let anyone in."""

    async def join_ticket(self, ticket: str) -> MeshView: ...
    async def join_address(self, address: str, key: str) -> MeshView: ...
    async def send_event(self, name: str, payload: bytes) -> UserEventSent:
        """To every node of the mesh; told at each as a MeshEvent of kind "event"."""

    async def leave(self) -> None: ...
    async def link_add(self, address: str) -> OwnLinkView: ...
    async def link_remove(self, address: str) -> None: ...
    async def links(self) -> tuple[OwnLinkView, ...]: ...
    async def peers(self) -> tuple[PeerView, ...]: ...
    async def peer(self, prefix: str) -> PeerView: ...
    async def peer_ban(self, prefix: str, reason: str) -> PeerView: ...
    async def peer_forgive(self, prefix: str, reason: str) -> PeerView: ...
    async def matrix(self) -> MatrixView: ...
    async def route(self, prefix: str) -> RouteView:
        """To one member, by the beginning of its id, or by the name of a cluster of which it is the only other one."""

    async def invite_new(self, cluster: str, role: str, expires_s: float, uses: int) -> tuple[str, InviteView]: ...
    async def invites(self) -> tuple[InviteView, ...]: ...
    async def invite_revoke(self, ticket_id: str) -> InviteView: ...
    async def certificate(self) -> CertificateView: ...
    async def certificate_rotate(self) -> CertificateView: ...
    async def policy(self, channel: str = "", target: str = "") -> PolicyView:
        """With a channel: may it go to `target`, the beginning of a member's id, a cluster or a region? Else to all."""
        ...

    async def config_changes(self, apply: bool) -> ConfigChangesView:
        """What differs between the running node and its file; `apply`: and take what can be taken. An invalid file
        raises, and nothing is changed."""

    async def bus_clients(self, slow: bool) -> tuple[tuple[BusClientView, ...], int]:
        """The busiest queues first, at most 1,000 of them, and how many are connected; `slow`: those alone."""

    async def stop(self) -> None:
        """Drain and end the process; answers before it is gone."""
