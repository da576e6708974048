"""All that one node holds of all authors, as a semilattice: what it takes in, in whatever order, two replicas that
have taken in the same are equal, and equal roots say so.

    author ── log ─────────┐
    verdict (lowest fork) ─┴─▶ fingerprint ─▶ one of 256 bucket hashes ─▶ root

Per author the state is (verdict, newest record per key below the verdict). Verdicts join by minimum, records by
position; two different records at one place cannot both stay, because they are a proof that lowers the verdict below
both. So every pair of replicas that exchanges what differs ends equal.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from arqonmesh.core.crdt.min_map import MinMap
from arqonmesh.core.gossip.forks import Fork
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import ORIGIN, AuthorLog, Position, Record, restored_log
from arqonmesh.ids import NodeId

_AUTHOR_DOMAIN: Final = b"arqonmesh/v1/author\\x00"
_ROOT_DOMAIN: Final = b"arqonmesh/v1/root\\x00"
BUCKETS: Final = 256
FINGERPRINT_BYTES: Final = 16
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"

Head: TypeAlias = tuple[NodeId, int, int, bytes, bool]
"""(author, epoch, seq, fingerprint, forked) as in GossipDigest."""


_PREFIXES: Final = tuple(
    tuple(_ALPHABET[bucket >> 3] + _ALPHABET[(bucket & 7) << 2 | low] for low in range(4)) for bucket in range(BUCKETS)
)
"""Per bucket the four pairs of letters with which ids begin in it."""
_BUCKET: Final = {prefix: bucket for bucket, prefixes in enumerate(_PREFIXES) for prefix in prefixes}


def bucket_of(author: NodeId) -> int:
    """The first eight bits of the id, which is the base32 of a hash."""
    return _BUCKET[author[:2]]


class Replica:
    """Author logs, verdicts, and the figures that bound and compare them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.authors: dict[NodeId, AuthorLog] = {}
        self.forks: dict[NodeId, Fork] = {}
        """The proof of the lowest fork of each author that has one."""
        self.verdict = MinMap()
        self.bytes_held = 0
        self._hashes: list[bytes] = [bytes(FINGERPRINT_BYTES)] * BUCKETS
        self._stale: dict[int, None] = {}
        """Buckets whose hash has to be made anew."""
        self._root: bytes | None = None
        self._sorted: list[NodeId] = []
        """All authors."""

    # --- writing ------------------------------------------------------------------------------------------------------

    def refusal(self, record: Record) -> str | None:
        """The bound that keeps `record` out, or None."""
        size = len(record.encoded)
        log = self.authors.get(record.author)
        replaced = None if log is None else log.get(record.kind, record.key)
        if replaced is not None:  # a full store still takes what is new of what it holds
            size -= len(replaced.encoded)
        if log is None:
            if len(self.authors) >= self._limits.authors:
                return "too-many-authors"
        elif replaced is None and len(log) >= self._limits.records_per_author:
            return "too-many-records"
        elif log.bytes_held + size > self._limits.bytes_per_author:
            return "author-too-large"
        return "store-full" if self.bytes_held + size > self._limits.bytes_total else None

    def put(self, record: Record) -> AuthorLog:
        """Hold a verified record that no held one supersedes. Returns the author's log."""
        log = self._log(record.author)
        before = log.bytes_held
        log.put(record)
        self.bytes_held += log.bytes_held - before
        self._changed(record.author)
        return log

    def restore(self, authors: Iterable[tuple[Record, ...]]) -> None:
        """At start: everything that the disk has kept, each author's in order of position. One of each (kind, key),
        since that is the key of their table; two rows that claim one place (a corrupt one is among them) are put one by
        one."""
        for held in authors:
            author = held[0].author
            log = restored_log(held)
            if log is not None and author not in self.authors:
                self.authors[author] = log
                self.bytes_held += log.bytes_held
            else:
                for record in held:
                    self.put(record)
        self._sorted = sorted(self.authors)
        self._stale = dict.fromkeys(range(BUCKETS))
        self._root = None

    def restore_head(self, author: NodeId, position: Position, hash_: bytes) -> bool:
        """At start: the stored head, which counts even when the row of its statement was lost. False: a later one is
        held."""
        beyond = position > self.head(author) and self._log(author).restore_head(position, hash_)
        if beyond:
            self._changed(author)
        return beyond

    def convict(self, author: NodeId, fork: Fork) -> list[Record] | None:
        """Join a proof into the verdict. Returns the records that do not count any more, or None when as low a fork
        was known: then nothing has changed."""
        joined = self.verdict.join(MinMap.at(author, *fork.cut))
        if joined == self.verdict:
            return None
        self.verdict = joined
        self.forks[author] = fork
        log = self._log(author)
        before = log.bytes_held
        gone = log.cut_off(fork.cut)
        self.bytes_held += log.bytes_held - before
        self._changed(author)
        return gone

    def void(self, author: NodeId) -> list[Record]:
        """Let go of what the author's own floor has made void. Returns it."""
        log = self._log(author)
        before = log.bytes_held
        gone = log.void()
        self.bytes_held += log.bytes_held - before
        self._changed(author)
        return gone

    def forget(self, author: NodeId) -> list[Record]:
        """Hold nothing of this author, verdict included: it is no member any more. Returns what was held."""
        log = self.authors.pop(author, None)
        if log is None:
            return []
        self.forks.pop(author, None)
        self.verdict = MinMap.of(entry for entry in self.verdict.entries if entry[0] != author)
        self.bytes_held -= log.bytes_held
        self._changed(author)
        del self._sorted[bisect_left(self._sorted, author)]
        return log.ordered()

    # --- comparing ----------------------------------------------------------------------------------------------------

    def cut(self, author: NodeId) -> Position | None:
        """From where on the author does not count; None for one that has not forked."""
        fork = self.forks.get(author)
        return None if fork is None else fork.cut

    def head(self, author: NodeId) -> Position:
        log = self.authors.get(author)
        return ORIGIN if log is None else log.head

    def sorted_authors(self) -> list[NodeId]:
        """Not to be changed."""
        return self._sorted

    def authors_in(self, buckets: int) -> list[NodeId]:
        """The authors of these buckets (a bitmap), sorted."""
        if buckets == (1 << BUCKETS) - 1:
            return self._sorted
        return sorted(author for index in range(BUCKETS) if buckets >> index & 1 for author in self._of_bucket(index))

    def _of_bucket(self, bucket: int) -> list[NodeId]:
        """Its authors, sorted: up to four runs of the sorted authors."""
        known, found = self._sorted, []
        for prefix in sorted(_PREFIXES[bucket]):
            first = bisect_left(known, prefix)
            found += known[first : bisect_left(known, prefix + "~", first)]
        return found

    def fingerprint(self, author: NodeId) -> bytes:
        """16 bytes of SHA-256 over all that counts of this author; zeros when nothing is held of it.

        Of an author that has forked: the verdict and the records below it. Otherwise also the head, so that a hole
        shows. Of whose records only the sum of hashes goes in: against accidents, not as proof (see `AuthorLog.total`).
        """
        log = self.authors.get(author)
        if log is None:
            return bytes(FINGERPRINT_BYTES)
        if log.fingerprint is not None:
            return log.fingerprint
        state = hashlib.sha256(_AUTHOR_DOMAIN + author.encode())
        cut = self.cut(author)
        epoch, seq = log.head if cut is None else cut
        state.update(b"forked" if cut is not None else log.head_hash)
        state.update(epoch.to_bytes(8, "big") + seq.to_bytes(8, "big") + log.total.to_bytes(32, "big"))
        made = log.fingerprint = state.digest()[:FINGERPRINT_BYTES]
        return made

    def records(self) -> Iterator[Record]:
        """Everything that is held, by author and position."""
        for author in self._sorted:
            yield from self.authors[author].ordered()

    def bucket_hashes(self) -> list[bytes]:
        """Of each bucket 16 bytes of SHA-256 over its authors' fingerprints; zeros without any. Not to be changed."""
        for index in self._stale:
            state = hashlib.sha256()
            authors = self._of_bucket(index)
            for author in authors:
                state.update(author.encode() + self.fingerprint(author))
            self._hashes[index] = state.digest()[:FINGERPRINT_BYTES] if authors else bytes(FINGERPRINT_BYTES)
        self._stale.clear()
        return self._hashes

    def root(self) -> bytes:
        """SHA-256 over the bucket hashes. A change costs one bucket, whatever the number of authors."""
        if self._root is None:
            self._root = hashlib.sha256(_ROOT_DOMAIN + b"".join(self.bucket_hashes())).digest()
        return self._root

    def entry(self, author: NodeId) -> Head:
        """What a digest says of this author."""
        cut = self.cut(author)
        position = self.head(author) if cut is None else cut
        return (author, *position, self.fingerprint(author), cut is not None)

    def digest(self) -> tuple[tuple[NodeId, int, int], ...]:
        """Every author's head, sorted by author."""
        return tuple((author, *self.authors[author].head) for author in self.sorted_authors())

    # --- private ------------------------------------------------------------------------------------------------------

    def _log(self, author: NodeId) -> AuthorLog:
        """To be changed by us alone."""
        log = self.authors.get(author)
        if log is not None and log.shared:
            log = self.authors[author] = log.copy()
        if log is None:
            log = self.authors[author] = AuthorLog()
            insort(self._sorted, author)
            self._changed(author)
        return log

    def _changed(self, author: NodeId) -> None:
        log = self.authors.get(author)
        if log is not None and not log.shared:
            log.fingerprint = None
        self._stale[bucket_of(author)] = None
        self._root = None
