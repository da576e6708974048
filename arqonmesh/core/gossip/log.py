"""What a replica holds of one author: its newest statement, and the newest one per (kind, key).

**Invariant** (prefix closure, Scuttlebutt, van Renesse et al., LADIS 2008): a replica whose head of an author is
(epoch, seq) holds every statement of that author up to there which nothing that the author said since supersedes.
Whoever raises `head` past a statement that it neither holds nor knows to be superseded loses that statement
silently, because nobody will offer it again. Therefore the head moves only along what a delta vouches for
(`GossipDelta.bases`), and the log's `total` is part of the root hash, so that a hole, should one come to be, is
found by comparison.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from sys import intern
from typing import Final, TypeAlias

from arqonmesh.ids import NodeId
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.statement import (
    GENESIS_HASH,
    VOIDABLE,
    Body,
    Floor,
    Kind,
    Statement,
    decode_body,
    decode_statement,
    statement_hash,
)

Position: TypeAlias = tuple[int, int]
"""(epoch, seq) of an author, ordered as a tuple."""
ORIGIN: Final[Position] = (0, 0)
"""Before an author's first statement."""
_MODULUS: Final = 1 << 256


@dataclass(frozen=True, slots=True)
class Record:
    """One verified statement with what is needed to serve, compare and apply it."""

    author: NodeId
    position: Position
    kind: int
    key: str
    body: Body | None
    """None for a kind that this version does not know."""
    encoded: bytes
    hash: bytes

    @classmethod
    def of(cls, statement: Statement, body: Body | None, encoded: bytes) -> Record:
        return cls(
            author=NodeId(intern(statement.author)),
            position=(statement.epoch, statement.seq),
            kind=statement.kind,
            key=intern(statement.key),
            body=body,
            encoded=encoded,
            hash=statement_hash(encoded),
        )


def _read_record(encoded: bytes) -> Record:
    statement = decode_statement(encoded)
    return Record.of(statement, decode_body(statement.kind, statement.body), encoded)


read_record: Final = Memo(_read_record, 256)
"""Bytes to Record. Raises DecodeError for what is not a statement, or not one with a body of its kind."""


class AuthorLog:
    """The records of one author. Knows nothing of signatures; who calls `put` has checked them."""

    __slots__ = ("_by_position", "_ordered", "bytes_held", "head", "head_hash", "records", "total")

    def __init__(self) -> None:
        self.head: Position = ORIGIN
        self.head_hash: bytes = GENESIS_HASH
        self.records: dict[tuple[int, str], Record] = {}
        self.bytes_held = 0
        self.total = 0
        """Sum of the record hashes modulo 2^256: equal sets, equal totals. An author who can choose among hashes could
        construct two sets of one total (generalised birthday); it would only hide its own records."""
        self._by_position: dict[Position, Record] = {}
        self._ordered: list[Record] | None = []

    def __len__(self) -> int:
        return len(self.records)

    def at(self, position: Position) -> Record | None:
        """The statement held at exactly this position, if it is not superseded."""
        return self._by_position.get(position)

    def supersedes(self, position: Position, kind: int, key: str) -> bool:
        """Is a newer statement of (kind, key) held than one at `position` would be, or has its author voided it?"""
        held = self.records.get((kind, key))
        return (held is not None and held.position > position) or (kind in VOIDABLE and position <= self.floor)

    @property
    def floor(self) -> Position:
        """Of the voidable kinds nothing counts that the author said up to here (see `wire.statement.Floor`)."""
        held = self.records.get((Kind.FLOOR, ""))
        if held is None or not isinstance(held.body, Floor):
            return ORIGIN
        return min((held.body.epoch, held.body.seq), held.position)

    def void(self) -> list[Record]:
        """Drop what lies at or below the floor. Returns it, in order."""
        floor = self.floor
        gone = [r for r in self.ordered() if r.kind in VOIDABLE and r.position <= floor]
        return [self.drop(r.kind, r.key) for r in gone]

    def put(self, record: Record) -> None:
        """Hold `record` as the newest of its (kind, key), and advance the head if it is the newest of all."""
        slot = (record.kind, record.key)
        old = self.records.get(slot)
        if old is not None:
            assert old.position < record.position, f"{old.position} superseded by {record.position}"
            del self._by_position[old.position]
            self.bytes_held -= len(old.encoded)
            self.total -= int.from_bytes(old.hash, "big")
        self.records[slot] = record
        self._by_position[record.position] = record
        self.bytes_held += len(record.encoded)
        self.total = (self.total + int.from_bytes(record.hash, "big")) % _MODULUS
        if (
            self._ordered is not None
            and old is None
            and (not self._ordered or self._ordered[-1].position < record.position)
        ):
            self._ordered.append(record)
        else:
            self._ordered = None
        if record.position > self.head:
            self.head, self.head_hash = record.position, record.hash

    def drop(self, kind: int, key: str) -> Record:
        """Do not hold this one any more. The head stays: what it vouches for has been seen."""
        record = self.records.pop((kind, key))
        del self._by_position[record.position]
        self.bytes_held -= len(record.encoded)
        self.total = (self.total - int.from_bytes(record.hash, "big")) % _MODULUS
        self._ordered = None
        return record

    def cut_off(self, cut: Position) -> list[Record]:
        """Drop everything at or beyond `cut`, in order, and let the head be the newest of what is left."""
        gone = [self.drop(r.kind, r.key) for r in self.ordered() if r.position >= cut]
        left = self.ordered()
        self.head, self.head_hash = (left[-1].position, left[-1].hash) if left else (ORIGIN, GENESIS_HASH)
        return gone

    def ordered(self) -> list[Record]:
        """Everything held, by position. Not to be changed."""
        if self._ordered is None:
            self._ordered = sorted(self.records.values(), key=_position)
        return self._ordered

    def after(self, position: Position) -> list[Record]:
        """Everything held beyond `position`, in order."""
        return [] if position >= self.head else self.ordered()[self.index_after(position) :]

    def index_after(self, position: Position) -> int:
        """How many of `ordered()` lie at or before `position`."""
        return bisect_right(self.ordered(), position, key=_position)


def _position(record: Record) -> Position:
    return record.position
