"""Records, heads and proofs as rows, and back. A row that does not hold together is named, never guessed at.

A statement's row has author, kind, key, epoch and seq in columns of its own, so its bytes are kept without them, and
without the mesh, which is the same in all: four bytes of its hash, the predecessor's, the signature, the body. There is
one encoding of a statement, so the whole comes back from that, and the hash says whether it has. Statements of the
first version are kept whole, as they were signed.

An author's head has a row of its own only where the head's statement is not held. Ours always has: whatever rows rot,
no place of our log is used twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from arqonmesh.core.gossip.forks import Fork, contradict
from arqonmesh.core.gossip.log import Position, Record, read_record
from arqonmesh.core.kernel import Delete, Durable, Put, Row, Scalar, Write
from arqonmesh.errors import DecodeError
from arqonmesh.ids import MeshId, NodeId
from arqonmesh.wire.cbor import decode, encode
from arqonmesh.wire.memo import ByIdentity, Memo
from arqonmesh.wire.packing import NODE_BYTES, node_bytes, node_text, packed, unpacked
from arqonmesh.wire.statement import (
    GENESIS_HASH,
    LINK_BYTES,
    MAX_STATEMENT_BYTES,
    Statement,
    decode_statement,
    statement_hash,
)

CORE: Final = "gossip"
_TRIMMED: Final = b"\x00"
"""The first byte of one that is kept without its head; a whole one begins with that of an array."""
_CHECK_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_FORK: Final = "fork/"
_PROOF_BYTES_MAX: Final = 2 * MAX_STATEMENT_BYTES + 64


@dataclass(slots=True)
class Found:
    """What was read at start. `corrupt` deletes the rows that were no good."""

    authors: list[tuple[Record, ...]] = field(default_factory=list)
    """Everyone's records in order of position, sorted by author."""
    heads: list[tuple[NodeId, Position, bytes]] = field(default_factory=list)
    forks: list[tuple[NodeId, Fork]] = field(default_factory=list)
    corrupt: list[Write] = field(default_factory=list)


def rows(records: Sequence[Record]) -> list[Write]:
    """The rows of `records`."""
    return [Put("statements", row_of(r.author, r.kind, r.key, r.position, r.encoded)) for r in records]


def row_of(author: NodeId, kind: int, key: str, position: Position, encoded: bytes) -> Row:
    """A statement's row, in the order of the table's columns."""
    return (*slot_of(author, kind, key), *position, trimmed(encoded))


def slot_of(author: NodeId, kind: int, key: str) -> Row:
    """The primary key of a statement's row."""
    return node_bytes(author), kind, encode(packed(key))


def _trim(encoded: bytes) -> bytes:
    said = decode_statement(encoded)
    if len(said.prev_hash) != LINK_BYTES or said.encode() != encoded:
        return encoded
    return _TRIMMED + statement_hash(encoded)[:_CHECK_BYTES] + said.prev_hash + said.signature + said.body


trimmed: Final = Memo(_trim, 0)
"""A statement as its row keeps it. A node writes each once and remembers none; a simulator, where a thousand nodes
write the same, raises `capacity`, here and at `read_author`."""


def _whole(row: Row, kept: bytes, mesh_id: MeshId) -> bytes | None:
    """The statement that a row keeps; None when its columns and its bytes do not belong together. Raises DecodeError
    for a key that is none."""
    if kept[:1] != _TRIMMED:
        return kept
    raw, kind, item, epoch, seq = row[:5]
    link = 1 + _CHECK_BYTES
    signature, body = link + LINK_BYTES, link + LINK_BYTES + _SIGNATURE_BYTES
    if not (isinstance(raw, bytes) and len(raw) == NODE_BYTES and isinstance(item, bytes) and len(kept) >= body):
        return None
    if not (isinstance(kind, int) and isinstance(epoch, int) and isinstance(seq, int)):
        return None
    key = unpacked(decode(item, max_bytes=MAX_STATEMENT_BYTES))
    if not isinstance(key, str):
        return None
    said = Statement(
        mesh_id, node_text(raw), epoch, seq, kept[link:signature], kind, key, kept[body:], kept[signature:body]
    ).encode()
    return said if statement_hash(said)[:_CHECK_BYTES] == kept[1:link] else None


def head_row(author: NodeId, position: Position, hash_: bytes) -> Put:
    return Put("heads", (node_bytes(author), *position, hash_))


