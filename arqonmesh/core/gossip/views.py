"""What others read in the store: the roots and heads that compare it, records by place, what a joiner is handed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arqonmesh.core.gossip.join import joining
from arqonmesh.core.gossip.log import Position, Record
from arqonmesh.core.gossip.replica import Head, Replica
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Body, Kind, decode_statement


class Views:
    """Queries of one replica; they change nothing."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def root(self) -> bytes:
        """Hash over all that is held and every verdict; equal on two nodes when they hold the same."""
        return self._replica.root()

    def heads(self) -> tuple[tuple[NodeId, int, int], ...]:
        """(author, epoch, seq) of every author's newest statement, sorted by author."""
        return self._replica.digest()

    def entry(self, author: NodeId) -> Head:
        """What a digest says of this author."""
        return self._replica.entry(author)

    def get(self, author: NodeId, kind: int, key: str = "") -> Body | None:
        """What the newest statement of this (author, kind, key) says."""
        record = self._record(author, kind, key)
        return None if record is None else record.body

    def encoded(self, author: NodeId, kind: int, key: str = "") -> bytes | None:
        """The newest statement of this (author, kind, key) as its author signed it."""
        record = self._record(author, kind, key)
        return None if record is None else record.encoded

    def statements(self, kind: int) -> Iterator[tuple[NodeId, str, Body]]:
        """(author, key, body) of every newest statement of a kind, sorted by author and key."""
        for record in self._records(kind):
            body = record.body
            if body is not None:
                yield record.author, record.key, body

    def encoded_for_join(self, lineage: Sequence[tuple[NodeId, NodeId]] = ()) -> tuple[bytes, ...]:
        """What a joiner needs to verify the roster by itself: genesis, join policy, the invites in use, admissions; at
        most what one frame takes. The joiner's own chain of admissions goes first (`lineage`: (admitter, admitted) from
        the joiner up to the founder), so it fits whatever the size of the roster; the rest of that comes by gossip."""
        first = [self._record(admitter, Kind.ADMISSION, admitted) for admitter, admitted in lineage]
        kinds = (Kind.GENESIS, Kind.JOIN_POLICY, Kind.INVITE, Kind.ADMISSION)
        return joining([record for record in first if record is not None], map(self._records, kinds))

    def excludes(self, encoded: bytes) -> bool:
        """Is this statement at or beyond its author's proven fork?"""
        statement = decode_statement(encoded)
        cut = self._replica.cut(NodeId(statement.author))
        return cut is not None and (statement.epoch, statement.seq) >= cut

    @property
    def bytes_held(self) -> int:
        return self._replica.bytes_held

    @property
    def forked(self) -> tuple[NodeId, ...]:
        """Authors that were proven to have contradicted themselves."""
        return tuple(sorted(self._replica.forks))

    @property
    def verdicts(self) -> tuple[tuple[NodeId, Position], ...]:
        """(author, lowest proven fork), sorted by author."""
        return self._replica.verdict.entries

    def _is_held(self, record: Record) -> bool:
        log = self._replica.authors.get(record.author)
        return log is not None and log.at(record.position) is record

    def _record(self, author: NodeId, kind: int, key: str) -> Record | None:
        log = self._replica.authors.get(author)
        return None if log is None else log.get(kind, key)

    def _records(self, kind: int) -> Iterator[Record]:
        for author in self._replica.sorted_authors():
            held = [record for record in self._replica.authors[author].ordered() if record.kind == kind]
            yield from sorted(held, key=_key)


def _key(record: Record) -> str:
    return record.key
