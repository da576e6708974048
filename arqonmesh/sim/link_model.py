"""One direction of one link: when does a packet arrive, how often, and does it?

The same class decides for the simulator and for the lab's switch between real processes, so that a scenario means the
same in both. It knows no clock and no network: time goes in, delivery times come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

MILLION: Final = 1_000_000
Spread = Literal["uniform", "exponential", "wan"]

EXPONENTIAL_PERMILLE: Final = tuple(round(-1_000 * math.log(1 - (i + 0.5) / 256)) for i in range(256))
"""Quantiles of the exponential distribution with mean 1,000: integers, so that a draw is the same on every machine."""
WAN_SPIKE_PPM: Final = 10_000
WAN_SPIKE_TIMES: Final = 10
"""On a wide-area path one packet in a hundred waits ten times as long as the others: bufferbloat, rerouting."""


class Dice(Protocol):
    """`random.Random` fits."""

    def randrange(self, start: int, stop: int, /) -> int: ...


@dataclass(slots=True, kw_only=True)
class LinkModel:
    """Packets keep their order unless `reorder_ppm` says otherwise, whatever the jitter."""

    delay_us: int = 500
    """One way."""
    jitter_us: int = 0
    """Added at random: up to this much (uniform), or this much on average (exponential, wan)."""
    spread: Spread = "uniform"
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    reorder_ppm: int = 0
    """Packets held back by `reorder_by_us`, so that later ones overtake them."""
    reorder_by_us: int = 5_000
    bandwidth_bytes_per_s: int = 0
    """0 is no limit."""
    queue_bytes: int = 256 << 10
    """What may wait for the bandwidth; beyond it packets are lost."""
    cut: bool = False
    """Silent: packets vanish and nobody is told."""
    _busy_until_us: int = field(default=0, repr=False)
    _newest_us: int = field(default=0, repr=False)
    _still_until_us: int = field(default=0, repr=False)

    def clog(self, until_us: int) -> None:
        """Stand still until then; what is sent meanwhile comes in one burst, in order."""
        self._still_until_us = max(self._still_until_us, until_us)
        self._newest_us = max(self._newest_us, until_us)

    def plan(self, now_us: int, size_bytes: int, dice: Dice) -> tuple[int, ...]:
        """The times at which a packet sent now arrives: none when it is lost, two when it is doubled."""
        if self.cut or (self.loss_ppm and self._hit(self.loss_ppm, dice)):
            return ()
        if not (self.bandwidth_bytes_per_s or self.jitter_us or self.reorder_ppm or self.duplicate_ppm):  # good weather
            at = now_us + self.delay_us
            if at < self._newest_us:
                at = self._newest_us
            self._newest_us = at
            return (at,)
        leaves_us = self._through_the_queue(now_us, size_bytes)
        if leaves_us is None:
            return ()
        at = leaves_us + self.delay_us + self._jitter(dice)
        if self._hit(self.reorder_ppm, dice):
            at = max(at, self._still_until_us) + self.reorder_by_us
        else:
            at = self._newest_us = max(at, self._newest_us)
        if self._hit(self.duplicate_ppm, dice):
            return at, at + 1 + self._up_to(self.jitter_us + 1_000, dice)
        return (at,)

    def _through_the_queue(self, now_us: int, size_bytes: int) -> int | None:
        """When the last byte has left; None when the queue is full."""
        if not self.bandwidth_bytes_per_s:
            return now_us
        free_at = max(now_us, self._busy_until_us)
        waiting_bytes = (free_at - now_us) * self.bandwidth_bytes_per_s // MILLION
        if waiting_bytes + size_bytes > self.queue_bytes:
            return None
        self._busy_until_us = free_at + -(-size_bytes * MILLION // self.bandwidth_bytes_per_s)
        return self._busy_until_us

    def _jitter(self, dice: Dice) -> int:
        if self.spread == "uniform" or not self.jitter_us:
            return self._up_to(self.jitter_us, dice)
        drawn = self.jitter_us * EXPONENTIAL_PERMILLE[dice.randrange(0, len(EXPONENTIAL_PERMILLE))] // 1_000
        return drawn * WAN_SPIKE_TIMES if self.spread == "wan" and self._hit(WAN_SPIKE_PPM, dice) else drawn

    @staticmethod
    def _hit(ppm: int, dice: Dice) -> bool:
        return ppm > 0 and dice.randrange(0, MILLION) < ppm

    @staticmethod
    def _up_to(most_us: int, dice: Dice) -> int:
        return dice.randrange(0, most_us + 1) if most_us else 0
