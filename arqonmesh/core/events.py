"""What cores tell each other and the runtime. One file, because together they are the node's inner protocol."""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Event
from arqonmesh.ids import ClientId, NodeId
from arqonmesh.wire.messages import KeyRecord
from arqonmesh.wire.statement import Body


class Persisted(Event, frozen=True, gc=False):
    """The transaction of `Persist(token)` is done. Delivered only to the core that asked."""

    token: int


class Late(Event, frozen=True, gc=False):
    """The runtime noticed that this process itself ran late (loop lag, suspension), by this many microseconds."""

    by_us: int


# --- statements: other cores ask gossip to publish; gossip says what it accepted -----------------------------


class Publish(Event, frozen=True, gc=False):
    """Sign, persist and spread this as our newest statement of (kind, key). Gossip listens."""

    kind: int
    key: str
    body: Body


class Applied(Event, frozen=True, gc=False):
    """A verified statement is now the newest of its (author, kind, key): ours, a peer's, or one from disk at start."""

    author: NodeId
    kind: int
    key: str
    body: Body
    encoded: bytes
    ours: bool


class Withdrawn(Event, frozen=True, gc=False):
    """What `Applied` told of this (author, kind, key) does not count any more: its author has forked at or before it,
    is no member any more, or has voided it. Nothing takes its place: older statements of the same key are not kept."""

    author: NodeId
    kind: int
    key: str


class Forked(Event, frozen=True, gc=False):
    """`author` signed two statements that no one history holds, and whatever it said from (epoch, seq) on does not
    count. Told again when a proof turns up that begins earlier. Both statements are the proof."""

    author: NodeId
    epoch: int
    seq: int
    first: bytes
    second: bytes
    restored: bool = False
    """It was told, and charged, before: in an earlier life, or before its author was put out and admitted again."""


# --- members: admission keeps the roster, membership says who is alive ---------------------------------------


class MemberAdmitted(Event, frozen=True, gc=False):
    """The roster grew. `public_key` is checked against the id."""

    node: NodeId
    public_key: bytes
    cluster: str
    role: str
    inviter: NodeId | None = None
    """Who signed the admission that counts; None for the founder, and where that is not known."""


class MemberExpelled(Event, frozen=True, gc=False):
    """The roster lost a member: what had let it in does not count any more (a ticket claimed too often, an offer
    withdrawn). The counterpart of MemberAdmitted; membership tells everyone else that it has left."""

    node: NodeId
    reason: str


class MemberMoved(Event, frozen=True, gc=False):
    """Of a member that stays on the roster: its cluster, or whether that is vouched for, is another matter than it was
    (core/admission/vouching.py). The roster tells both when asked."""

    node: NodeId


class MemberChanged(Event, frozen=True, gc=False):
    """A member's state as we see it: "alive", "suspect", "dead", "left". `old` is "" for a new one."""

    node: NodeId
    old: str
    new: str
    incarnation: int
    reason: str


class MemberDescribed(Event, frozen=True, gc=False):
    """A member's own record is new or changed: where it listens, what it is."""

    node: NodeId
    cluster: str
    role: str
    region: str
    addresses: tuple[str, ...]
    software: str


# --- links ---------------------------------------------------------------------------------------------------


class TransportUp(Event, frozen=True, gc=False):
    """The runtime: an authenticated connection to this member stands. The link core listens."""

    peer: NodeId
    transport: str
    outbound: bool


class TransportDown(Event, frozen=True, gc=False):
    """The runtime: the connection is gone."""

    peer: NodeId
    reason: str


class LinkUp(Event, frozen=True, gc=False):
    """The link carries traffic. From the link core to everyone else."""

    peer: NodeId
    transport: str


class LinkDown(Event, frozen=True, gc=False):
    """The link does not carry traffic any more, and why."""

    peer: NodeId
    reason: str


class LinkSilent(Event, frozen=True, gc=False):
    """An answer of a link that is up is overdue. LinkMeasured tells that it answers again; else LinkDown follows."""

    peer: NodeId
    for_us: int
    """Since the newest answer."""


class LinkStays(Event, frozen=True, gc=False):
    """While the overlay chooses the links: this one, which is up, is none that it opened for a moment."""

    peer: NodeId


