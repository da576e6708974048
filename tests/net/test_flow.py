"""Congestion control and pacing: numbers in, numbers out."""

from __future__ import annotations

from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.tls import Epoch
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.net.congestion import BETA, QUEUE_FREE_BYTES, WINDOW_BYTES_MAX, MeshCongestionControl
from arqonmesh.net.pacer import BATCH_PACKETS, BUCKET_PACKETS_MIN, BurstPacer

SIZE = 1_200


class Flow:
    """Packets in flight under one congestion control; a round trip takes 50 ms."""

    def __init__(self) -> None:
        self.control = MeshCongestionControl(max_datagram_size=SIZE)
        self.now = 1.0
        self.number = 0
        self.flying: list[QuicSentPacket] = []

    def send(self, count: int) -> None:
        for _ in range(count):
            packet = QuicSentPacket(
                epoch=Epoch.ONE_RTT,
                in_flight=True,
                is_ack_eliciting=True,
                is_crypto_packet=False,
                packet_number=self.number,
                packet_type=QuicPacketType.ONE_RTT,
                sent_time=self.now,
                sent_bytes=SIZE,
            )
            self.number += 1
            self.flying.append(packet)
            self.control.on_packet_sent(packet=packet)

    def fill(self) -> None:
        self.send((self.control.congestion_window - self.control.bytes_in_flight) // SIZE)

    def round_trip(self, rtt: float = 0.05) -> None:
        self.now += rtt
        self.control.on_rtt_measurement(now=self.now, rtt=rtt)
        for packet in self.flying:
            self.control.on_packet_acked(now=self.now, packet=packet)
        self.flying = []

    def lose(self, count: int) -> None:
        lost, self.flying = self.flying[:count], self.flying[count:]
        self.control.on_packets_lost(now=self.now, packets=lost)


def test_a_full_window_doubles_per_round_trip_up_to_the_cap() -> None:
    """Slow start (RFC 9002, 7.3.1), ended by the cap of 2 MiB at the latest."""
    flow = Flow()
    start = flow.control.congestion_window
    flow.fill()
    flow.round_trip()
    assert flow.control.congestion_window == 2 * start
    for _ in range(20):
        flow.fill()
        flow.round_trip()
    assert flow.control.congestion_window == WINDOW_BYTES_MAX


def test_an_application_limited_flow_keeps_its_window() -> None:
    """RFC 9002, 7.8: one packet per round trip proves nothing about the path."""
    flow = Flow()
    start = flow.control.congestion_window
    for _ in range(1_000):
        flow.send(1)
        flow.round_trip()
    assert flow.control.congestion_window == start
    assert flow.control.application_limited


def test_a_loss_takes_the_window_down_once_per_round_trip() -> None:
    """Ten packets lost of one flight are one event; the window is cut by CUBIC's beta of 0.7."""
    flow = Flow()
    for _ in range(5):
        flow.fill()
        flow.round_trip()
    flow.fill()
    before = flow.control.congestion_window
    flow.now += 0.05
    flow.lose(5)
    flow.lose(5)
    assert abs(flow.control.congestion_window - before * BETA) < 2
    assert flow.control.packets_lost == 10


def test_after_a_loss_the_window_returns_along_the_cubic() -> None:
    """Concave towards the old window, then beyond it; never more than the cap."""
    flow = Flow()
    for _ in range(5):
        flow.fill()
        flow.round_trip()
    flow.fill()
    before = flow.control.congestion_window
    flow.lose(1)
    windows = []
    for _ in range(400):
        flow.round_trip()
        flow.fill()
        windows.append(flow.control.congestion_window)
    assert windows == sorted(windows)
    assert windows[0] < before < windows[-1]


def test_a_queue_without_losses_is_held_to_about_two_round_trips_of_the_path() -> None:
    """10 MB/s, 50 ms, a router that drops nothing: full rate, and a window of about twice its 500 kB, not 2 MiB."""
    flow = Flow()
    windows = []
    for _ in range(200):
        flow.fill()
        flow.round_trip(max(0.05, flow.control.bytes_in_flight / 10e6))
        windows.append(flow.control.congestion_window)
    assert min(windows[20:]) > 500_000
    assert max(windows[100:]) < 1_300_000


def test_on_a_fast_path_the_window_stays_where_control_waits_milliseconds() -> None:
    """100 MB/s, 1 ms: a standing window of 2 MiB would be 20 ms of queue before every control message."""
    flow = Flow()
    for _ in range(200):
        flow.fill()
        flow.round_trip(max(0.001, flow.control.bytes_in_flight / 100e6))
    assert QUEUE_FREE_BYTES * 0.8 <= flow.control.congestion_window <= QUEUE_FREE_BYTES * 1.3


def test_persistent_congestion_leaves_two_packets() -> None:
    """RFC 9002, 7.6.2."""
    flow = Flow()
    flow.fill()
    flow.control.on_persistent_congestion()
    assert flow.control.congestion_window == 2 * SIZE


@given(st.lists(st.sampled_from(["fill", "one", "ack", "lose", "expire"]), max_size=80))
def test_bytes_in_flight_are_those_of_the_packets_in_flight(moves: list[str]) -> None:
    """Whatever happens in whatever order: the sum is exact, the window within its bounds."""
    flow = Flow()
    for move in moves:
        if move == "fill":
            flow.fill()
        elif move == "one":
            flow.send(1)
        elif move == "ack":
            flow.round_trip()
        elif move == "lose":
            flow.lose(3)
        else:
            expired, flow.flying = flow.flying[:2], flow.flying[2:]
            flow.control.on_packets_expired(packets=expired)
        assert flow.control.bytes_in_flight == SIZE * len(flow.flying)
        assert 2 * SIZE <= flow.control.congestion_window <= WINDOW_BYTES_MAX


def _burst(pacer: BurstPacer, now: float) -> int:
    """Packets that leave in one visit."""
    pacer.open_batch()
    count = 0
    while pacer.next_send_time(now) is None:
        pacer.update_after_send(now)
        count += 1
    return count


def test_a_visit_is_cut_at_one_batch_and_says_so() -> None:
    """One segmented send per visit, then the other connections and the reader have their turn."""
    pacer = BurstPacer(max_datagram_size=SIZE)
    assert _burst(pacer, 1.0) == BATCH_PACKETS
    assert pacer.cut


def test_the_rate_over_time_is_a_quarter_above_window_per_round_trip() -> None:
    """100 packets per 100 ms window: 1,250 packets/s over ten seconds of timers that are up to 2 ms late."""
    pacer = BurstPacer(max_datagram_size=SIZE)
    pacer.update_rate(100 * SIZE, 0.1)
    now, sent = 1.0, 0
    while now < 11.0:
        sent += _burst(pacer, now)
        at = pacer.next_send_time(now)
        assert at is not None
        now = max(now + 0.001, at) + 0.001
    assert 12_300 <= sent <= 12_700


def test_a_larger_window_never_makes_a_smaller_burst() -> None:
    """The fault of the pacer that this one replaces: its burst fell from 17 packets to 1 as the window grew."""
    bursts = []
    for window in (50_000, 100_000, 500_000, 2_000_000, 50_000_000):
        pacer = BurstPacer(max_datagram_size=SIZE)
        pacer.update_rate(window, 0.001)
        bursts.append(_burst(pacer, 1.0))
    assert bursts == sorted(bursts)
    assert bursts[-1] == BATCH_PACKETS


def test_bursts_are_bounded_on_a_slow_path() -> None:
    """10 packets, or 4 ms of the rate where that is more; never a whole window at once."""
    pacer = BurstPacer(max_datagram_size=SIZE)
    pacer.update_rate(100 * SIZE, 0.1)
    assert _burst(pacer, 1.0) == BUCKET_PACKETS_MIN


def test_a_slow_path_waits_for_one_packet_not_for_a_burst() -> None:
    """2 packets per 20 ms: the next one is due 8 ms after the last token is gone."""
    pacer = BurstPacer(max_datagram_size=SIZE)
    pacer.update_rate(2 * SIZE, 0.02)
    _burst(pacer, 1.0)
    pacer.open_batch()
    at = pacer.next_send_time(1.0)
    assert at is not None
    assert abs(at - 1.008) < 1e-6
