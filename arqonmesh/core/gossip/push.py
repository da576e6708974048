"""What is new leaves at once, and in a rush together: statements that become new within `GATHER_US` of the last push
share the next one.

After a power cut or a cut of the mesh, thousands of statements come to a node within a moment, each from several sides.
Pushed one by one they would cost every node a frame per statement and link; gathered, a few dozen frames in all. A
statement that comes alone is not delayed anywhere, so news in a quiet mesh is as fast as its links are.

(The leading edge leaves, what follows is held: as OSPF paces its floods, RFC 4136, and Nagle small writes, RFC 896.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from arqonmesh.core.events import Broadcast
from arqonmesh.core.gossip.packing import Segment, pack
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import MAX_BROADCAST_BYTES

TOPIC: Final = "st"
"""Of the broadcasts that carry deltas."""
PUSH_BYTES_MAX: Final = MAX_BROADCAST_BYTES // 2
"""Of statements in one push; what says where they begin comes on top."""
GATHER_US: Final = 10 * MILLISECOND
HELD_BYTES_MAX: Final = 1 << 20
"""What waits for its turn; more does not wait."""


class Push:
    """Tells every node: by broadcast, or without a broadcast core every linked peer, who tells its own."""

    def __init__(
        self,
        peers: Callable[[], Iterable[NodeId]],
        *,
        broadcasts: bool,
        bytes_max: int,
        count_max: int,
        gather_us: int = GATHER_US,
    ) -> None:
        """`peers` are the linked ones. A delta carries at most `bytes_max` and `count_max` statements."""
        self._peers = peers
        self._broadcasts = broadcasts
        self._bytes_max = min(bytes_max, PUSH_BYTES_MAX)
        self._count_max = count_max
        self._gather_us = gather_us
        self._held: dict[NodeId, Segment] = {}
        self._held_bytes = 0
        self._sources: dict[NodeId | None, None] = {}
        """Who brought what is held; None for ourselves."""
        self._quiet_at: Instant = 0
        """When the last push is over: what comes before is held until then."""

    def now(self, segments: Sequence[Segment], source: NodeId | None) -> list[Effect]:
        """Push without waiting, to all but `source`."""
        segments = [segment for segment in segments if segment.items]
        if not segments:
            return []
        deltas, _ = pack(segments, budget=self._bytes_max, count_max=self._count_max, deltas_max=None)
        if self._broadcasts:
            return [Emit(Broadcast(TOPIC, encode_message(delta))) for delta in deltas]
        to = [node for node in self._peers() if node != source]
        return [Send(node, Lane.CONTROL, delta) for node in to for delta in deltas]

    def soon(self, now: Instant, segments: Sequence[Segment], source: NodeId | None) -> list[Effect]:
        """Push, at once when nothing was pushed lately."""
        segments = [segment for segment in segments if segment.items]
        if not segments:
            return []
        if now >= self._quiet_at and not self._held:
            self._quiet_at = now + self._gather_us
            return self.now(segments, source)
        early: list[Effect] = []
        for segment in segments:
            known = self._held.get(segment.author)
            if known is not None:
                joined = _joined(known, segment)
                if joined is None or self._held_bytes > HELD_BYTES_MAX:
                    early += self.flush(now)
                    joined = segment
                self._held[segment.author] = joined
            else:
                self._held[segment.author] = segment
            self._held_bytes += sum(len(encoded) for _, encoded in segment.items)
            self._sources[source] = None
        return early + (self.flush(now) if self._held_bytes > HELD_BYTES_MAX else [])

    def due(self) -> Instant | None:
        """When what is held leaves; None when nothing is."""
        return self._quiet_at if self._held else None

    def on_timer(self, now: Instant) -> list[Effect]:
        return self.flush(now) if self._held and self._quiet_at <= now else []

    def flush(self, now: Instant) -> list[Effect]:
        """Push what is held. To everyone alike, also back to whom some of it came from: one delta for all is encoded
        once, and tells less often than one for each would."""
        held, self._held, self._held_bytes = list(self._held.values()), {}, 0
        sources, self._sources = list(self._sources), {}
        self._quiet_at = now + self._gather_us
        return self.now(held, sources[0] if len(sources) == 1 else None)


def _joined(first: Segment, then: Segment) -> Segment | None:
    """One segment that says both; None when they are not one piece of the author's log."""
    last, _ = first.items[-1]
    if first.base is None or then.base != last:
        return None
    return Segment(first.author, first.base, [*first.items, *then.items])
