"""The receiving sides of all connections: which numbers have come on each, and which are to be acknowledged."""

from __future__ import annotations

from arqonmesh.core.kernel import Effect, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BusAck


class Upstream:
    """The receiving side of one connection: which numbers have come, and which of them are not settled yet."""

    __slots__ = ("acked", "broken", "bytes", "last", "peer", "since", "unsettled")

    def __init__(self, peer: NodeId, since: Instant = 0) -> None:
        self.peer = peer
        self.since = since
        """When the connection was made."""
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


class Upstreams:
    """One per connection, as long as it lasts."""

    def __init__(self) -> None:
        self._of: dict[NodeId, Upstream] = {}
        self._due: dict[NodeId, Upstream] = {}

    def of(self, peer: NodeId) -> Upstream:
        upstream = self._of.get(peer)
        if upstream is None:
            upstream = self._of[peer] = Upstream(peer)
        return upstream

    def renew(self, now: Instant, peer: NodeId) -> None:
        """A new connection: the other side's numbers may begin anywhere."""
        self._of[peer] = Upstream(peer, now)
        self._due.pop(peer, None)

    def standing(self, peer: NodeId) -> Upstream | None:
        """That of the connection which stands."""
        return self._of.get(peer)

    def end(self, peer: NodeId) -> None:
        self._of.pop(peer, None)
        self._due.pop(peer, None)

    def settled(self, upstream: Upstream, number: int) -> None:
        """What came under this number is done with; the next flush tells, when the connection is still the same."""
        upstream.settle(number)
        if self._of.get(upstream.peer) is upstream:
            self._due[upstream.peer] = upstream

    def acknowledge(self, out: list[Effect]) -> None:
        """One acknowledgement for each connection that has news."""
        for peer, upstream in self._due.items():
            number = upstream.ackable()
            if number is not None:
                upstream.acked = number
                out.append(Send(peer, Lane.PRIORITY, BusAck(number)))
        self._due.clear()
