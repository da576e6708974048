"""The lanes of one link: what waits to be sent, how much may wait, and who goes first.

Control leaves first, always. Priority and bulk share the rest by deficit round robin, 4 : 1 (Shreedhar, Varghese,
SIGCOMM 1995). Each lane is one long-lived QUIC stream of length-prefixed frames (wire/frames.py); DATAGRAM frames go
beside the streams and may be lost. QUIC is handed no more than its window takes (Connection.room), so what waits,
waits here, where a later control frame can still overtake it.

`collapsed` puts all stream lanes on one stream; each frame then begins with one byte that names its lane, and a
frame once begun is finished before another lane's turn.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final, Protocol

from arqonmesh.core.kernel import Lane
from arqonmesh.wire.frames import LENGTH_BYTES
from arqonmesh.wire.messages import MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES

STREAM_OF_LANE: Final = {Lane.CONTROL: 0, Lane.PRIORITY: 4, Lane.BULK: 8}
"""Client-initiated bidirectional streams (RFC 9000, 2.1): the dialling side opens them, both sides use them."""
LANE_OF_STREAM: Final = {stream: lane for lane, stream in STREAM_OF_LANE.items()}

QUEUE_BYTES_MAX: Final = 8 << 20
QUEUE_FRAMES_MAX: Final = 65_536
"""Bounds of each stream lane; beyond them `put` says no."""
DATAGRAMS_MAX: Final = 256
DATAGRAMS_AHEAD: Final = 64
"""DATAGRAM frames that QUIC may hold; its own queue has no bound."""
QUANTUM_BYTES: Final = {Lane.PRIORITY: 16_384, Lane.BULK: 4_096}

OPENING: Final = bytes(LENGTH_BYTES)
"""An empty frame: makes a stream exist at the other end, and carries nothing."""


class Outlet(Protocol):
    """What lanes need of a connection."""

    def room(self) -> int: ...
    def write(self, stream_id: int, data: bytes) -> None: ...
    def send_datagram(self, data: bytes) -> None: ...
    def has_stream(self, stream_id: int) -> bool: ...
    def datagrams_waiting(self) -> int: ...


class _Queue:
    """Framed bytes of one lane, in order."""

    __slots__ = ("begun", "bytes", "deficit", "frames")

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.bytes = 0
        self.begun = 0
        """How many bytes of the first frame have left already."""
        self.deficit = 0

    def push(self, framed: bytes) -> None:
        self.frames.append(framed)
        self.bytes += len(framed)

    def take(self, budget: int) -> list[bytes]:
        """Up to `budget` bytes, cutting the last frame where it must be."""
        if self.bytes <= budget:
            parts = list(self.frames)
            if self.begun:
                parts[0] = parts[0][self.begun :]
            self.frames.clear()
            self.bytes = self.begun = 0
            return parts
        parts = []
        frames = self.frames
        while budget > 0:
            head = frames[0]
            left = len(head) - self.begun
            if left > budget:
                parts.append(head[self.begun : self.begun + budget])
                self.begun += budget
                self.bytes -= budget
                break
            parts.append(head[self.begun :] if self.begun else head)
            frames.popleft()
            self.begun = 0
            self.bytes -= left
            budget -= left
        return parts

    def finish_begun(self) -> bytes:
        """The rest of a frame whose first part has left already."""
        if not self.begun:
            return b""
        rest = self.frames.popleft()[self.begun :]
        self.bytes -= len(rest)
        self.begun = 0
        return rest


class Lanes:
    """Queues and scheduler of one link; it outlives the connection when two dials collapse into one link."""

    def __init__(self, *, collapsed: bool = False, counters: Counter[str] | None = None) -> None:
        self.collapsed = collapsed
        self.frames_sent = 0
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._control = _Queue()
        self._priority = _Queue()
        self._bulk = _Queue()
        self._by_lane = {Lane.CONTROL: self._control, Lane.PRIORITY: self._priority, Lane.BULK: self._bulk}
        self._datagrams: deque[bytes] = deque()
        self._turn = Lane.PRIORITY

    @property
    def backlog(self) -> int:
        """Bytes queued and not yet handed to QUIC, DATAGRAM frames apart."""
        return self._control.bytes + self._priority.bytes + self._bulk.bytes

    @property
    def idle(self) -> bool:
        return not (self._control.bytes or self._priority.bytes or self._bulk.bytes or self._datagrams)

    def put(self, lane: Lane, data: bytes) -> bool:
        """Queue one encoded message; False, and counted, when it is too large or the lane is full."""
        length = len(data)
        if lane is Lane.DATAGRAM:
            return self._put_datagram(data, length)
        queue = self._by_lane[lane]
        if length > MAX_FRAME_BYTES:
            self.counters[f"lane.oversized.{lane.name.lower()}"] += 1
            return False
        if queue.bytes + length > QUEUE_BYTES_MAX or len(queue.frames) >= QUEUE_FRAMES_MAX:
            self.counters[f"lane.full.{lane.name.lower()}"] += 1
            return False
        queue.push(self._framed(lane, data))
        self.frames_sent += 1
        return True

    def _put_datagram(self, data: bytes, length: int) -> bool:
        if length > MAX_DATAGRAM_BYTES:
            self.counters["lane.oversized.datagram"] += 1
            return False
        if len(self._datagrams) >= DATAGRAMS_MAX:
            self.counters["lane.full.datagram"] += 1
            return False
        self._datagrams.append(data)
        self.frames_sent += 1
        return True

    def hand_over(self, outlet: Outlet) -> None:
        """Give the connection what it has room for: one write per lane and call."""
        if self._datagrams:
            self._hand_over_datagrams(outlet)
        budget = outlet.room()
        if budget <= 0 or not (self._control.bytes or self._priority.bytes or self._bulk.bytes):
            return
        if self.collapsed:
            self._hand_over_collapsed(outlet, budget)
            return
        if self._control.bytes:
            budget -= self._hand_over_lane(outlet, Lane.CONTROL, budget)
        priority, bulk = self._priority, self._bulk
        if priority.bytes and bulk.bytes:
            self._share(outlet, budget)
        elif priority.bytes:
            self._hand_over_lane(outlet, Lane.PRIORITY, budget)
        elif bulk.bytes:
            self._hand_over_lane(outlet, Lane.BULK, budget)

    def finish_begun(self) -> list[tuple[int, bytes]]:
        """What must still go out on the old connection before these lanes move to another: (stream, bytes)."""
        rests = ((STREAM_OF_LANE[lane], queue.finish_begun()) for lane, queue in self._by_lane.items())
        return [(stream, rest) for stream, rest in rests if rest]

    def reframe(self, *, collapsed: bool) -> None:
        """Move over to a connection that has one stream, or has one for each lane. No frame may be begun."""
        if collapsed == self.collapsed:
            return
        header = LENGTH_BYTES + 1 if self.collapsed else LENGTH_BYTES
        self.collapsed = collapsed
        for lane, queue in self._by_lane.items():
            assert not queue.begun, "a frame that is half sent cannot change its form"
            frames, queue.frames, queue.bytes = queue.frames, deque(), 0
            for framed in frames:
                queue.push(self._framed(lane, framed[header:]))

    def _framed(self, lane: Lane, data: bytes) -> bytes:
        if self.collapsed:
            return (len(data) + 1).to_bytes(LENGTH_BYTES, "big") + bytes((lane,)) + data
        return len(data).to_bytes(LENGTH_BYTES, "big") + data

    # --- scheduling ---------------------------------------------------------------------------------------

    def _hand_over_datagrams(self, outlet: Outlet) -> None:
        ahead = outlet.datagrams_waiting()
        while self._datagrams and ahead < DATAGRAMS_AHEAD:
            outlet.send_datagram(self._datagrams.popleft())
            ahead += 1

    def _hand_over_lane(self, outlet: Outlet, lane: Lane, budget: int) -> int:
        stream_id = STREAM_OF_LANE[lane]
        if budget <= 0 or not outlet.has_stream(stream_id):
            return 0
        parts = self._by_lane[lane].take(budget)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        outlet.write(stream_id, data)
        return len(data)

    def _share(self, outlet: Outlet, budget: int) -> None:
        """Deficit round robin between priority and bulk; both have something to send."""
        taken: dict[Lane, list[bytes]] = {Lane.PRIORITY: [], Lane.BULK: []}
        waiting = [lane for lane in taken if outlet.has_stream(STREAM_OF_LANE[lane])]
        while budget > 0 and any(self._by_lane[lane].bytes for lane in waiting):
            lane = self._turn
            queue = self._by_lane[lane]
            if lane in waiting and queue.bytes:
                if queue.deficit <= 0:
                    queue.deficit += QUANTUM_BYTES[lane]
                before = queue.bytes
                taken[lane] += queue.take(min(queue.deficit, budget))
                used = before - queue.bytes
                queue.deficit -= used
                budget -= used
                if budget <= 0 and queue.bytes and queue.deficit > 0:
                    break  # its turn goes on with the next call
            if not queue.bytes:
                queue.deficit = 0
            self._turn = Lane.BULK if lane is Lane.PRIORITY else Lane.PRIORITY
        for lane, parts in taken.items():
            if parts:
                outlet.write(STREAM_OF_LANE[lane], b"".join(parts))

    def _hand_over_collapsed(self, outlet: Outlet, budget: int) -> None:
        parts: list[bytes] = []
        while budget > 0 and (head := self._next_collapsed()) is not None:
            parts.append(head)
            budget -= len(head)
        if parts:
            outlet.write(STREAM_OF_LANE[Lane.CONTROL], b"".join(parts))

    def _next_collapsed(self) -> bytes | None:
        """The next whole frame: control first, then deficit round robin over whole frames."""
        if self._control.frames:
            return self._pop(self._control)
        while self._priority.frames or self._bulk.frames:
            queue = self._by_lane[self._turn]
            if queue.frames:
                size = len(queue.frames[0])
                if queue.deficit >= size:
                    queue.deficit -= size
                    return self._pop(queue)
                queue.deficit += QUANTUM_BYTES[self._turn]
            else:
                queue.deficit = 0
            self._turn = Lane.BULK if self._turn is Lane.PRIORITY else Lane.PRIORITY
        return None

    @staticmethod
    def _pop(queue: _Queue) -> bytes:
        head = queue.frames.popleft()
        queue.bytes -= len(head)
        return head
