"""Transactions in the making, and what each allows once it is on disk: deliveries here, and upstream's forgetting.

Everything of a tick goes into one, a long queue into several. What arrived is delivered when our memory of it is on
disk, in the order of its arrival: without rows to write it waits behind the transactions before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from arqonmesh.core.federation.arrival import Arrival
from arqonmesh.core.federation.inbox import Inbox
from arqonmesh.core.federation.outbox import Entry
from arqonmesh.core.federation.tick import Tick
from arqonmesh.core.kernel import Delete, Effect, Instant, Persist, Put, Write
from arqonmesh.wire.codec import encode_message

COMMIT_BYTES_MAX: Final = 4 << 20
"""Row bytes per transaction; a long queue is written as several."""

Complete: TypeAlias = Callable[[Instant, Arrival, "list[Effect]"], None]
"""Deliver an arrival of which we know now for good."""


@dataclass(slots=True)
class Commit:
    """One transaction in the making, and what it allows once it is done."""

    writes: list[Write] = field(default_factory=list)
    bytes: int = 0
    entries: list[Entry] = field(default_factory=list)
    """Upstream does not wait for these any more."""
    arrivals: list[Arrival] = field(default_factory=list)
    """These are delivered and passed on."""


class Commits:
    """The transactions of this tick, and those that the disk has not confirmed."""

    def __init__(self, inbox: Inbox, tick: Tick) -> None:
        self._inbox = inbox
        self._tick = tick
        self._full: list[Commit] = []
        self._current = Commit()
        self._under_way: dict[int, Commit] = {}
        self._next_token = 1

    def add(self, write: Write) -> None:
        self._current.writes.append(write)

    def arrived(self, arrival: Arrival) -> None:
        """To be completed with this tick's transaction."""
        self._current.arrivals.append(arrival)

    def store(self, now: Instant, entry: Entry) -> None:
        """Write the entry's row with the next transaction."""
        entry.stored = True
        row = (entry.peer, entry.order, encode_message(entry.parcel.numbered(entry.order)))
        commit = self._current
        commit.writes.append(Put("outbox", row))
        commit.bytes += entry.parcel.size
        if entry.custody is not None:
            commit.entries.append(entry)
        if commit.bytes > COMMIT_BYTES_MAX:
            commit.writes += self._inbox.take_writes()  # its arrivals are delivered once it is done, not a later one
            self._full.append(commit)
            self._current = Commit()
        self._tick.note(now)

    def drop_row(self, entry: Entry) -> None:
        """The entry's row, when it has one, goes with the next transaction."""
        if entry.stored:
            self._current.writes.append(Delete("outbox", (entry.peer, entry.order)))

    def write(self, now: Instant, complete: Complete, out: list[Effect]) -> None:
        """All transactions of this tick. Without rows to write, arrivals still wait their turn behind earlier ones."""
        self._current.writes += self._inbox.take_writes()
        commits = [*self._full, self._current]
        self._full, self._current = [], Commit()
        for commit in commits:
            answer = bool(commit.arrivals or commit.entries)
            if commit.writes:
                token = self._token(commit) if answer else -1
                promised = bool(
                    commit.entries
                )  # upstream forgets what we acknowledge: it has to survive a loss of power
                out.append(Persist(token, tuple(commit.writes), sync=promised))
            elif commit.arrivals and self._under_way:
                newest = next(reversed(self._under_way.values()))
                newest.arrivals += commit.arrivals
            else:
                for arrival in commit.arrivals:
                    complete(now, arrival, out)

    def confirmed(self, token: int) -> Commit:
        """The disk has this one."""
        return self._under_way.pop(token)

    def waiting(self) -> Iterator[Arrival]:
        """What waits for its row."""
        for commit in (*self._full, self._current, *self._under_way.values()):
            yield from commit.arrivals

    def _token(self, commit: Commit) -> int:
        token = self._next_token
        self._next_token += 1
        self._under_way[token] = commit
        return token
