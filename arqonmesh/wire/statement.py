"""Signed statements: what an author says once, numbered, chained and provable to anyone.

    Statement = [mesh, author, epoch, seq, prev_hash, kind, key, body, signature]

Deterministic CBOR, node ids and the mesh as bytes (wire/packing.py), `prev_hash` the first half of the predecessor's
hash; the signature covers "arqonmesh/v1/statement" 0x00 and the array without its last element. Statements of the first
version, which had ids as text and whole hashes, are read as they are: nobody can sign them anew.

A newer (epoch, seq) with the same (author, kind, key) supersedes the older. Two different statements with one
(author, epoch, seq) prove a fork (algorithms: hash-chained logs, PeerReview SOSP 2007).
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.cbor import convert, decode, encode
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.messages import (
    PLAIN,
    U32,
    U63,
    AddressText,
    Hash32,
    Key32,
    NameText,
    NodeText,
    Offset,
    PlainText,
    RegionText,
    ShortText,
    Signature64,
    UlidText,
)
from arqonmesh.wire.packing import mesh_bytes, mesh_text, packed, unpacked

DOMAIN: Final = b"arqonmesh/v1/statement\x00"
GENESIS_HASH: Final = bytes(32)
"""`prev_hash` of an author's first statement in an epoch that begins without a known head."""
LINK_BYTES: Final = 16
"""As much of the predecessor's hash travels: nobody else can find a second statement with it (2^128), and an author
that looks for two of its own (2^64) could only hide that it disowned a statement, not that it said two in one place."""
MAX_STATEMENT_BYTES: Final = 16_384


class Kind(IntEnum):
    """What a statement says; its body is the Struct of the same name below."""

    GENESIS = 1
    ADMISSION = 2
    JOIN_POLICY = 3
    INVITE = 4
    NODE = 6
    LINKS = 7
    ACCUSATIONS = 8
    COORDINATE = 9
    REGION_SUMMARY = 10
    VOTE = 11
    HELD = 12
    FLOOR = 13