class StoodStill(Event, frozen=True, gc=False):
    """From the link core: enough peers for the number of links, or we and a peer, stood still at different times and
    went on, longer than anybody did of late. It is the machines: everyone may be silent for so long and be well."""

    for_us: int
    """What the silences agree upon, a second and a half at most (link/stalls.py)."""


class LinkMeasured(Event, frozen=True, gc=False):
    """How a link that answers does: at once when that is noticeably new or it was said to be silent, at most twice a
    second; else every five seconds."""

    peer: NodeId
    rtt_us: int
    rtt_var_us: int
    loss_ppm: int


# --- which links: topology holds everyone's wishes (LinkWanted), the overlay's like any other's -----------------


class OverlayRuns(Event, frozen=True, gc=False):
    """From topology: the overlay chooses this node's links from now on, or does not any more."""

    running: bool
    inherited: tuple[NodeId, ...]
    """Links that topology wanted until now and hands over; the overlay keeps or releases each."""


class MemberIntroduced(Event, frozen=True, gc=False):
    """A member that is worth dialling when nobody else is known: told at the join, a hub, the founder."""

    node: NodeId


class NeighbourUp(Event, frozen=True, gc=False):
    """This member is in the overlay's active view from now on. `chosen`: by us, from what we knew."""

    peer: NodeId
    chosen: bool


class NeighbourDown(Event, frozen=True, gc=False):
    """This member is not in the overlay's active view any more, and why."""

    peer: NodeId
    reason: str


# --- peers, partition ----------------------------------------------------------------------------------------


class Fault(Event, frozen=True, gc=False):
    """`party` did something wrong. `proof` is the evidence: what convicts by itself, or else what was seen."""

    party: NodeId
    cause: str
    """One of core/peers/causes.py."""
    proof: bytes = b""


class ScoreChanged(Event, frozen=True, gc=False):
    node: NodeId
    score_ppm: int
    cause: str
    ignored: bool


class LastResort(Event, frozen=True, gc=False):
    """A message of ours for `to` went over `via`, which is ignored, because no other way leads there. Told once, until
    `via` is trusted again. From the node itself; observe tells it."""

    via: NodeId
    to: NodeId


class PeerRuled(Event, frozen=True, gc=False):
    """The operator of this node decides about a peer: banned, or pardoned. Holds here only. Peers listens."""

    node: NodeId
    banned: bool
    reason: str


class Rebalanced(Event, frozen=True, gc=False):
    """Preferred peers were chosen anew."""

    strategy: str
    chosen: tuple[NodeId, ...]
    clusters: tuple[tuple[str, int, int], ...]
    """Who there is to choose from: (name, how many, median round trip in microseconds), nearest first."""
    gain_ppm: int
    """How much shorter the mean round trip to the chosen is than to all; below 0 when it is longer."""


class PartitionChanged(Event, frozen=True, gc=False):
    """`state`: "healthy", "degraded" or "critical"; `writable` is False on the side without a quorum.

    `reachable` of `members` is the roster without those who left; `votes` of `voters` is the electorate, of which
    `required` make a quorum. `phase`: "healthy", "suspect", "partitioned" or "healing" (core/partition/phase.py).
    """

    state: str
    writable: bool
    reachable: int
    required: int
    members: int
    preset: str
    phase: str = "healthy"
    votes: int = 0
    voters: int = 0
    missing: tuple[tuple[NodeId, int], ...] = ()
    """Members out of reach and since when, wall clock milliseconds; longest first, at most MISSING_MAX of them."""
    missing_more: int = 0
    """How many more are missing."""
    ignored: tuple[NodeId, ...] = ()
    """Of `missing`, those that could be reached and that this node ignores: by a ban, a proof, or what it has seen."""
    votes_ignored: int = 0
    """Votes that would count if nobody were ignored."""

    @property
    def by_ignoring(self) -> bool:
        """There is no quorum because of whom this node ignores, and not because of the network."""
        return self.votes < self.required <= self.votes + self.votes_ignored


# --- broadcast: a payload to every node, over the links that exist -------------------------------------------


class Broadcast(Event, frozen=True, gc=False):
    """Spread `data` to every node of the mesh. From any core to the broadcast core, which names it by its hash."""

    topic: str
    """Who understands the payload: one core per topic ("st" for statements, "event")."""
    data: bytes


class BroadcastArrived(Event, frozen=True, gc=False):
    """A payload that this node has not seen before, not yet passed on. The core of its topic answers at once with
    `BroadcastJudged`; unanswered is "ignore"."""

    id: bytes
    topic: str
    data: bytes
    link_peer: NodeId


