"""The mesh as a node tells it, as plain data: members, links, ways, regions, and what happens. A field that is listed
here has one of its name in arqonmesh.proto (convert.py)."""

from __future__ import annotations

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
    bytes_per_s: float | None = None
    """Both directions; None of a link that is down, and of those between others, whose traffic is not seen here."""
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


class MeshStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon mesh status --json`, its `data`. `mesh` is None before seed or join."""

    mesh: MeshView | None
    self_: str = msgspec.field(name="self")
    nodes: tuple[NodeView, ...]
    links: tuple[LinkView, ...]
    partition: PartitionView | None
    regions: tuple[RegionView, ...] = ()
    selection: SelectionView | None = None


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


class MeshEvent(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    kind: str
    """member, link, partition, federation, reputation, mesh or node."""
    text: str
    fields: dict[str, str] = msgspec.field(default_factory=dict)
