"""The lanes of one link: who goes first, how much may wait, and that no byte is lost or moved."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.kernel import Lane
from arqonmesh.net.lanes import DATAGRAMS_MAX, LANE_OF_STREAM, QUEUE_BYTES_MAX, QUEUE_FRAMES_MAX, Lanes
from arqonmesh.wire.frames import FrameParser
from arqonmesh.wire.messages import MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES

STREAMS = (Lane.CONTROL, Lane.PRIORITY, Lane.BULK)


class Wire:
    """An outlet that keeps what it is given; `rooms` is what it has room for, call by call."""

    def __init__(self, *, streams: tuple[int, ...] = (0, 4, 8)) -> None:
        self.now = 0
        self.streams = streams
        self.written: list[tuple[int, bytes]] = []
        self.datagrams: list[bytes] = []
        self.waiting = 0

    def room(self) -> int:
        return self.now

    def write(self, stream_id: int, data: bytes) -> None:
        assert stream_id in self.streams
        self.written.append((stream_id, data))

    def send_datagram(self, data: bytes) -> None:
        self.datagrams.append(data)

    def has_stream(self, stream_id: int) -> bool:
        return stream_id in self.streams

    def datagrams_waiting(self) -> int:
        return self.waiting

    def bytes_of(self, lane: Lane) -> bytes:
        return b"".join(data for stream, data in self.written if LANE_OF_STREAM[stream] is lane)

    def frames_of(self, lane: Lane) -> list[bytes]:
        return FrameParser(MAX_FRAME_BYTES).feed(self.bytes_of(lane))


def _hand_over(lanes: Lanes, wire: Wire, room: int) -> int:
    wire.now = room
    before = sum(len(data) for _, data in wire.written)
    lanes.hand_over(wire)
    return sum(len(data) for _, data in wire.written) - before


@pytest.mark.requirement("R-TR-10")
def test_control_leaves_before_everything_else() -> None:
    """Strict: while control waits, no byte of another lane leaves."""
    lanes, wire = Lanes(), Wire()
    lanes.put(Lane.BULK, bytes(5_000))
    lanes.put(Lane.PRIORITY, bytes(5_000))
    lanes.put(Lane.CONTROL, bytes(5_000))
    _hand_over(lanes, wire, 4_000)
    assert {stream for stream, _ in wire.written} == {0}
    _hand_over(lanes, wire, 4_000)
    assert len(wire.bytes_of(Lane.CONTROL)) == 5_004


def test_priority_and_bulk_share_four_to_one() -> None:
    """Deficit round robin: over any longer stretch of saturation, 4 bytes of priority for each of bulk."""
    lanes, wire = Lanes(), Wire()
    for _ in range(400):
        lanes.put(Lane.PRIORITY, bytes(3_000))
        lanes.put(Lane.BULK, bytes(3_000))
    for _ in range(40):
        _hand_over(lanes, wire, 7_777)
    priority, bulk = len(wire.bytes_of(Lane.PRIORITY)), len(wire.bytes_of(Lane.BULK))
    assert priority + bulk == 40 * 7_777
    assert 3.7 < priority / bulk < 4.3


def test_a_lane_alone_gets_all_the_room() -> None:
    """Weights bind only under contention."""
    lanes, wire = Lanes(), Wire()
    lanes.put(Lane.BULK, bytes(100_000))
    assert _hand_over(lanes, wire, 60_000) == 60_000


def test_without_room_nothing_is_handed_over() -> None:
    """What waits, waits here, where control can still overtake it."""
    lanes, wire = Lanes(), Wire()
    lanes.put(Lane.CONTROL, b"x")
    assert _hand_over(lanes, wire, 0) == 0
    assert lanes.backlog == 5
    assert not lanes.idle


def test_the_frames_of_one_tick_leave_in_one_write_per_lane() -> None:
    """Per-frame calls into QUIC would cost more than the frames."""
    lanes, wire = Lanes(), Wire()
    for n in range(500):
        lanes.put(Lane.PRIORITY, b"%d" % n)
    _hand_over(lanes, wire, 1 << 20)
    assert len(wire.written) == 1
    assert wire.frames_of(Lane.PRIORITY) == [b"%d" % n for n in range(500)]


def test_a_full_lane_says_no_and_the_others_do_not() -> None:
    """Each lane has its own bound, in bytes and in frames, and a counter."""
    lanes = Lanes()
    while lanes.put(Lane.BULK, bytes(MAX_FRAME_BYTES // 4)):
        pass
    assert QUEUE_BYTES_MAX - MAX_FRAME_BYTES < lanes.backlog <= QUEUE_BYTES_MAX + 64 * 4
    assert lanes.put(Lane.CONTROL, b"free")
    for _ in range(QUEUE_FRAMES_MAX):
        assert lanes.put(Lane.PRIORITY, b"")
    assert not lanes.put(Lane.PRIORITY, b"")
    assert lanes.counters == {"lane.full.bulk": 1, "lane.full.priority": 1}


def test_datagrams_are_bounded_sized_and_kept_ahead_in_small_numbers() -> None:
    """QUIC's own datagram queue has no bound and is blocked by one that is too large; neither can happen."""
    lanes, wire = Lanes(), Wire()
    assert not lanes.put(Lane.DATAGRAM, bytes(MAX_DATAGRAM_BYTES + 1))
    for _ in range(DATAGRAMS_MAX):
        assert lanes.put(Lane.DATAGRAM, bytes(MAX_DATAGRAM_BYTES))
    assert not lanes.put(Lane.DATAGRAM, b"one too many")
    lanes.hand_over(wire)
    assert len(wire.datagrams) == 64
    wire.waiting = 64
    lanes.hand_over(wire)
    assert len(wire.datagrams) == 64


