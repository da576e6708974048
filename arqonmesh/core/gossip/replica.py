"""All that one node holds of all authors, and how two replicas are compared: root, digest, delta."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import ORIGIN, AuthorLog, Position, Record
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import GossipDelta

_ROOT_DOMAIN: Final = b"arqonmesh/v1/root\x00"


@dataclass(frozen=True, slots=True)
class Fork:
    """Two signed statements of one author that cannot both be its history: each is held as it came."""

    first: bytes
    second: bytes
    positions: tuple[Position, Position]
    """Of `first` and `second`: equal, or the second directly follows and names another predecessor."""

    def segment(self, author: NodeId) -> Segment:
        """The proof as part of a delta that vouches for nothing."""
        return Segment(author, None, ((self.positions[0], self.first), (self.positions[1], self.second)))


@dataclass(frozen=True, slots=True)
class Segment:
    """What one delta says of one author: from `base` on, all of these and nothing else. No base: no such promise."""

    author: NodeId
    base: Position | None
    items: Sequence[tuple[Position, bytes]]


class Replica:
    """Author logs with the two figures that bound and compare them: bytes held, and the root."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.authors: dict[NodeId, AuthorLog] = {}
        self.forks: dict[NodeId, Fork] = {}
        self.bytes_held = 0
        self._root: bytes | None = None
        self._sorted: list[NodeId] | None = None

    # --- writing ------------------------------------------------------------------------------------------------------

    def refusal(self, record: Record) -> str | None:
        """The bound that keeps `record` out, or None."""
        size = len(record.encoded)
        log = self.authors.get(record.author)
        if log is None:
            if len(self.authors) >= self._limits.authors:
                return "too-many-authors"
        elif (record.kind, record.key) not in log.records and len(log) >= self._limits.records_per_author:
            return "too-many-records"
        elif log.bytes_held + size > self._limits.bytes_per_author:
            return "author-too-large"
        return "store-full" if self.bytes_held + size > self._limits.bytes_total else None

    def put(self, record: Record) -> AuthorLog:
        """Hold a verified record that no held one supersedes. Returns the author's log."""
        log = self.authors.get(record.author)
        if log is None:
            log = self.authors[record.author] = AuthorLog()
            self._sorted = None
        before = log.bytes_held
        log.put(record)
        self.bytes_held += log.bytes_held - before
        self._root = None
        return log

    def restore_head(self, author: NodeId, position: Position, hash_: bytes) -> None:
        """At start: the stored head, which counts even when the row of its statement was lost."""
        log = self.authors.get(author)
        if log is None:
            log = self.authors[author] = AuthorLog()
            self._sorted = None
        if position > log.head:
            log.head, log.head_hash = position, hash_
            self._root = None

    def convict(self, author: NodeId, fork: Fork) -> None:
        self.forks[author] = fork
        self._root = None

    # --- comparing ----------------------------------------------------------------------------------------------------

    def head(self, author: NodeId) -> Position:
        log = self.authors.get(author)
        return ORIGIN if log is None else log.head

    def sorted_authors(self) -> list[NodeId]:
        if self._sorted is None:
            self._sorted = sorted(self.authors)
        return self._sorted

    def root(self) -> bytes:
        """SHA-256 over every author's head and record total, authors sorted.

        Of an author that has forked only this verdict counts: replicas hold different branches of it, and are equal
        once all of them know.
        """
        if self._root is None:
            state = hashlib.sha256(_ROOT_DOMAIN)
            for author in self.sorted_authors():
                log = self.authors[author]
                state.update(author.encode())
                if author in self.forks:
                    state.update(b"forked")
                    continue
                epoch, seq = log.head
                state.update(epoch.to_bytes(8, "big") + seq.to_bytes(8, "big") + log.head_hash)
                state.update(log.total.to_bytes(32, "big"))
            self._root = state.digest()
        return self._root

    def digest(self) -> tuple[tuple[NodeId, int, int], ...]:
        """Every author's head, sorted by author."""
        return tuple((author, *self.authors[author].head) for author in self.sorted_authors())

    def behind(self, claims: Mapping[NodeId, Position]) -> bool:
        """Does whoever claims this know newer statements than we do, of authors that we still follow?"""
        return any(position > self.head(author) for author, position in claims.items() if author not in self.forks)

    def beyond(self, claims: Mapping[NodeId, Position], first: int) -> list[Segment]:
        """What whoever claims this lacks. Authors in sorted order from index `first` on, cyclically: under truncation a
        start drawn anew each time lets every author through."""
        names = self.sorted_authors()
        segments: list[Segment] = []
        for index in range(len(names)):
            author = names[(first + index) % len(names)]
            base = claims.get(author, ORIGIN)
            log = self.authors[author]
            items = [(record.position, record.encoded) for record in log.after(base)]
            if items:
                segments.append(Segment(author, base, items))
        return segments

    def proofs(self, claims: Mapping[NodeId, Position]) -> list[Segment]:
        """The proofs against authors of whom the claimant has not seen the fork."""
        return [
            fork.segment(author)
            for author, fork in sorted(self.forks.items())
            if claims.get(author, ORIGIN) < fork.positions[1]
        ]


def pack(
    segments: Sequence[Segment], *, budget: int, count_max: int, deltas_max: int | None
) -> tuple[list[GossipDelta], bool]:
    """Segments as deltas of at most `budget` bytes of statements (but at least one statement) each, at most
    `deltas_max` of them (None: as many as it takes). Returns the deltas, and whether something was left out.

    Cut only at the end of what was said of an author so far, so each delta keeps prefix closure: a segment that
    continues in the next delta continues there from the last statement of this one.
    """
    deltas: list[GossipDelta] = []
    statements: list[bytes] = []
    bases: dict[NodeId, Position] = {}
    size = 0

    def close() -> None:
        nonlocal statements, bases, size
        deltas.append(
            GossipDelta(
                statements=tuple(statements),
                bases=tuple((author, *bases[author]) for author in sorted(bases)),
            )
        )
        statements, bases, size = [], {}, 0

    for segment in segments:
        base = segment.base
        for position, encoded in segment.items:
            if statements and (size + len(encoded) > budget or len(statements) >= count_max):
                close()
                if deltas_max is not None and len(deltas) >= deltas_max:
                    return deltas, True
            if base is not None:
                bases.setdefault(segment.author, base)
                base = position
            statements.append(encoded)
            size += len(encoded)
    if statements:
        close()
    return deltas, False
