"""What one node holds of each author: an abstract gossip in place of links and disks."""

from __future__ import annotations

from dataclasses import dataclass, field

from arqonmesh.wire.statement import Body


@dataclass(frozen=True, slots=True)
class Record:
    seq: int
    kind: int
    key: str
    body: Body


@dataclass(slots=True)
class Log:
    """What one node holds of one author: the newest record of each (kind, key), and how far it has heard it."""

    head: int = 0
    newest: dict[tuple[int, str], Record] = field(default_factory=dict)

    def take(self, record: Record) -> None:
        self.head = max(self.head, record.seq)
        self.newest.pop((record.kind, record.key), None)
        self.newest[record.kind, record.key] = record

    def beyond(self, head: int) -> list[Record]:
        return sorted((r for r in self.newest.values() if r.seq > head), key=lambda r: r.seq)
