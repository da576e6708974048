"""Every message that crosses a link, as a type. `wire/codec.py` turns them into bytes and back, strictly.

On the wire a message is a deterministic CBOR array whose first element is the tag below (RFC 8949, 4.2).
Field constraints are checked while decoding, so a core never sees an oversized or mistyped field.
Units: *_us microseconds, *_ms milliseconds since the epoch, *_ppm millionths.

| tags    | spoken by       |
|---------|-----------------|
| 1-9     | handshake, join |
| 10-19   | membership      |
| 20-29   | link liveness   |
| 30-39   | routing         |
| 40-49   | gossip          |
| 50-59   | federation      |
| 60-69   | coordinates     |
| 70-79   | overlay         |
| 80-89   | broadcast       |
| 90-99   | the bus of a cluster |
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta, Struct

U32: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
U8: TypeAlias = Annotated[int, Meta(ge=0, le=255)]
Offset: TypeAlias = Annotated[int, Meta(ge=-10_000_000, le=10_000_000)]
"""A component of a network coordinate, microseconds; ten seconds are farther than any network reaches."""
U63: TypeAlias = Annotated[int, Meta(ge=0, le=0x7FFF_FFFF_FFFF_FFFF)]
Key32: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Hash16: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Hash32: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Fingerprint16: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
RangeMode: TypeAlias = Annotated[int, Meta(ge=0, le=3)]
RangeFingerprint: TypeAlias = Annotated[bytes, Meta(max_length=16)]
RangeIds: TypeAlias = Annotated[
    tuple[tuple[U63, U63, Annotated[bytes, Meta(min_length=8, max_length=8)]], ...], Meta(max_length=64)
]
Signature64: TypeAlias = Annotated[bytes, Meta(min_length=64, max_length=64)]
NodeText: TypeAlias = Annotated[str, Meta(min_length=32, max_length=32, pattern="^[a-z2-7]{32}$")]
UlidText: TypeAlias = Annotated[str, Meta(min_length=26, max_length=26, pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
PLAIN: Final = r"\A[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]*\Z"
"""Text that others will see: no control characters, nothing that is invisible or turns the direction of writing."""
NameText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=PLAIN)]
RegionText: TypeAlias = Annotated[str, Meta(max_length=64, pattern=PLAIN)]
ShortText: TypeAlias = Annotated[str, Meta(max_length=256)]
PlainText: TypeAlias = Annotated[str, Meta(max_length=256, pattern=PLAIN)]
AddressText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=262, pattern=PLAIN)]
ChannelText: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]

MAX_HOPS = 16
MAX_CANDIDATES = 64
"""Most members that one message of the overlay names."""
MAX_FRAME_BYTES = 1 << 20
"""The largest encoded message on a stream lane."""
MAX_BROADCAST_BYTES = 65_536
"""The largest payload that is spread to every node."""
MAX_DATAGRAM_BYTES = 1_100
"""The largest encoded message on the DATAGRAM lane; larger ones would block aioquic's queue."""