class BroadcastJudged(Event, frozen=True, gc=False):
    """The verdict on an arrived payload, three-valued as in GossipSub v1.1: "accept" passes it on, "ignore" drops it
    without blame, "reject" drops it; the core that judged has blamed whom it concerns."""

    id: bytes
    verdict: str


class UserEvent(Event, frozen=True, gc=False):
    """An operator's or application's event for every node, signed by its author; at most once, best effort."""

    author: NodeId
    lamport: int
    name: str
    payload: bytes
    sent_ms: int


# --- places: coordinates and regions -------------------------------------------------------------------------


class LeadersChanged(Event, frozen=True, gc=False):
    """Who speaks for a region now, best first; empty when nobody of it is alive."""

    region: str
    leaders: tuple[NodeId, ...]


class LinkWanted(Event, frozen=True, gc=False):
    """A core wants a link to this member, or no more. Topology listens: it keeps the link while anyone wants it, and
    closes it with the last wish that is taken back."""

    peer: NodeId
    by: str
    """The core's NAME: each has a wish of its own."""
    addresses: tuple[str, ...]
    """Where to dial; told again when they change. Empty takes the wish back."""


# --- the bus and its federation ------------------------------------------------------------------------------


CLUSTER_ONLY: Final = "$cluster:"
"""A channel that begins so is what nodes of one cluster say to each other; no rule lets it out."""


class Published(Event, frozen=True, gc=False):
    """A local client's events on a channel, as finished canonical frames, oldest first. Federation listens."""

    channel: str
    frames: tuple[bytes, ...]
    client: ClientId | None


class Observed(Event, frozen=True, gc=False):
    """Frames of a channel that the runtime asked to see (`Bus.observe`), published here or imported, one per run."""

    channel: str
    frames: tuple[bytes, ...]


class ClientCame(Event, frozen=True, gc=False):
    """A client was welcomed on this node's bus."""

    client: ClientId
    kind: str
    """What it says it is: human, dashboard, ai-agent, service ...; may be empty."""
    name: str
    tenant: str = ""


class ClientWent(Event, frozen=True, gc=False):
    """A client that had come is gone."""

    client: ClientId
    kind: str
    name: str
    published: int
    """Messages in all."""
    tenant: str = ""


class Imported(Event, frozen=True, gc=False):
    """Events of another node, admitted by the import policy. The bus listens and delivers them locally."""

    origin: NodeId
    origin_cluster: str
    channel: str
    frames: tuple[bytes, ...]


class HistoryRead(Event, frozen=True, gc=False):
    """The runtime: what `ReadHistory(token)` found, in the order of arrival."""

    token: int
    frames: tuple[bytes, ...]
    more: bool = False
    """`limit` or `bytes_max` cut it short."""
    failed: str = ""
    """Why it could not be read; empty when it was."""


class ClientDrained(Event, frozen=True, gc=False):
    """The bridge: what waited for a client when `AwaitDrain` asked is read, all but a little."""

    client: ClientId


class Verdict(Event, frozen=True, gc=False):
    """A federation decision, told once per (direction, peer cluster, channel) and rule; counts run in the core."""

    direction: str
    channel: str
    cluster: str
    allowed: bool
    rule: str


class Backlog(Event, frozen=True, gc=False):
    """The outbox of an up link rose above (or fell below) its mark; the bus pauses who publishes into it."""

    peer: NodeId
    above: bool


class CredentialRevoked(Event, frozen=True, gc=False):
    """A credential holds no longer; `via` as in bus.identity.Identity: key:PREFIX, or anonymous when nobody is let in
    any more who shows nothing. From the runtime, for the bus."""

    via: str


class KeysHeld(Event, frozen=True, gc=False):
    """API keys that this node's file holds and did not before, or holds otherwise. From the runtime, for the bus."""

    keys: tuple[KeyRecord, ...]


class KeysLearned(Event, frozen=True, gc=False):
    """What the cluster's other nodes know of API keys and this node did not. From the bus, for the runtime."""

    keys: tuple[KeyRecord, ...]


class Dropped(Event, frozen=True, gc=False):
    """Something was dropped, and why. Everyone may emit it; observe counts it and keeps the newest."""

    where: str
    reason: str
    count: int = 1
    detail: str = ""
