"""The linked peers as broadcast sees them, and the timers that follow from how far they are."""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.ids import NodeId

SRTT_UNKNOWN_US: Final = 100 * MILLISECOND
"""Until a link is measured: a long way, because a graft too early makes a needless copy and one too late only waits."""
PROMISE_MIN_US: Final = 5 * SECOND
PROMISE_RTTS: Final = 8
"""A payload that was asked for is late after the longer of both; far beyond what a busy honest node takes, and what a
slow link takes to be given up (2 s and more at 200 ms of round trip): a peer that was stopped for less is no liar."""
PROMISE_UNMEASURED_US: Final = 20 * SECOND
"""On a link of which nothing is known yet."""
LOSSY_PPM: Final = 50_000
"""From such a share of lost round trips on, a payload that is late may have been lost again and again on its way, and
all that is behind it in the stream waits, too: nobody is blamed then."""
SERVINGS_MAX: Final = 2
"""A neighbour is served one payload so often: 20 bytes of asking are answered with up to 64 KiB. Twice, because its
first copy may have been dropped on the way in."""
SERVED_BYTES_MAX: Final = 20 << 20
"""What a neighbour may make us send by asking, within one second: all that it was told of when its link came up, were
each of the largest size, and some more. What was announced and is asked for within that has to be served, or whoever
asks takes us for one that breaks its promises."""
SERVED_MAX: Final = 4_096
"""Ids remembered as served, the oldest forgotten first."""
ANNOUNCED_MAX: Final = 5_000
"""Announcements of one peer that are noted within one second; the rest are dropped and counted."""
PARTED_MAX: Final = 64
"""Peers without a link of which is remembered what they were served, the first to part forgotten first."""


class Neighbour:
    """One linked peer."""

    __slots__ = (
        "announced",
        "announced_until",
        "eager",
        "loss_ppm",
        "pruned_at",
        "served",
        "served_bytes",
        "served_until",
        "silent_since",
        "srtt_us",
        "used",
    )

    def __init__(self) -> None:
        self.eager = True
        """The link belongs to the tree: payloads go over it at once. Otherwise it is lazy: they are announced."""
        self.srtt_us = 0
        self.loss_ppm = 0
        self.used = False
        """A payload went over it: if it is pruned after that, it closed a cycle."""
        self.pruned_at: Instant = -SECOND
        self.served: dict[bytes, int] = {}
        """How often it was served a payload that it asked for."""
        self.served_bytes = 0
        """What it was served in the second that ends at `served_until`."""
        self.served_until: Instant = 0
        self.announced = 0
        """Announcements that came from it in the interval that ends at `announced_until`."""
        self.announced_until: Instant = 0
        self.silent_since: Instant | None = None
        """Since when the link has not answered, while an answer is overdue."""

    @property
    def measured_us(self) -> int:
        return self.srtt_us or SRTT_UNKNOWN_US

    def announced_over(self, now: Instant, count: int) -> int:
        """It announces so many more: how many of them are too many for this interval."""
        if now >= self.announced_until:
            self.announced, self.announced_until = 0, now + SECOND
        before = self.announced
        self.announced += count
        return min(count, max(0, before + count - ANNOUNCED_MAX))

    def may_have(self, now: Instant, id_: bytes, size: int) -> bool:
        """Whether it is served this payload of `size` bytes, now that it asks; counts it when so."""
        if now >= self.served_until:
            self.served_bytes, self.served_until = 0, now + SECOND
        before = self.served.get(id_, 0)
        if before >= SERVINGS_MAX or self.served_bytes + size > SERVED_BYTES_MAX:
            return False
        self.served_bytes += size
        self.served[id_] = before + 1
        if len(self.served) > SERVED_MAX:
            del self.served[next(iter(self.served))]
        return True


class Neighbours(dict[NodeId, Neighbour]):
    """All linked peers, in the order in which they came."""

    _median_us: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self._parted: dict[NodeId, Neighbour] = {}

    def parted(self, peer: NodeId) -> Neighbour | None:
        """A peer whose link is down here, and may be up at its end: what it asks for it was told of while the link was
        up at both, and the connection may still carry the answer."""
        return self._parted.get(peer)

    def add(self, peer: NodeId) -> Neighbour:
        """A new link is eager until a payload proves that it closes a cycle."""
        self._parted.pop(peer, None)
        neighbour = self[peer] = Neighbour()
        self._median_us = None
        return neighbour

    def eager_count(self) -> int:
        return sum(neighbour.eager for neighbour in self.values())

    def drop(self, peer: NodeId) -> bool:
        """False when it was not linked."""
        self._median_us = None
        neighbour = self.pop(peer, None)
        if neighbour is None:
            return False
        self._parted[peer] = neighbour
        if len(self._parted) > PARTED_MAX:
            del self._parted[next(iter(self._parted))]
        return True

    def silent(self, peer: NodeId, since: Instant) -> None:
        """An answer of this link is overdue."""
        neighbour = self.get(peer)
        if neighbour is not None:
            neighbour.silent_since = since

    def is_silent(self, peer: NodeId) -> bool:
        """Whether its link is up and does not answer."""
        neighbour = self.get(peer)
        return neighbour is not None and neighbour.silent_since is not None

    def measured(self, now: Instant, peer: NodeId, srtt_us: int, loss_ppm: int) -> int | None:
        """The link answers. Returns for how long it had been silent before; None when it had not."""
        neighbour = self.get(peer)
        if neighbour is None:
            return None
        neighbour.loss_ppm = loss_ppm
        if neighbour.srtt_us != srtt_us:
            neighbour.srtt_us = srtt_us
            self._median_us = None
        since, neighbour.silent_since = neighbour.silent_since, None
        return None if since is None else now - since

    @property
    def median_us(self) -> int:
        """The median smoothed RTT of the links, microseconds."""
        if self._median_us is None:
            rtts = sorted(neighbour.measured_us for neighbour in self.values())
            self._median_us = rtts[len(rtts) // 2] if rtts else SRTT_UNKNOWN_US
        return self._median_us

    def promise_us(self, peer: NodeId) -> int:
        """How long a payload that this peer was asked for may take."""
        neighbour = self.get(peer)
        if neighbour is None or not neighbour.srtt_us:
            return PROMISE_UNMEASURED_US
        return max(PROMISE_MIN_US, PROMISE_RTTS * neighbour.measured_us)

    def lossy(self, peer: NodeId) -> bool:
        """Whether what does not come over this link may simply be lost."""
        neighbour = self.get(peer)
        return neighbour is None or neighbour.loss_ppm >= LOSSY_PPM