class WireMessage(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Base of all messages. No field has a default: one could be left out, and a message have two encodings."""


# --- handshake and join -----------------------------------------------------------------------------------


class Hello(WireMessage, tag=1, frozen=True):
    """First message on the control stream of a mesh connection, both ways; signed with the node key.

    `signature` covers "arqonmesh/v1/hello" with the TLS channel binding and both node ids (net/hello.py), so
    it cannot be replayed on another connection.
    """

    versions: Annotated[tuple[U32, ...], Meta(min_length=1, max_length=8)]
    mesh_id: UlidText
    node_id: NodeText
    cluster: NameText
    boot_epoch: U63
    wall_ms: U63
    capabilities: Annotated[tuple[PlainText, ...], Meta(max_length=32)]
    software: PlainText
    signature: Signature64


class JoinOffer(WireMessage, tag=2, frozen=True):
    """From the admitting member, first on a join connection: which mesh this is and how one gets in."""

    mesh_id: UlidText
    mesh_name: NameText
    founder: NodeText
    policy: Annotated[str, Meta(pattern="^(open|key|closed)$")]
    key_salt: Annotated[bytes, Meta(max_length=32)]
    """Salt of the join key's scrypt hash; empty when the mesh has none."""


class JoinRequest(WireMessage, tag=3, frozen=True):
    """From the joiner. `signature` is by the ticket's one-time key, or the key derived from the join key.

    It covers trust.tickets.redemption_bytes: "arqonmesh/v1/join" with mesh_id, node key, cluster, role,
    ticket id and the TLS channel binding. Empty only under policy `open`.
    """

    mesh_id: UlidText
    node_key: Key32
    cluster: NameText
    role: NameText
    region: RegionText
    ticket_id: Annotated[str, Meta(max_length=26)]
    """Empty when joining by key or into an open mesh."""
    signature: Annotated[bytes, Meta(max_length=64)]


class JoinAccept(WireMessage, tag=4, frozen=True):
    """You are in: the statements that prove it (genesis, admissions, policy) and where members listen."""

    role: NameText
    statements: Annotated[tuple[Annotated[bytes, Meta(max_length=16_384)], ...], Meta(max_length=4_096)]
    members: Annotated[tuple[tuple[NodeText, tuple[AddressText, ...]], ...], Meta(max_length=256)]


class JoinReject(WireMessage, tag=5, frozen=True):
    """Not in: a stable code and a sentence for the person at the other end."""

    code: NameText
    sentence: Annotated[str, Meta(max_length=512)]


# --- membership (SWIM) ------------------------------------------------------------------------------------


class Ping(WireMessage, tag=10, frozen=True):
    """Are you there? `accused`: at which incarnation the sender suspects you, else -1 (Lifeguard's buddy)."""

    seq: U32
    accused: Annotated[int, Meta(ge=-1)]


class Ack(WireMessage, tag=11, frozen=True):
    seq: U32


class PingReq(WireMessage, tag=12, frozen=True):
    """Probe `target` for me; hand me its SignedAck when it answers, say Nack(seq) when not in time."""

    seq: U32
    target: NodeText


class Nack(WireMessage, tag=13, frozen=True):
    seq: U32


class SignedAck(WireMessage, tag=14, frozen=True):
    """An Ack that passes through other hands: `target` signs that it answers `asker`'s number `seq`, so that nobody
    can answer in its name (core/membership/proof.py). A plain Ack travels no relay."""

    target: NodeText
    asker: NodeText
    seq: U32
    signature: Signature64


class PingFor(WireMessage, tag=15, frozen=True):
    """A Ping on behalf of `asker`, whose number `seq` is; the answer is a SignedAck to it, given to the sender."""

    seq: U32
    accused: Annotated[int, Meta(ge=-1)]
    asker: NodeText


# --- link liveness ----------------------------------------------------------------------------------------


class Heartbeat(WireMessage, tag=20, frozen=True):
    """One each way per interval. It carries the answer to the peer's: `echo` is the newest one heard (0: none), heard
    `held_us` before this one left; bit i of `missed` says that `echo` - 1 - i was not heard, so that on a good link it
    is 0 and takes a byte. `poll`: answer at once. `every_ms`: the sender's interval; the slower of both is the link's,
    so that a node with many links may ask for fewer."""

    seq: U32
    poll: bool
    echo: U32
    held_us: U63
    missed: U32
    every_ms: U32


class HeartbeatAck(WireMessage, tag=21, frozen=True):
    """The answer to a heartbeat with `poll`, at once."""

    seq: U32


# --- routing ----------------------------------------------------------------------------------------------


class Relay(WireMessage, tag=30, frozen=True):
    """A control message on a source route: `route[0]` is the origin, `route[-1]` the destination, `hop` the
    index of the node that now holds it. The origin is a claim; what must not be forged is signed."""

    route: Annotated[tuple[NodeText, ...], Meta(min_length=2, max_length=MAX_HOPS)]
    hop: Annotated[int, Meta(ge=0, lt=MAX_HOPS)]
    lane: Annotated[int, Meta(ge=0, le=1)]
    """DATAGRAM or CONTROL: the lanes under a message rate."""
    inner: Annotated[bytes, Meta(max_length=65_536)]


# --- gossip -----------------------------------------------------------------------------------------------


class GossipRoot(WireMessage, tag=40, frozen=True):
    """The hash over what is held of every author: equal roots, nothing to do."""

    root: Hash32


class GossipDigest(WireMessage, tag=41, frozen=True):
    """What I have, in some of the 256 buckets into which the first eight bits of their id sort authors."""

    buckets: Hash32
    """A bitmap, bucket 0 the lowest bit of the last byte: what this digest speaks of. Of an author in a bucket that is
    covered and not among the heads nothing is held."""
    heads: Annotated[tuple[tuple[NodeText, U63, U63, Fingerprint16, bool], ...], Meta(max_length=8_192)]
    """Per author (author, epoch, seq, fingerprint, forked), sorted by author: the newest statement that counts; of an
    author that has forked, the point from which on none does. Equal fingerprints: the same statements."""
    reply: bool
    """Asks for your digest where you lack something."""


class GossipDelta(WireMessage, tag=42, frozen=True):
    """Signed statements (wire/statement.py), per author in order of sequence; a prefix when truncated."""

    statements: Annotated[tuple[Annotated[bytes, Meta(max_length=16_384)], ...], Meta(max_length=4_096)]
    bases: Annotated[tuple[tuple[NodeText, U63, U63], ...], Meta(max_length=4_096)]
    """Per author (author, epoch, seq), sorted: the sender vouches that the author's statements in here are all
    that are not superseded between this point and the last of them. Whoever stands at the point or beyond may
    merge them; anyone else has a gap and asks by digest. So a delta explains itself, whenever it arrives.
    An author that is not listed: the point is the place directly before the first of them. The highest point there is:
    nothing is vouched for."""


class GossipBuckets(WireMessage, tag=43, frozen=True):
    """The 256 bucket hashes under the root, truncated to 16 bytes each. Answered by the digest of those that differ."""

    hashes: Annotated[bytes, Meta(min_length=4_096, max_length=4_096)]


class GossipRanges(WireMessage, tag=44, frozen=True):
    """Where two sets of one author's statements differ, by ranges of their positions (range-based set reconciliation,
    Meyer 2022). A range covers the positions after the end of the one before it up to and including its own end."""

    author: NodeText
    ranges: Annotated[tuple[tuple[U63, U63, RangeMode, RangeFingerprint, RangeIds], ...], Meta(max_length=256)]
    """(end epoch, end seq, mode, fingerprint, ids). Mode 0: nothing is said of this range. 1: `fingerprint` is over the
    statements held in it. 2: `ids` are all of them, each as (epoch, seq, hash prefix). 3: `ids` are wanted."""


# --- federation -------------------------------------------------------------------------------------------


class BusBatch(WireMessage, tag=50, frozen=True):
    """Bus messages of one tick of one origin. `head` and `sections` are signed by the origin and pass through
    transit nodes untouched; the other fields belong to the hop.

    `head` is the CBOR array [origin, origin cluster, boot epoch, first section seq, [sha256 of each section]]
    and section i has sequence first + i. A section is the CBOR array [channel, [frame, ...]], or with pins or of
    aggregates [channel, [frame, ...], [[region, ...], ...], aggregate]; a hop that may not forward one replaces it by
    an empty byte string, and the signature still holds.
    """

    link_seq: U63
    """Numbered per link and direction by the sender; acknowledged by BusAck."""
    via: Annotated[tuple[NodeText, ...], Meta(min_length=1, max_length=MAX_HOPS)]
    ttl: Annotated[int, Meta(ge=0, le=MAX_HOPS)]
    head: Annotated[bytes, Meta(max_length=65_536)]
    signature: Signature64
    sections: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=1_024)]


