"""Congestion control for mesh links: CUBIC (RFC 9438) that knows when the application, not the window, is the limit.

aioquic's own algorithms grow the window on every acknowledgement, used or not, so on a quiet link it runs away and
the first burst floods the path. Here the window grows only in rounds that filled it (RFC 9002, 7.8), and never
above a cap: recovery lists every packet in flight on each ACK, which a larger window makes costly.

Slow start ends at the first loss or at the cap. HyStart is left out on purpose: it takes the jitter of an event
loop for a queue that builds up. But a window far beyond what the path delivers in a round trip is only a queue, in a
router or in the receiver's socket, and a control message waits behind it. So beyond a floor the window is held to
twice the delivered bytes per smallest round trip, and let down gently when it is above (the aim of TCP Vegas,
Brakmo and Peterson, 1995, with much more patience).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from aioquic.quic.congestion.base import (
    K_MINIMUM_WINDOW,
    QuicCongestionControl,
    register_congestion_control,
)
from aioquic.quic.packet_builder import QuicSentPacket

NAME: Final = "arqonmesh"
WINDOW_BYTES_MAX: Final = 2 << 20
RTT_MIN_S: Final = 0.001
"""Samples below this are the machine's own speed, not the path's."""
QUEUE_FREE_BYTES: Final = 1 << 20
"""Up to here the window may grow whatever the round trip does: smaller, and two busy machines wait for each other."""
QUEUE_FACTOR: Final = 2.0
"""Above it: this many times what the path delivers in its smallest round trip."""
BETA: Final = 0.7
"""What is left of the window after a loss (RFC 9438, 4.6)."""
CUBIC_C: Final = 0.4
"""Aggressiveness of the cubic curve, segments per cubic second (RFC 9438, 5)."""
RENO_ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)
"""Growth that makes the Reno-friendly estimate fair against Reno (RFC 9438, 4.3)."""
SLACK_PACKETS: Final = 3
"""A window with less than this free counts as full."""


class MeshCongestionControl(QuicCongestionControl):
    """One connection's window, in bytes. Times are the caller's seconds."""

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self.packets_lost = 0
        self._segment = max_datagram_size
        self._recovery_start = -1.0
        self._newest_sent = -1
        self._round_end = -1
        self._peak = 0
        self._peak_before = 0
        self._epoch_start = -1.0
        self._window_max = 0.0
        self._window = float(self.congestion_window)
        self._reno = 0.0
        self._k = 0.0
        self._rtt = 0.0
        self._rtt_min = math.inf
        self._rtt_smooth = 0.0
        self._limit = float(WINDOW_BYTES_MAX)

    @property
    def application_limited(self) -> bool:
        """Whether neither this round nor the one before filled the window."""
        peak = max(self._peak, self._peak_before)
        if self.ssthresh is None or self.congestion_window < self.ssthresh:
            return peak * 2 < self.congestion_window
        return peak + SLACK_PACKETS * self._segment < self.congestion_window

    def on_packet_sent(self, *, packet: QuicSentPacket) -> None:
        self.bytes_in_flight += packet.sent_bytes
        self._newest_sent = packet.packet_number
        if self.bytes_in_flight > self._peak:
            self._peak = self.bytes_in_flight

    def on_packet_acked(self, *, now: float, packet: QuicSentPacket) -> None:
        self.bytes_in_flight -= packet.sent_bytes
        if packet.packet_number > self._round_end:
            self._hold_down_queue()
            self._round_end = self._newest_sent
            self._peak_before, self._peak = self._peak, self.bytes_in_flight + packet.sent_bytes
        sent_time = packet.sent_time
        if sent_time is None or sent_time <= self._recovery_start:
            return
        if self.application_limited:
            self._epoch_start = -1.0
            return
        if self.ssthresh is None or self.congestion_window < self.ssthresh:
            self._window += packet.sent_bytes
        else:
            self._grow_cubic(now, packet.sent_bytes)
        self._publish()

    def on_packets_expired(self, *, packets: Iterable[QuicSentPacket]) -> None:
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes

    def on_packets_lost(self, *, now: float, packets: Iterable[QuicSentPacket]) -> None:
        newest = self._recovery_start
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            self.packets_lost += 1
            if packet.sent_time is not None and packet.sent_time > newest:
                newest = packet.sent_time
        if newest <= self._recovery_start:
            return
        # One reduction per round trip: what was sent before it is judged by the old window (RFC 9002, 7.3.2).
        self._recovery_start = now
        fast_convergence = self._window < self._window_max
        self._window_max = self._window * (1 + BETA) / 2 if fast_convergence else self._window
        self._window = max(self._window * BETA, float(K_MINIMUM_WINDOW * self._segment))
        self.ssthresh = int(self._window)
        self._epoch_start = -1.0
        self._publish()

    def on_persistent_congestion(self) -> None:
        self._window = float(K_MINIMUM_WINDOW * self._segment)
        self._epoch_start = -1.0
        self._publish()

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:
        self._rtt = rtt
        self._rtt_min = min(self._rtt_min, max(rtt, RTT_MIN_S))
        self._rtt_smooth += (rtt - self._rtt_smooth) / 8 if self._rtt_smooth else rtt

    def _hold_down_queue(self) -> None:
        """Once per round: what the window may be, and an eighth off when it is more."""
        if self._rtt_smooth <= 0.0 or self.application_limited:
            return
        delivered = self._window * min(1.0, self._rtt_min / self._rtt_smooth)
        self._limit = min(float(WINDOW_BYTES_MAX), max(float(QUEUE_FREE_BYTES), QUEUE_FACTOR * delivered))
        if self._window > self._limit:
            self._window = max(self._limit, self._window * 7 / 8)
            self.congestion_window = int(self._window)
            self._epoch_start = -1.0

    def _grow_cubic(self, now: float, acked_bytes: int) -> None:
        if self._epoch_start < 0:
            self._epoch_start = now
            self._reno = self._window
            if self._window < self._window_max:
                self._k = ((self._window_max - self._window) / self._segment / CUBIC_C) ** (1 / 3)
            else:
                self._window_max = self._window
                self._k = 0.0
        at = now - self._epoch_start + self._rtt - self._k
        target = self._window_max + CUBIC_C * at**3 * self._segment
        target = min(max(target, self._window), self._window * 1.5)
        share = acked_bytes / self._window
        self._window += (target - self._window) * share
        self._reno += RENO_ALPHA * self._segment * share
        self._window = max(self._window, self._reno)

    def _publish(self) -> None:
        self._window = min(self._window, max(self._limit, float(self.congestion_window)))
        self.congestion_window = int(self._window)


register_congestion_control(NAME, MeshCongestionControl)
