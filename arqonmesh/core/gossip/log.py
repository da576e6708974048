"""What a replica holds of one author: its newest statement, and the newest one per (kind, key).

**Invariant** (prefix closure, Scuttlebutt, van Renesse et al., LADIS 2008): a replica whose head of an author is
(epoch, seq) holds every statement of that author up to there which nothing that the author said since supersedes.
Whoever raises `head` past a statement that it neither holds nor knows to be superseded loses that statement
silently, because nobody will offer it again. Therefore the head moves only along what a delta vouches for
(`GossipDelta.bases`), and the log's `total` is part of the root hash, so that a hole, should one come to be, is
found by comparison.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from sys import intern
from typing import Final, TypeAlias

from msgspec import Struct

from arqonmesh.ids import NodeId
from arqonmesh.wire.memo import ByIdentity, Memo
from arqonmesh.wire.statement import (
    FLOOR_KEYS,
    GENESIS_HASH,
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
_INDEXED_ABOVE: Final = 16
"""Records of one author beyond which looking one up by its key is worth an index, and adding them up anew is not: most
members say five things, found as fast without one; the founder has an admission for each member."""


def _body_of(encoded: bytes) -> Body | None:
    statement = decode_statement(encoded)
    return decode_body(statement.kind, statement.body)


body_of: Final = Memo(_body_of, 256)
"""What a statement's bytes say; None for a kind that this version does not know. Raises DecodeError as
`decode_statement` and `decode_body` do."""


class Record(Struct, frozen=True, gc=False):
    """One verified statement: its bytes and where they belong. A node keeps several of each member, so what the bytes
    say, and their hash, are made from them when somebody asks."""

    author: NodeId
    epoch: int
    seq: int
    kind: int
    key: str
    encoded: bytes

    @classmethod
    def of(cls, statement: Statement, encoded: bytes) -> Record:
        return cls(
            NodeId(intern(statement.author)),
            statement.epoch,
            statement.seq,
            int(statement.kind),
            intern(statement.key),
            encoded,
        )

    @property
    def position(self) -> Position:
        return self.epoch, self.seq

    @property
    def body(self) -> Body | None:
        """None for a kind that this version does not know."""
        return body_of(self.encoded)

    @property
    def hash(self) -> bytes:
        return statement_hash(self.encoded)


def _read_record(encoded: bytes) -> Record:
    body_of(encoded)
    return Record.of(decode_statement(encoded), encoded)


read_record: Final = Memo(_read_record, 256)
"""Bytes to Record. Raises DecodeError for what is not a statement, or not one with a body of its kind."""


class AuthorLog:
    """The records of one author, in order. Knows nothing of signatures; who calls `put` has checked them."""

    __slots__ = ("_beyond", "_bytes", "_ordered", "_slots", "_total", "fingerprint", "shared")

    def __init__(self) -> None:
        self._bytes = 0
        self._total = 0
        """As below, kept up once there are many records; of a few they are made when asked."""
        self.fingerprint: bytes | None = None
        """Kept by the replica while nothing changes."""
        self.shared = False
        """Other replicas hold it too: nobody changes it, who has to takes a `copy`."""
        self._ordered: list[Record] = []
        self._slots: dict[int, dict[str, Record]] | None = None
        """By kind and key, once there are many."""
        self._beyond: tuple[Position, bytes] | None = None
        """The head and its hash, when that statement itself is not held (any more)."""

    @classmethod
    def restored(cls, records: Sequence[Record]) -> AuthorLog:
        """The log of an author that holds nothing else than these, one of each (kind, key), in order of position: as if
        they had been put one after the other."""
        log = cls()
        log._ordered = list(records)
        log.shared = bool(restored_log.capacity)
        if len(records) > _INDEXED_ABOVE:
            log._index()
        return log

    def copy(self) -> AuthorLog:
        """One with the same records, for one replica alone."""
        log = AuthorLog()
        log._bytes, log._total, log._beyond = self._bytes, self._total, self._beyond
        log._ordered = list(self._ordered)
        if self._slots is not None:
            log._slots = {kind: dict(by_key) for kind, by_key in self._slots.items()}
        return log

    def __len__(self) -> int:
        return len(self._ordered)

    @property
    def total(self) -> int:
        """Sum of the record hashes modulo 2^256: equal sets, equal totals. An author who can choose among hashes could
        construct two sets of one total (generalised birthday); it would only hide its own records."""
        return _total(self._ordered) if self._slots is None else self._total

    @property
    def bytes_held(self) -> int:
        return _bytes(self._ordered) if self._slots is None else self._bytes

    @property
    def head(self) -> Position:
        """The newest statement up to which this replica has seen everything."""
        if self._beyond is not None:
            return self._beyond[0]
        return self._ordered[-1].position if self._ordered else ORIGIN

    @property
    def head_hash(self) -> bytes:
        if self._beyond is not None:
            return self._beyond[1]
        return self._ordered[-1].hash if self._ordered else GENESIS_HASH

    @property
    def holds_head(self) -> bool:
        """Whether the head's own statement is held; then its place need not be kept apart."""
        return self._beyond is None

    def restore_head(self, position: Position, hash_: bytes) -> bool:
        """Take a head that lies beyond what is held; False when it does not."""
        if position <= self.head:
            return False
        self._beyond = (position, hash_)
        return True

    def at(self, position: Position) -> Record | None:
        """The statement held at exactly this position, if it is not superseded."""
        ordered = self._ordered
        index = bisect_left(ordered, position, key=_position)
        return ordered[index] if index < len(ordered) and ordered[index].position == position else None

    def get(self, kind: int, key: str) -> Record | None:
        """The newest statement of (kind, key)."""
        if self._slots is not None:
            return self._slots.get(kind, _NONE).get(key)
        for record in self._ordered:
            if record.kind == kind and record.key == key:
                return record
        return None

    def supersedes(self, position: Position, kind: int, key: str) -> bool:
        """Is a newer statement of (kind, key) held than one at `position` would be, or has its author voided it?"""
        held = self.get(kind, key)
        return (held is not None and held.position > position) or (kind in FLOOR_KEYS and position <= self.floor(kind))

    def floor(self, kind: int) -> Position:
        """Of this kind nothing counts that the author said up to here (see `wire.statement.Floor`)."""
        held = self.get(Kind.FLOOR, FLOOR_KEYS[kind]) if kind in FLOOR_KEYS else None
        body = None if held is None else held.body
        if held is None or not isinstance(body, Floor):
            return ORIGIN
        return min((body.epoch, body.seq), held.position)

    def void(self) -> list[Record]:
        """Drop what lies at or below its floor. Returns it, in order."""
        floors = {kind: self.floor(kind) for kind in FLOOR_KEYS}
        gone = [r for r in self._ordered if r.kind in floors and r.position <= floors[r.kind]]
        return [self.drop(r.kind, r.key) for r in gone]

    def put(self, record: Record) -> None:
        """Hold `record` as the newest of its (kind, key), and advance the head if it is the newest of all."""
        old = self.get(record.kind, record.key)
        if record.position > self.head:
            self._beyond = None
        elif self._beyond is None:
            self._beyond = (self.head, self.head_hash)
        if old is not None:
            assert old.position < record.position, f"{old.position} superseded by {record.position}"
            self._remove(old)
        ordered = self._ordered
        index = len(ordered)
        if ordered and ordered[-1].position > record.position:
            index = bisect_left(ordered, record.position, key=_position)
        ordered.insert(index, record)
        if self._slots is not None:
            self._slots.setdefault(record.kind, {})[record.key] = record
            self._bytes += len(record.encoded)
            self._total = (self._total + int.from_bytes(record.hash, "big")) % _MODULUS
        elif len(ordered) > _INDEXED_ABOVE:
            self._index()
        self._settle()

    def drop(self, kind: int, key: str) -> Record:
        """Do not hold this one any more. The head stays: what it vouches for has been seen."""
        record = self.get(kind, key)
        assert record is not None, f"nothing is held of kind {kind} with key {key!r}"
        if self._beyond is None:
            self._beyond = (self.head, self.head_hash)
        self._remove(record)
        self._settle()
        return record

    def cut_off(self, cut: Position) -> list[Record]:
        """Drop everything at or beyond `cut`, in order, and let the head be the newest of what is left."""
        gone = self._ordered[bisect_left(self._ordered, cut, key=_position) :]
        for record in gone:
            self._remove(record)
        self._beyond = None
        return gone

    def ordered(self) -> list[Record]:
        """Everything held, by position. Not to be changed."""
        return self._ordered

    def after(self, position: Position) -> list[Record]:
        """Everything held beyond `position`, in order."""
        return [] if position >= self.head else self._ordered[self.index_after(position) :]

    def index_after(self, position: Position) -> int:
        """How many of `ordered()` lie at or before `position`."""
        return bisect_right(self._ordered, position, key=_position)

    def _remove(self, record: Record) -> None:
        del self._ordered[bisect_left(self._ordered, record.position, key=_position)]
        if self._slots is not None:
            del self._slots[record.kind][record.key]
            self._bytes -= len(record.encoded)
            self._total = (self._total - int.from_bytes(record.hash, "big")) % _MODULUS

    def _index(self) -> None:
        """There are many: find them by key, and keep up what all of them come to."""
        self._slots = _indexed(self._ordered)
        self._bytes, self._total = _bytes(self._ordered), _total(self._ordered)

    def _settle(self) -> None:
        """A head that is held needs no place of its own."""
        beyond = self._beyond
        if beyond is not None and self._ordered:
            last = self._ordered[-1]
            if last.position == beyond[0] and last.hash == beyond[1]:
                self._beyond = None


def _restored(records: tuple[Record, ...]) -> AuthorLog | None:
    if not all(_position(a) < _position(b) for a, b in pairwise(records)):
        return None
    return AuthorLog.restored(records)


restored_log: Final = ByIdentity(_restored)
"""The log of an author that holds nothing but these; None when two of them claim one place. Remembered where `capacity`
says so: in a simulator, where a thousand nodes restore the same. Then it is `shared`."""

_NONE: Final[dict[str, Record]] = {}


def _indexed(records: Iterable[Record]) -> dict[int, dict[str, Record]]:
    found: dict[int, dict[str, Record]] = {}
    for record in records:
        found.setdefault(record.kind, {})[record.key] = record
    return found


def _total(records: Iterable[Record]) -> int:
    return sum(int.from_bytes(record.hash, "big") for record in records) % _MODULUS


def _bytes(records: Iterable[Record]) -> int:
    return sum(len(record.encoded) for record in records)


def _position(record: Record) -> Position:
    return record.epoch, record.seq