class BusAck(WireMessage, tag=51, frozen=True):
    """Every batch up to and including `link_seq` is settled: delivered, or held durably for the next hop."""

    link_seq: U63


# --- overlay (HyParView) ----------------------------------------------------------------------------------

Candidates: TypeAlias = Annotated[tuple[NodeText, ...], Meta(max_length=MAX_CANDIDATES)]
"""Members by their id alone: no address that another names is ever dialled, each member's own record has its own."""


class OverlayJoin(WireMessage, tag=70, frozen=True):
    """I am new here, or alone: take me into your active view and tell others. Answered by OverlayNeighbourReply."""


class OverlayForwardJoin(WireMessage, tag=71, frozen=True):
    """On a random walk: `joiner` is new. Whoever ends the walk offers itself as neighbour."""

    joiner: NodeText
    ttl: Annotated[int, Meta(ge=0, le=MAX_HOPS)]
    """Steps that are left."""


class OverlayNeighbour(WireMessage, tag=72, frozen=True):
    """Take me into your active view. `high`: the sender's is empty, or it comes back after a separation."""

    high: bool


class OverlayNeighbourReply(WireMessage, tag=73, frozen=True):
    """Taken, or not; with whom to try instead, or later."""

    accepted: bool
    candidates: Candidates


class OverlayShuffle(WireMessage, tag=74, frozen=True):
    """On a random walk: members that the origin knows, for as many that the end of the walk knows."""

    nonce: U32
    """Drawn by the origin; the answer repeats it."""
    path: Annotated[tuple[NodeText, ...], Meta(min_length=1, max_length=MAX_HOPS)]
    """The origin and whoever passed it on, in order: the way back."""
    ttl: Annotated[int, Meta(ge=0, le=MAX_HOPS)]
    members: Candidates