class Statement(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    mesh_id: UlidText
    author: NodeText
    epoch: U63
    seq: U63
    prev_hash: Annotated[bytes, Meta(min_length=LINK_BYTES, max_length=32)]
    """Of the predecessor's hash the first 16 bytes; given whole it is cut when it is written."""
    kind: Annotated[int, Meta(ge=1, le=255)]
    key: ShortText
    """Names the record among those of one author and kind: a node id, a ticket id, empty if there is one."""
    body: Annotated[bytes, Meta(max_length=MAX_STATEMENT_BYTES)]
    signature: Signature64

    def encode(self) -> bytes:
        return encode([*self._said(), self.signature])

    def signed_bytes(self) -> bytes:
        """What the signature covers."""
        return DOMAIN + encode(self._said())

    def _said(self) -> list[Any]:
        return [
            mesh_bytes(self.mesh_id),
            packed(self.author),
            self.epoch,
            self.seq,
            self.prev_hash[:LINK_BYTES],
            int(self.kind),
            packed(self.key),
            self.body,
        ]


def _decode_statement(data: bytes) -> Statement:
    value = decode(data, max_bytes=MAX_STATEMENT_BYTES)
    if type(value) is list and len(value) == _FIELDS:
        if type(value[0]) is bytes:
            value[0] = mesh_text(value[0])
        value[1], value[6] = unpacked(value[1]), unpacked(value[6])
    return convert(value, Statement)


_FIELDS: Final = 9


decode_statement: Final = Memo(_decode_statement, 256)
"""Bytes to Statement. Raises DecodeError unless they are exactly one well-formed statement. The signature is not
checked."""


_SIGNATURE_ITEM_BYTES: Final = 66
"""The encoded signature: the last item, a head of two bytes and 64."""
_SIGNED_HEAD: Final = DOMAIN + b"\x88"
"""An array of eight instead of nine."""


def signed_part(encoded: bytes) -> bytes:
    """`decode_statement(encoded).signed_bytes()` without encoding anew: there is one encoding, so what the signature
    covers stands in the statement already."""
    return _SIGNED_HEAD + encoded[1:-_SIGNATURE_ITEM_BYTES]


def statement_hash(encoded: bytes) -> bytes:
    """The link of the author's chain: SHA-256 over the encoded statement."""
    return hashlib.sha256(encoded).digest()


class Body(Struct, array_like=True, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of statement bodies. They hold no cycles, so the collector need not look at them: a node keeps thousands."""

    def encode(self) -> bytes:
        return encode(packed(self.value()))

    def value(self) -> list[Any]:
        """The fields as they are written, node ids as text."""
        fields: list[Any] = msgspec.to_builtins(self, builtin_types=(bytes,))
        return fields


class Genesis(Body, frozen=True):
    """The mesh exists. By its founder, once; `author` of this statement is the founder."""

    name: NameText
    created_ms: U63
    founder_key: Key32
    cluster: NameText
    role: NameText


class Admission(Body, frozen=True):
    """A member lets a node in. Key: the new node's id.

    It carries the joiner's own proof, so that everyone can check it (core/admission/roster.py): `signature` is by the
    ticket's or the join key's private half over trust.tickets.redemption_bytes with this `channel_binding`. Both are
    empty on the founder's word alone and in an open mesh. `uses` is what the ticket allowed when its admitter looked:
    two admissions by one author with one ticket that both say 1 prove against it that it redeemed the ticket twice.
    """

    node_key: Key32
    cluster: NameText
    role: NameText
    ticket_id: Annotated[str, Meta(max_length=26)]
    uses: Annotated[int, Meta(ge=0, le=10_000)]
    admitted_ms: U63
    channel_binding: Annotated[bytes, Meta(max_length=64)]
    signature: Annotated[bytes, Meta(max_length=64)]


class JoinPolicy(Body, frozen=True):
    """How one gets in. By the founder. `key_public` is Ed25519, seeded with scrypt(join key, salt)."""

    policy: Annotated[str, Meta(pattern="^(open|key|closed)$")]
    key_salt: Annotated[bytes, Meta(max_length=32)]
    key_public: Annotated[bytes, Meta(max_length=32)]


class Invite(Body, frozen=True):
    """A ticket exists. Key: the ticket id. The mesh keeps the public half of its one-time key, no secret."""

    public_key: Key32
    cluster: NameText
    role: NameText
    expires_ms: U63
    uses: Annotated[int, Meta(ge=1, le=10_000)]
    revoked_ms: U63
    """Since when it admits nobody any more; 0: it is good. Whom it let in before that stays."""


class Vote(Body, frozen=True):
    """The founder gives a member a vote, or takes it away. Key: the node's id. (core/partition/electorate.py)"""

    ordinal: Annotated[int, Meta(ge=1, le=0x7FFF_FFFF_FFFF_FFFF)]
    """Its place in the order of all such changes, without gaps."""
    settled: U63
    """The ordinal that a quorum held when this was said; nothing before it matters to a quorum any more."""
    granted: bool
    consent: bool
    """Taken from a member that has left of its own accord."""
    roll: Hash32
    """All voters after this change: the exclusive or of the SHA-256 of their ids. Who computes another lacks some."""


class Held(Body, frozen=True):
    """A voter has stored all votes up to this ordinal, and will answer to no older electorate. One per author."""

    ordinal: U63


class NodeRecord(Body, frozen=True):
    """What a node says about itself. One per node; raised incarnations refute suspicions."""

    node_key: Annotated[bytes, Meta(max_length=32)]
    """Empty: its admission says it, and nobody asks this record. Older ones repeat it here, as they were signed."""
    cluster: NameText
    role: NameText
    region: RegionText
    addresses: Annotated[tuple[AddressText, ...], Meta(max_length=8)]
    incarnation: U63
    leaving: bool
    software: PlainText
    capabilities: Annotated[tuple[PlainText, ...], Meta(max_length=32)]


class Adjacency(Body, frozen=True):
    """One usable link as its owner measures it. `transport` is "quic"; `state` "up" or "down"."""

    peer: NodeText
    state: Annotated[str, Meta(pattern="^(up|down)$")]
    transport: Annotated[str, Meta(max_length=16, pattern=PLAIN)]
    rtt_us: U63
    loss_ppm: Annotated[int, Meta(ge=0, le=1_000_000)]


class Links(Body, frozen=True, cache_hash=True):
    """All links of a node: its link-state advertisement. Written flat, four items a link: who, its state and transport
    as one number, round trip, loss."""

    adjacencies: Annotated[tuple[Adjacency, ...], Meta(max_length=128)]

    def value(self) -> list[Any]:
        return [[item for link in self.adjacencies for item in _flat(link)]]


def _peers_up(links: Links) -> tuple[NodeId, ...]:
    last = {link.peer: link.state == "up" for link in links.adjacencies}
    return tuple(NodeId(peer) for peer, up in last.items() if up)


peers_up: Final = Memo(_peers_up, 64)
"""Whom a record lists as up, in its order. Several parts of a node remember that of every member: one object for
all."""


TRANSPORTS: Final = ("quic", "wss")
"""By number on the wire, twice, and one more when the link is up. Another is written by its name after + or -."""


def _flat(link: Adjacency) -> tuple[str, int | str, int, int]:
    up = link.state == "up"
    if link.transport in TRANSPORTS:
        return link.peer, 2 * TRANSPORTS.index(link.transport) + up, link.rtt_us, link.loss_ppm
    return link.peer, ("+" if up else "-") + link.transport, link.rtt_us, link.loss_ppm


def _adjacencies(value: Any) -> Any:
    """The body of LINKS with an array for each link, from the flat form or as the first version wrote it."""
    match value:
        case [[str(), *_] as flat] if len(flat) % 4 == 0:
            return [[_link(flat[at : at + 4]) for at in range(0, len(flat), 4)]]
    return value


def _link(flat: list[Any]) -> list[Any]:
    peer, code, rtt_us, loss_ppm = flat
    if type(code) is int and 0 <= code < 2 * len(TRANSPORTS):
        return [peer, "up" if code & 1 else "down", TRANSPORTS[code >> 1], rtt_us, loss_ppm]
    if type(code) is str and code[:1] in ("+", "-") and code[1:] not in TRANSPORTS:
        return [peer, "up" if code[0] == "+" else "down", code[1:], rtt_us, loss_ppm]
    raise DecodeError("wire.schema", f"a link whose state and transport are {code!r}")


class Accusation(Body, frozen=True):
    target: NodeText
    incarnation: U63
    level: Annotated[str, Meta(pattern="^(suspect|dead)$")]


class Accusations(Body, frozen=True):
    """Whom this node holds suspect or dead right now; rewritten as a whole, so a refuted one disappears."""

    accusations: Annotated[tuple[Accusation, ...], Meta(max_length=64)]


class Floor(Body, frozen=True):
    """Of one voidable kind, what the author said up to and including (epoch, seq) is void: it is long over. Key: which
    kind (`FLOOR_KEYS`).

    Its author decides, so all replicas that have heard it agree, whichever clock they have and however late they are;
    and what it voids can not come back from one that has not, because its place lies below.
    """

    epoch: U63
    seq: U63


FLOOR_KEYS: Final[dict[int, str]] = {Kind.INVITE: "", Kind.ADMISSION: "admissions"}
"""Kinds whose statements their author may void with a Floor, and by which key that says so. Nodes that do not know a
key keep the statement and void nothing by it."""


class RegionSummary(Body, frozen=True):
    """A region as one of its leaders sees it. Key: the region, which has to be the author's own.

    An author that lists itself among the leaders claims a seat; one that does not, although it did before, has given it
    up. `root` is over the heads of the region's members at that moment (core/regions/summary.py).
    """

    term: U63
    """Raised by whoever takes a seat above every term seen in the region: the newer claim stands."""
    leaders: Annotated[tuple[NodeText, ...], Meta(max_length=8)]
    alive: U32
    suspect: U32
    dead: U32
    clusters: Annotated[tuple[NameText, ...], Meta(max_length=64)]
    """Sorted; beyond 64 the rest is left out."""
    root: Hash32
    software: Annotated[tuple[tuple[PlainText, U32], ...], Meta(max_length=16)]
    """Version and how many run it, the most widespread first."""


class Coordinate(Body, frozen=True):
    """Where a node lies in the space of round trips, as it says itself: good for ranking whom to probe, for nothing
    else. Fields as in CoordinateReport."""

    vector_us: Annotated[tuple[Offset, ...], Meta(min_length=8, max_length=8)]
    height_us: Annotated[int, Meta(ge=1, le=10_000_000)]
    error_ppm: Annotated[int, Meta(ge=0, le=1_500_000)]
    adjustment_us: Offset


BODY_TYPES: Final[dict[int, type[Body]]] = {
    Kind.GENESIS: Genesis,
    Kind.ADMISSION: Admission,
    Kind.JOIN_POLICY: JoinPolicy,
    Kind.INVITE: Invite,
    Kind.NODE: NodeRecord,
    Kind.LINKS: Links,
    Kind.ACCUSATIONS: Accusations,
    Kind.COORDINATE: Coordinate,
    Kind.REGION_SUMMARY: RegionSummary,
    Kind.FLOOR: Floor,
    Kind.VOTE: Vote,
    Kind.HELD: Held,
}


def decode_body(kind: int, body: bytes) -> Body | None:
    """The typed body; None for a kind that this version does not know (stored and passed on, not understood).

    Raises DecodeError when a known kind's body is malformed.
    """
    body_type = BODY_TYPES.get(kind)
    if body_type is None:
        return None
    value = unpacked(decode(body, max_bytes=MAX_STATEMENT_BYTES))
    return convert(_adjacencies(value) if kind == Kind.LINKS else value, body_type)