def fork_row(author: NodeId, fork: Fork) -> Put:
    return Put("scalars", (CORE, _FORK + author, proof_bytes(fork)))


def delete_row(record: Record) -> Delete:
    return Delete("statements", slot_of(record.author, record.kind, record.key))


def no_head_row(author: NodeId) -> Delete:
    return Delete("heads", (node_bytes(author),))


def author_rows(author: NodeId, *, proof: bool) -> tuple[Delete, ...]:
    """To forget an author: its head, and its proof unless that is kept. Its statements have rows of their own."""
    head = no_head_row(author)
    return (head,) if proof else (head, Delete("scalars", (CORE, _FORK + author)))


def proof_bytes(fork: Fork) -> bytes:
    """Evidence that convicts by itself: the CBOR array of the two signed statements."""
    return encode([fork.first, fork.second])


def fork_of(proof: bytes) -> tuple[NodeId, Fork]:
    """The author and the fork that `proof_bytes` wrote down; signatures are not checked here.

    Raises DecodeError when the two do not contradict each other.
    """
    pair = decode(proof, max_bytes=_PROOF_BYTES_MAX)
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(item, bytes) for item in pair):
        raise DecodeError("gossip.not-a-proof", "a fork's proof is an array of two signed statements")
    first, second = pair
    a, b = decode_statement(first), decode_statement(second)
    same_author = a.mesh_id == b.mesh_id and a.author == b.author
    if not same_author or not contradict(a, statement_hash(first), b, statement_hash(second)):
        raise DecodeError("gossip.not-a-proof", "the two statements do not contradict each other")
    return NodeId(a.author), Fork(first, second, ((a.epoch, a.seq), (b.epoch, b.seq)))


def load(durable: Durable, mesh_id: MeshId) -> Found:
    """Everything of this mesh in the order of positions; rows that do not decode, or do not say what they hold,
    apart."""
    found = Found()
    by_author: dict[Scalar, tuple[Row, ...]] = {}
    for author, group in groupby(durable.get("statements", ()), key=itemgetter(0)):
        by_author[author] = (*by_author.get(author, ()), *group)
    for stored in by_author.values():
        records, corrupt = read_author((mesh_id, *stored))
        found.corrupt += corrupt
        if records:
            found.authors.append(records)
    found.authors.sort(key=_author)
    for row in durable.get("heads", ()):
        raw, epoch, seq, hash_ = row
        if (
            isinstance(raw, bytes)
            and len(raw) == NODE_BYTES
            and isinstance(epoch, int)
            and isinstance(seq, int)
            and isinstance(hash_, bytes)
            and len(hash_) == len(GENESIS_HASH)
        ):
            found.heads.append((NodeId(node_text(raw)), (epoch, seq), hash_))
        else:
            found.corrupt.append(Delete("heads", row[:1]))
    found.heads.sort()
    for core, name, value in durable.get("scalars", ()):
        if core == CORE and isinstance(name, str) and name.startswith(_FORK):
            try:
                assert isinstance(value, bytes)
                found.forks.append(fork_of(value))
            except (AssertionError, DecodeError):
                found.corrupt.append(Delete("scalars", (core, name)))
    found.forks.sort(key=lambda item: item[0])
    return found


def _author(records: tuple[Record, ...]) -> NodeId:
    return records[0].author


def _read_author(stored: tuple[Any, ...]) -> tuple[tuple[Record, ...], tuple[Delete, ...]]:
    mesh_id, *said = stored
    records: list[Record] = []
    corrupt: list[Delete] = []
    for row in said:
        record = _read_row(mesh_id, row)
        if record is None:
            corrupt.append(Delete("statements", row[:3]))
        else:
            records.append(record)
    records.sort(key=_place)
    return tuple(records), tuple(corrupt)


def _place(record: Record) -> Position:
    return record.position


read_author: Final = ByIdentity(_read_author)
"""Of a mesh and the rows of one author: the records that they keep, in order of position, and what deletes the rows
that keep none, because they do not decode or are of another mesh."""


def _read_row(mesh_id: MeshId, row: Row) -> Record | None:
    kept = row[-1]
    try:
        encoded = _whole(row, kept, mesh_id) if isinstance(kept, bytes) else None
        if encoded is None:
            return None
        statement = decode_statement(encoded)
        record = read_record(encoded)
    except DecodeError:
        return None
    says = (*slot_of(record.author, record.kind, record.key), record.epoch, record.seq)
    if says != tuple(row[:5]) or statement.mesh_id != mesh_id:
        return None
    return record