def test_a_lane_whose_stream_does_not_exist_yet_waits_without_blocking_the_others() -> None:
    """The listening side has a stream only once the dialling side's first byte on it arrived."""
    lanes, wire = Lanes(), Wire(streams=(0, 8))
    lanes.put(Lane.PRIORITY, b"later")
    lanes.put(Lane.BULK, b"now")
    _hand_over(lanes, wire, 1_000)
    assert wire.frames_of(Lane.BULK) == [b"now"]
    wire.streams = (0, 4, 8)
    _hand_over(lanes, wire, 1_000)
    assert wire.frames_of(Lane.PRIORITY) == [b"later"]


@given(st.integers(0, 2**32), st.lists(st.integers(1, 5_000), min_size=1, max_size=60))
def test_every_lane_keeps_its_order_however_little_room_there_is(seed: int, rooms: list[int]) -> None:
    """Frames come out whole, once, in order, and never more bytes than there was room for."""
    dice = random.Random(seed)
    lanes, wire = Lanes(), Wire()
    sent: dict[Lane, list[bytes]] = {lane: [] for lane in STREAMS}
    for room in rooms:
        for _ in range(dice.randrange(4)):
            lane, data = dice.choice(STREAMS), dice.randbytes(dice.randrange(3_000))
            assert lanes.put(lane, data)
            sent[lane].append(data)
        assert _hand_over(lanes, wire, room) <= room
    _hand_over(lanes, wire, 1 << 30)
    assert lanes.idle
    for lane in STREAMS:
        assert wire.frames_of(lane) == sent[lane]


@given(st.integers(0, 2**32))
def test_lanes_that_move_to_another_connection_finish_what_is_begun_on_the_old_one(seed: int) -> None:
    """The rest of a half-sent frame goes on the old streams, the next one begins on the new: one lane or three."""
    dice = random.Random(seed)
    lanes, old, new = Lanes(), Wire(), Wire()
    sent: dict[Lane, list[bytes]] = {lane: [] for lane in STREAMS}
    for _ in range(20):
        lane, data = dice.choice(STREAMS), dice.randbytes(dice.randrange(1, 500))
        lanes.put(lane, data)
        sent[lane].append(data)
    _hand_over(lanes, old, dice.randrange(5_000))
    for stream, rest in lanes.finish_begun():
        old.write(stream, rest)
    lanes.reframe(collapsed=bool(seed % 2))
    _hand_over(lanes, new, 1 << 30)
    moved: dict[Lane, list[bytes]] = {lane: [] for lane in STREAMS}
    for lane in STREAMS:
        for data in new.frames_of(lane):
            moved[Lane(data[0]) if seed % 2 else lane].append(data[1:] if seed % 2 else data)
    for lane in STREAMS:
        assert old.frames_of(lane) + moved[lane] == sent[lane]


@given(st.integers(0, 2**32))
def test_collapsed_lanes_keep_control_first_and_frames_whole(seed: int) -> None:
    """One stream: every frame names its lane, control overtakes what is not begun, each lane keeps its order."""
    dice = random.Random(seed)
    lanes, wire = Lanes(collapsed=True), Wire(streams=(0,))
    sent: list[tuple[Lane, bytes]] = []
    for _ in range(40):
        lane, data = dice.choice(STREAMS), dice.randbytes(dice.randrange(2_000))
        lanes.put(lane, data)
        sent.append((lane, data))
        if dice.random() < 0.3:
            _hand_over(lanes, wire, dice.randrange(1, 4_000))
    lanes.put(Lane.CONTROL, b"now")
    before = len(wire.written)
    _hand_over(lanes, wire, 1 << 30)
    assert all(stream == 0 for stream, _ in wire.written)
    came = [(Lane(data[0]), data[1:]) for data in FrameParser(MAX_FRAME_BYTES).feed(wire.bytes_of(Lane.CONTROL))]
    for lane in STREAMS:
        expected = [data for of, data in sent if of is lane] + ([b"now"] if lane is Lane.CONTROL else [])
        assert [data for of, data in came if of is lane] == expected
    last = FrameParser(MAX_FRAME_BYTES).feed(b"".join(data for _, data in wire.written[before:]))
    kinds = [data[0] for data in last]
    assert kinds == sorted(kinds, key=lambda kind: kind != Lane.CONTROL)


def test_collapsed_bulk_is_not_starved_by_priority() -> None:
    """Round robin over whole frames: bulk gets about a fifth."""
    lanes, wire = Lanes(collapsed=True), Wire(streams=(0,))
    for _ in range(500):
        lanes.put(Lane.PRIORITY, bytes(1_000))
        lanes.put(Lane.BULK, bytes(1_000))
    _hand_over(lanes, wire, 200_000)
    kinds = [data[0] for data in FrameParser(MAX_FRAME_BYTES).feed(wire.bytes_of(Lane.CONTROL))]
    assert 0.15 < kinds.count(Lane.BULK) / len(kinds) < 0.25
