"""What other cores are told of statements: applied, taken back; and what is counted on the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from arqonmesh.core.events import Applied, Dropped, Withdrawn
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.log import AuthorLog, Position, Record, body_of, read_record
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.kernel import Effect, Emit, Write
from arqonmesh.ids import NodeId
from arqonmesh.wire.memo import ByIdentity, Memo
from arqonmesh.wire.statement import Kind, decode_statement

_Slot: TypeAlias = tuple[NodeId, int, str]
_Saying: TypeAlias = tuple[tuple[int, tuple[Effect, ...]], ...]
"""By kind, what is told of it."""


class Telling:
    """The voice of one gossip core towards the cores beside it."""

    def __init__(self, me: NodeId, counters: dict[str, int]) -> None:
        self._me = me
        self.counters = counters
        self.kinds: dict[int, int] = {}
        """How many statements of each kind became news here, ours included."""
        self._introduced: dict[_Slot, Position] = {}
        """What a join told the other cores before it came by gossip, and where it stands in its author's log."""

    def introduced(self, event: Applied) -> None:
        """A join has told the other cores of this one already."""
        statement = decode_statement(event.encoded)
        self._introduced[event.author, event.kind, event.key] = (statement.epoch, statement.seq)

    def applied(self, records: Iterable[Record]) -> list[Effect]:
        """Each record as it holds from now on; not those of a kind that this version does not know."""
        effects: list[Effect] = []
        for record in records:
            if self._introduced:
                self._introduced.pop((record.author, record.kind, record.key), None)
            said = told(record.encoded) if record.author != self._me else _told(record.encoded, ours=True)
            if said is not None:
                self.kinds[record.kind] = self.kinds.get(record.kind, 0) + 1
                effects.append(said)
        return effects

    def restored(self, replica: Replica) -> list[Effect]:
        """At start, before anything else is told: all that is held, kind after kind as the roster needs them (first all
        by which an admission is judged), in each by author and key."""
        by_kind: dict[int, list[Effect]] = {}
        for author in replica.sorted_authors():
            log = replica.authors[author]
            said = said_by((log,)) if log.shared and author != self._me else _said(log, ours=author == self._me)
            for kind, effects in said:
                if kind in by_kind:
                    by_kind[kind] += effects
                else:
                    by_kind[kind] = list(effects)
        self.kinds = {kind: self.kinds.get(kind, 0) + len(effects) for kind, effects in by_kind.items()}
        return [effect for kind in sorted(by_kind, key=_turn) for effect in by_kind[kind]]

    def taken_back(self, records: Sequence[Record]) -> tuple[list[Write], list[Effect]]:
        """The rows to delete and the events to tell for records that do not count any more."""
        self.count("withdrawn", len(records))
        writes: list[Write] = [disk.delete_row(record) for record in records]
        return writes, [Emit(Withdrawn(r.author, r.kind, r.key)) for r in records if r.body is not None]

    def uninvited(self, author: NodeId, cut: Position) -> list[Effect]:
        """Take back what a join told the other cores of this author, beyond its fork and never seen by gossip."""
        return self._retract([s for s, at in self._introduced.items() if s[0] == author and at >= cut])

    def voided(self, log: AuthorLog, author: NodeId) -> list[Effect]:
        """The same of what the author has made void since: an old word of a join must not bring back what is over."""
        return self._retract([s for s, at in self._introduced.items() if s[0] == author and at <= log.floor(s[1])])

    def _retract(self, slots: list[_Slot]) -> list[Effect]:
        for slot in slots:
            del self._introduced[slot]
        return [Emit(Withdrawn(*slot)) for slot in slots]

    def dropped(self, reason: str, detail: str) -> list[Effect]:
        return [Emit(Dropped("gossip", reason, 1, detail))]

    def count(self, name: str, count: int) -> None:
        if count:
            self.counters[name] = self.counters.get(name, 0) + count


def _told(encoded: bytes, *, ours: bool = False) -> Effect | None:
    record, body = read_record(encoded), body_of(encoded)
    return None if body is None else Emit(Applied(record.author, record.kind, record.key, body, encoded, ours))


told: Final = Memo(_told, 0)
"""What is told of another's statement; None for one of a kind that this version does not know. Remembered where
`capacity` says so: in a simulator, where a thousand nodes tell the same."""


def _said(log: AuthorLog, *, ours: bool = False) -> _Saying:
    """All that an author has to say, by kind; in each by key."""
    by_kind: dict[int, list[Effect]] = {}
    for record in sorted(log.ordered(), key=_key):
        said = _told(record.encoded, ours=True) if ours else told(record.encoded)
        if said is not None:
            by_kind.setdefault(record.kind, []).append(said)
    return tuple((kind, tuple(effects)) for kind, effects in by_kind.items())


def _said_by(logs: tuple[Any, ...]) -> _Saying:
    return _said(logs[0])


said_by: Final = ByIdentity(_said_by)
"""What another's log, alone in its tuple, has to say, when it is `shared`; remembered as `told` is."""

_TURNS: Final[dict[int, int]] = {Kind.GENESIS: -3, Kind.JOIN_POLICY: -2, Kind.INVITE: -1}


def _turn(kind: int) -> int:
    return _TURNS.get(kind, kind)


def _key(record: Record) -> str:
    return record.key