class OverlayShuffleReply(WireMessage, tag=75, frozen=True):
    """The answer on its way back: `path` ends with the node that now gets it."""

    nonce: U32
    path: Annotated[tuple[NodeText, ...], Meta(min_length=1, max_length=MAX_HOPS)]
    members: Candidates


class OverlayDisconnect(WireMessage, tag=76, frozen=True):
    """You are not in my active view any more; here is with whom to try instead."""

    candidates: Candidates


# --- broadcast (Plumtree) ---------------------------------------------------------------------------------


class BroadcastPayload(WireMessage, tag=80, frozen=True):
    """Something for every node. Its name is made of topic and data (wire/naming.py) and does not travel with them."""

    round: U8
    """Links travelled, this one included."""
    wave: U32
    """0 for what came from the source by links of the tree alone; else drawn where a copy left the tree to begin a
    wave of its own. Two copies of one wave at one node prove a cycle in the tree, two waves that meet prove nothing."""
    topic: Annotated[str, Meta(min_length=1, max_length=32)]
    data: Annotated[bytes, Meta(max_length=MAX_BROADCAST_BYTES)]


class BroadcastHave(WireMessage, tag=81, frozen=True):
    """I have these payloads, each by (id, round, wave) as it came to me; ask by BroadcastGraft."""

    have: Annotated[tuple[tuple[Hash16, U8, U32], ...], Meta(min_length=1, max_length=512)]


class BroadcastGraft(WireMessage, tag=82, frozen=True):
    """Our link belongs to the tree from now on. `id`: and send me this payload; empty: I have it already."""

    id: Annotated[bytes, Meta(max_length=16)]


class BroadcastPrune(WireMessage, tag=83, frozen=True):
    """Our link does not belong to the tree: announce what is new, do not send it."""


# --- coordinates ------------------------------------------------------------------------------------------


class CoordinateReport(WireMessage, tag=60, frozen=True):
    """Where the sender lies in the space of round trips, for the linked peer that measured one to it (Vivaldi)."""

    vector_us: Annotated[tuple[Offset, ...], Meta(min_length=8, max_length=8)]
    height_us: Annotated[int, Meta(ge=1, le=10_000_000)]
    error_ppm: Annotated[int, Meta(ge=0, le=1_500_000)]
    adjustment_us: Offset


# --- the bus of a cluster: who is connected where ----------------------------------------------------------

PresenceText: TypeAlias = Annotated[str, Meta(max_length=512)]
PresenceRow: TypeAlias = tuple[
    U63,
    Annotated[str, Meta(max_length=128)],
    ShortText,
    U63,
    bool,
    Annotated[tuple[PresenceText, ...], Meta(max_length=16)],
]
"""(version, client, channel, since when in wall clock ms, alive, facts of the client); core/bus/cluster/table.py."""


