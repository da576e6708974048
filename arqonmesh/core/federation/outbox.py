"""The queue of one link: what waits for it and what flies on it, until the other side has settled it.

    add ──▶ waiting ──pump──▶ flying ──ack──▶ gone
               ▲                 │
               └──── rewind ─────┘      its connection is gone: everything unsettled goes again, in order

At most `window_bytes` fly; the rest waits, so what is handed to the link is bounded whatever has piled up. The number
on the link is given when a batch takes off, each time a new one: numbers are contiguous, so the other side notices a
batch that the link lost, and never used twice, so an answer that comes late settles nothing that it did not mean.
`order`, the place in the queue, is the other number: it stays, and is the key of the row when the batch is on disk.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass

from arqonmesh.config.model import OutboxSettings
from arqonmesh.core.federation.batch import Parcel
from arqonmesh.core.federation.custody import Custody
from arqonmesh.core.federation.spared import Spared
from arqonmesh.core.kernel import Instant
from arqonmesh.ids import NodeId


@dataclass(slots=True, eq=False)
class Entry:
    """One batch in one link's queue."""

    peer: NodeId
    order: int
    parcel: Parcel
    custody: Custody | None
    """Set while an upstream link waits for this batch to be settled here; None for our own."""
    taken_at: Instant
    link_seq: int = 0
    stored: bool = False
    """A row of it is on disk or on its way there."""
    gone: bool = False
    """Settled by the other side, or dropped."""


class Outbox:
    """Bounded by messages and bytes; beyond either, the oldest that does not fly yet goes."""

    def __init__(self, peer: NodeId, settings: OutboxSettings, *, next_link_seq: int) -> None:
        self.peer = peer
        self.up = False
        self.above = False
        """Whether publishers have been told to pause."""
        self.messages = 0
        self.bytes = 0
        self.next_order = 1
        self.last_link_seq = next_link_seq - 1
        self.spared = Spared()
        self._settings = settings
        self._waiting: deque[Entry] = deque()
        self._flying: deque[Entry] = deque()
        self._flying_bytes = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._flying)

    def entries(self) -> list[Entry]:
        """All of them, oldest first."""
        return [*self._flying, *self._waiting]

    def waiting_messages(self) -> int:
        """In what does not fly."""
        return sum(entry.parcel.messages for entry in self._waiting)

    def add(self, parcel: Parcel, custody: Custody | None, now: Instant, place: int | None = None) -> Entry:
        """At the end, or in a reserved place while nothing flies."""
        if place is None:
            entry = Entry(self.peer, self.reserve(), parcel, custody, now)
            self._waiting.append(entry)
        else:
            entry = Entry(self.peer, place, parcel, custody, now)
            insort(self._waiting, entry, key=_order)
        self._count(entry)
        return entry

    def fits(self, messages: int, size: int) -> bool:
        """Whether this goes in, and nothing has to go for it."""
        return self.messages + messages <= self._settings.messages_max and self.bytes + size <= self._settings.bytes_max

    def reserve(self) -> int:
        """The next place in the queue; it stays empty, or is filled later."""
        order = self.next_order
        self.next_order += 1
        return order

    def newest(self) -> dict[str, int]:
        """Of each origin the place of its newest batch that waits."""
        return {entry.parcel.via[0]: entry.order for entry in self._waiting}

    def restore(self, order: int, parcel: Parcel) -> None:
        """A row of an earlier life; they come in order."""
        self.next_order = order + 1
        entry = Entry(self.peer, order, parcel, None, 0, stored=True)
        self._waiting.append(entry)
        self._count(entry)

    def trim(self) -> list[Entry]:
        """Take out what the bounds do not allow."""
        out: list[Entry] = []
        while self.messages > self._settings.messages_max or self.bytes > self._settings.bytes_max:
            entry = self._waiting.popleft() if self._waiting else self._land()
            self._leave(entry)
            out.append(entry)
        return out

    def pump(self) -> list[Entry]:
        """Number and take what may fly now. At least one flies, however large."""
        if not self.up:
            return []
        out: list[Entry] = []
        while self._waiting and (not self._flying or self._flying_bytes < self._settings.window_bytes):
            entry = self._waiting.popleft()
            self.last_link_seq += 1
            entry.link_seq = self.last_link_seq
            self._flying.append(entry)
            self._flying_bytes += entry.parcel.size
            out.append(entry)
        return out

    def acked(self, link_seq: int) -> list[Entry]:
        """The other side settled everything up to this number. A number never sent settles nothing."""
        out: list[Entry] = []
        if link_seq > self.last_link_seq:
            return out
        while self._flying and self._flying[0].link_seq <= link_seq:
            entry = self._land()
            self._leave(entry)
            out.append(entry)
        return out

    def rewind(self) -> int:
        """Everything that flew waits again, in its old place. Returns how many messages that are."""
        self._waiting.extendleft(reversed(self._flying))
        again = sum(entry.parcel.messages for entry in self._flying)
        self._flying.clear()
        self._flying_bytes = 0
        return again

    def clear_waiting(self) -> list[Entry]:
        """Take out what does not fly."""
        out = list(self._waiting)
        self._waiting.clear()
        for entry in out:
            self._leave(entry)
        return out

    def clear_flying(self) -> list[Entry]:
        """Take out what flies. It may have arrived."""
        out = list(self._flying)
        self._flying.clear()
        self._flying_bytes = 0
        for entry in out:
            self._leave(entry)
        return out

    def replace(self, entry: Entry, parcel: Parcel) -> None:
        """Another parcel in an entry's place."""
        self.messages += parcel.messages - entry.parcel.messages
        self.bytes += parcel.size - entry.parcel.size
        if entry in self._flying:
            self._flying_bytes += parcel.size - entry.parcel.size
        entry.parcel = parcel

    def withdraw(self, entry: Entry) -> None:
        """Take one out, wherever it is. If it flies its number is settled with those after it."""
        if entry in self._flying:
            self._flying.remove(entry)
            self._flying_bytes -= entry.parcel.size
        else:
            self._waiting.remove(entry)
        self._leave(entry)

    def crossed(self) -> bool | None:
        """True or False when the backlog of an up link rose above its mark or fell below half of it, else None."""
        window = self._settings.window_bytes
        above = self.up and self.bytes > (window // 2 if self.above else window)
        if above is self.above:
            return None
        self.above = above
        return above

    def _count(self, entry: Entry) -> None:
        self.messages += entry.parcel.messages
        self.bytes += entry.parcel.size

    def _land(self) -> Entry:
        entry = self._flying.popleft()
        self._flying_bytes -= entry.parcel.size
        return entry

    def _leave(self, entry: Entry) -> None:
        entry.gone = True
        self.messages -= entry.parcel.messages
        self.bytes -= entry.parcel.size


def _order(entry: Entry) -> int:
    return entry.order
