"""What we owe upstream: a batch is acknowledged once it is delivered here and safe with, or for, every next hop.

Whoever sent it first waits for all of that. Who sends it again over another link waits for our row on disk only: were
the next hops its business too, two nodes that send each other the same batch would wait for each other for ever.
Waiting thus follows first arrivals, which form a tree that begins at the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from arqonmesh.ids import NodeId


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
    undelivered: int = 0
    """Arrivals of it whose row is not on disk yet."""
    waiters: list[tuple[Upstream, int]] = field(default_factory=list)
    """Who wait for everything owed."""
    twins: list[tuple[Upstream, int]] = field(default_factory=list)
    """Who wait for delivery only."""