class PresenceDigest(WireMessage, tag=90, frozen=True):
    """How far I have heard each node of our cluster of its clients. Answered by the rows that you lack, and by a digest
    of what you have more of; both only where there is any."""

    whole: bool
    """Of a node that is not named I have nothing; else nothing is said of it."""
    heads: Annotated[tuple[tuple[NodeText, U63, U63], ...], Meta(max_length=256)]
    """(node, its boot epoch, version)."""


class PresenceRows(WireMessage, tag=91, frozen=True):
    """What changed at `origin` after version `base` up to `upto`, by version; `base` 0: all there is of it, to the
    message with `last`."""

    origin: NodeText
    epoch: U63
    base: U63
    upto: U63
    last: bool
    rows: Annotated[tuple[PresenceRow, ...], Meta(max_length=256)]


# --- the bus of a cluster: what each node holds of the history ---------------------------------------------

Epoch: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Stretch: TypeAlias = tuple[U63, U63]
"""First and last offset."""
Holding: TypeAlias = tuple[Epoch, U63, Annotated[tuple[Stretch, ...], Meta(max_length=8)]]
"""(epoch, newest offset, what is missing below it)."""


class HistoryHeads(WireMessage, tag=92, frozen=True):
    """How far I hold each stream of these channels. Answered once where you hold more, by your own."""

    answer: bool
    """Comes after yours: not answered again."""
    channels: Annotated[
        tuple[tuple[ShortText, Annotated[tuple[Holding, ...], Meta(max_length=64)]], ...], Meta(max_length=128)
    ]


class HistoryWanted(WireMessage, tag=93, frozen=True):
    """Send me these stretches of a stream of this channel, as far as you have them."""

    token: U63
    channel: ShortText
    epoch: Epoch
    stretches: Annotated[tuple[Stretch, ...], Meta(min_length=1, max_length=16)]


class HistoryFrames(WireMessage, tag=94, frozen=True):
    """What there is of what was wanted; nothing of it comes from elsewhere than the sender's own history."""

    token: U63
    busy: bool
    """Not now: ask again later."""
    more: bool
    """There is more than fits a message; else what is not here I do not have."""
    frames: Annotated[tuple[bytes, ...], Meta(max_length=1_024)]


# --- the bus of a cluster: its API keys ----------------------------------------------------------------------

KeyDigest8: TypeAlias = Annotated[bytes, Meta(min_length=8, max_length=8)]


class KeyRecord(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """What a node keeps of an API key. Never the key: its SHA-256."""

    prefix: Annotated[str, Meta(pattern="^[a-z2-7]{8}$")]
    hash: Hash32
    name: NameText
    role: Literal["guest", "user", "admin"]
    tenant: Annotated[str, Meta(max_length=63)]
    permissions: Annotated[tuple[ShortText, ...], Meta(max_length=64)]
    created_ms: U63
    expires_ms: U63
    revoked_ms: U63
    """0: it is not."""
    made_at: NodeText
    """The node where it was made."""


class KeyDigests(WireMessage, tag=95, frozen=True):
    """What API keys I hold: one digest of all, or 64, by bucket. Answered where yours are others."""

    answer: bool
    """I want your digests as well, if they differ."""
    digests: Annotated[tuple[KeyDigest8, ...], Meta(min_length=1, max_length=64)]


class KeyRecords(WireMessage, tag=96, frozen=True):
    """API keys that you may lack, or of which you may not know that they were revoked."""

    keys: Annotated[tuple[KeyRecord, ...], Meta(max_length=256)]


AnyMessage: TypeAlias = (
    Hello | JoinOffer | JoinRequest | JoinAccept | JoinReject
    | Ping | Ack | PingReq | Nack | SignedAck | PingFor
    | Heartbeat | HeartbeatAck
    | Relay
    | GossipRoot | GossipDigest | GossipDelta | GossipBuckets | GossipRanges
    | BusBatch | BusAck
    | CoordinateReport
    | OverlayJoin | OverlayForwardJoin | OverlayNeighbour | OverlayNeighbourReply
    | OverlayShuffle | OverlayShuffleReply | OverlayDisconnect
    | BroadcastPayload | BroadcastHave | BroadcastGraft | BroadcastPrune
    | PresenceDigest | PresenceRows
    | HistoryHeads | HistoryWanted | HistoryFrames
    | KeyDigests | KeyRecords
)  # fmt: skip
