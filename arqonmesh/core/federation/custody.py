"""What we owe upstream: a batch is acknowledged once it is delivered here and safe with, or for, every next hop.

Whoever sends it waits for all of that, the second sender as well as the first: each of them keeps it until then, so
that a crash of ours leaves no hole in what we pass on, whichever of them is there to send again.

Two nodes that send each other the same batch would thus wait for each other. So a next hop that sends us a batch is
not waited for any more: it has it, on disk. Its acknowledgement still clears our outbox when it comes. What is left of
waiting follows first arrivals, which form a tree that begins at the origin. (Rules that differ between the nodes of one
cluster can still close a circle; then the patience with next hops ends it.)
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from arqonmesh.core.federation.upstream import Upstream, Upstreams
from arqonmesh.core.kernel import MILLISECOND, Instant
from arqonmesh.ids import NodeId

if TYPE_CHECKING:
    from arqonmesh.core.federation.outbox import Entry

CUSTODY_PATIENCE_US: Final = 20 * MILLISECOND
"""How long upstream waits for a next hop's acknowledgement before we take the batch into custody on disk."""

BatchKey: TypeAlias = tuple[str, int, int]
"""(origin, epoch, first section)."""


@dataclass(slots=True, eq=False)
class Custody:
    """One batch in our hands. `owed` counts what has to happen before it is settled: deliveries and next hops."""

    key: BatchKey
    owed: int = 0
    waiters: list[tuple[Upstream, int]] = field(default_factory=list)
    holders: dict[NodeId, None] = field(default_factory=dict)
    """Nodes that sent it to us, and so have it."""
    hops: dict[NodeId, Entry] = field(default_factory=dict)
    """What we owe to each next hop."""


class Custodies:
    """All batches in our hands, and the next hops that upstream has waited for longest."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._open: dict[BatchKey, Custody] = {}
        self._due: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._open)

    def known(self, key: BatchKey) -> Custody | None:
        return self._open.get(key)

    def begin(self, key: BatchKey) -> Custody:
        """The custody of this batch, with one thing more owed: that it is delivered here."""
        custody = self._open.get(key)
        if custody is None:
            custody = self._open[key] = Custody(key)
        custody.owed += 1
        return custody

    def owe(self, custody: Custody, entry: Entry) -> None:
        """The batch waits in a next hop's outbox."""
        custody.owed += 1
        custody.hops[entry.peer] = entry
        self._due.append(entry)

    def wait_too(self, custody: Custody, upstream: Upstream, number: int) -> None:
        """This sender waits for the batch as well, and is itself not waited for."""
        custody.waiters.append((upstream, number))
        custody.holders[upstream.peer] = None
        hop = custody.hops.pop(upstream.peer, None)
        if hop is not None:
            self.release(hop)

    def release(self, entry: Entry) -> None:
        """Upstream does not wait for this entry any more."""
        if entry.custody is not None:
            custody, entry.custody = entry.custody, None
            self.settle(custody)

    def settle(self, custody: Custody) -> None:
        """One of the things owed has happened."""
        custody.owed -= 1
        if custody.owed > 0:
            return
        self._open.pop(custody.key, None)
        for upstream, number in custody.waiters:
            self._upstreams.settled(upstream, number)
        custody.waiters.clear()

    def next_deadline(self) -> Instant | None:
        """When patience with the next hop that is waited for longest ends."""
        self._skip_settled()
        return self._due[0].taken_at + CUSTODY_PATIENCE_US if self._due else None

    def overdue(self, now: Instant) -> list[Entry]:
        """What upstream has waited for long enough; a row on disk sets it free."""
        found: list[Entry] = []
        self._skip_settled()
        while self._due and self._due[0].taken_at + CUSTODY_PATIENCE_US <= now:
            entry = self._due.popleft()
            if not entry.gone and not entry.stored and entry.custody is not None:
                found.append(entry)
        return found

    def _skip_settled(self) -> None:
        due = self._due
        while due and (due[0].gone or due[0].stored or due[0].custody is None):
            due.popleft()
