"""What we owe upstream: a batch is acknowledged once it is delivered here and safe with, or for, every next hop.

Whoever sends it waits for all of that, the second sender as well as the first: each of them keeps it until then, so
that a crash of ours leaves no hole in what we pass on, whichever of them is there to send again.

Two nodes that send each other the same batch would thus wait for each other. So a next hop that sends us a batch is
not waited for any more: it has it, on disk. Its acknowledgement still clears our outbox when it comes. What is left of
waiting follows first arrivals, which form a tree that begins at the origin. (Rules that differ between the nodes of one
cluster can still close a circle; then the patience with next hops ends it.)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arqonmesh.ids import NodeId

if TYPE_CHECKING:
    from arqonmesh.core.federation.outbox import Entry


class Upstream:
    """The receiving side of one connection: which numbers have come, and which of them are not settled yet."""

    __slots__ = ("acked", "broken", "bytes", "last", "peer", "unsettled")

    def __init__(self, peer: NodeId) -> None:
        self.peer = peer
        self.last: int | None = None
        """The newest number that came; the next has to follow it, or the link lost something."""
        self.unsettled: dict[int, int] = {}
        """Number to size in bytes, oldest first."""
        self.bytes = 0
        self.acked = -1
        self.broken = False
        """A number was missing; nothing more is taken until there is a new connection."""

    def received(self, link_seq: int, size: int) -> bool:
        """False when a number is missing before this one."""
        if self.broken or (self.last is not None and link_seq != self.last + 1):
            self.broken = True
            return False
        self.last = link_seq
        self.unsettled[link_seq] = size
        self.bytes += size
        return True

    def settle(self, link_seq: int) -> None:
        self.bytes -= self.unsettled.pop(link_seq, 0)

    def ackable(self) -> int | None:
        """The number up to which everything is settled, when that is news."""
        if self.last is None:
            return None
        value = next(iter(self.unsettled)) - 1 if self.unsettled else self.last
        if value <= self.acked:
            return None
        return value


@dataclass(slots=True, eq=False)
class Custody:
    """One batch in our hands. `owed` counts what has to happen before it is settled: deliveries and next hops."""

    key: tuple[str, int, int]
    """(origin, epoch, first section)."""
    owed: int = 0
    waiters: list[tuple[Upstream, int]] = field(default_factory=list)
    holders: dict[NodeId, None] = field(default_factory=dict)
    """Nodes that sent it to us, and so have it."""
    hops: dict[NodeId, Entry] = field(default_factory=dict)
    """What we owe to each next hop."""
