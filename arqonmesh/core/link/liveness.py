"""Link liveness: when does one link carry traffic, in both directions?

    OPENING ──first answer──▶ UP ◀──any answer── PROBING
       │                       └──answer overdue──▶ │
       └──never answered──▶ DOWN ◀──out of patience─┘

What keeps a link up is an *answered* heartbeat, because only an answer proves both directions: when one direction is
cut, the side that still hears loses its answers, the other side loses everything, and both notice within one patience.
Hearing the peer without being answered is told apart in the reason.

Heartbeats leave every `max(base, 2 srtt)`. Once an answer is overdue they leave four times as often (PROBING), so that
a lossy link is not mistaken for a dead one: several independent round trips have to fail, not just `misses`. Not so
when answers have become slow rather than few: a busy peer that is asked more often only becomes busier, and a hub with
many links would never come out of it.

Patience is `misses` and a half intervals, counted from the last answer, or more where round trips are that uneven. At
100 ms x 3 that is 350 ms, which leaves 50 ms of the promised 400 ms for answers that were in the air at the cut.

Sources: BFD's detection time (RFC 5880, 6.8.4); Lifeguard (DSN-W 2018) for patience with ourselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.core.link.beats import Beats
from arqonmesh.core.link.rtt import RttEstimator

INTERVAL_US_MAX: Final = 2 * SECOND
RTO_US_MAX: Final = 10 * SECOND
OPENING_PATIENCE_US: Final = 3 * SECOND
"""A new connection's first answer may take this long: its round-trip time is not known yet."""
EARLY: Final = 20
"""A heartbeat may leave a twentieth of an interval early, which shares the wake-up of others."""
EXTENSIONS_MAX: Final = 4
"""How often patience may be extended in one silence; a process that is always late must still notice a cut."""


class LinkState(Enum):
    OPENING = "opening"
    UP = "up"
    PROBING = "probing"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Beat:
    """Send one heartbeat with this sequence number."""

    seq: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The link left `old` for `new`. UP and PROBING both carry traffic."""

    old: LinkState
    new: LinkState
    reason: str


class Liveness:
    """The liveness of one link. Perform what `answered` and `tick` return, in order."""

    __slots__ = (
        "_answered_at",
        "_base_us",
        "_beats",
        "_extensions",
        "_extra_us",
        "_heard_at",
        "_misses",
        "_next_beat_at",
        "_overdue_us",
        "interval_us",
        "patience_us",
        "rtt",
        "state",
    )

    def __init__(self, *, interval_us: int, misses: int, now: Instant) -> None:
        assert interval_us > 0, interval_us
        assert misses > 0, misses
        self.state = LinkState.OPENING
        self.rtt = RttEstimator()
        self._base_us = interval_us
        self._misses = misses
        self._beats = Beats()
        self._heard_at: Instant | None = None
        self._answered_at = now
        self._next_beat_at = now
        self._extra_us = 0
        self._extensions = 0
        self._reckon()

    def _reckon(self) -> None:
        """The figures that follow from the round trips and the state. Both change with an answer, and they are asked
        for many times between two answers, so they are kept."""
        rtt = self.rtt
        self.interval_us = interval_us = min(max(self._base_us, 2 * rtt.srtt_us), INTERVAL_US_MAX)
        """Time between heartbeats while all is well."""
        rto_us = min(rtt.rto_us, RTO_US_MAX)
        self._overdue_us = max(interval_us * 3 // 2, rto_us)
        least_us = OPENING_PATIENCE_US if self.state is LinkState.OPENING else interval_us + rto_us
        self.patience_us = max(self._misses * interval_us + interval_us // 2, least_us)
        """Time without an answer after which the link is down."""

    def heard(self, now: Instant) -> None:
        """A heartbeat of the peer arrived: its direction works. Ours is proved by answers alone."""
        self._heard_at = now

    def answered(self, now: Instant, seq: int) -> list[Changed]:
        """The peer answered our heartbeat `seq`. An answer that fits no heartbeat of ours changes nothing."""
        if self.state is LinkState.DOWN:
            return []
        rtt_us = self._beats.answered(now, seq)
        if rtt_us is None:
            return []
        self.rtt.sample(rtt_us)
        self._heard_at = self._answered_at = now
        self._extra_us = self._extensions = 0
        changed = self._enter(LinkState.UP, "answered")
        self._reckon()
        return changed

    def tick(self, now: Instant) -> list[Beat | Changed]:
        """The wake-up time passed. Harmless when early or repeated."""
        if self.state is LinkState.DOWN:
            return []
        if self.verdict_due(now):
            return list(self._enter(LinkState.DOWN, self._diagnosis(now)))
        out: list[Beat | Changed] = []
        if self.state is LinkState.UP and now >= self._overdue_at():
            out += self._enter(LinkState.PROBING, "answer overdue")
            self._next_beat_at = now
        if now + self.interval_us // EARLY >= self._next_beat_at:
            out.append(Beat(self._beats.sent(now)))
            self._next_beat_at = now + self._spacing_us()
        return out

    def verdict_due(self, now: Instant) -> bool:
        """Whether patience has run out; the next `tick` would take the link down."""
        return self.state is not LinkState.DOWN and now >= self._down_at()

    def silent(self, now: Instant) -> bool:
        """Nothing at all has come for more than an interval and a half."""
        return self._heard_at is not None and now - self._heard_at > self.interval_us * 3 // 2

    def extend(self, now: Instant, by_us: int) -> None:
        """We were not listening for `by_us`: that much more patience, at least one interval from now."""
        if self.state is LinkState.DOWN or self._extensions >= EXTENSIONS_MAX:
            return
        self._extensions += 1
        latest = now + self.patience_us
        wanted = max(self._down_at() + by_us, now + self.interval_us)
        self._extra_us += max(0, min(wanted, latest) - self._down_at())

    def loss_ppm(self, now: Instant) -> int:
        """Lost round trips over the newest heartbeats, in millionths."""
        return self._beats.loss_ppm(now, max(self.interval_us, min(self.rtt.rto_us, RTO_US_MAX)))

    def next_wakeup(self) -> Instant | None:
        """When to call `tick`; None once the link is down."""
        if self.state is LinkState.DOWN:
            return None
        answered_at = self._answered_at
        wakes_at = min(self._next_beat_at, answered_at + self.patience_us + self._extra_us)
        if self.state is LinkState.UP and answered_at + self._overdue_us < wakes_at:
            return answered_at + self._overdue_us
        return wakes_at

    def _overdue_at(self) -> Instant:
        return self._answered_at + self._overdue_us

    def _down_at(self) -> Instant:
        return self._answered_at + self.patience_us + self._extra_us

    def _spacing_us(self) -> int:
        if self.state is LinkState.UP or self.rtt.strained:
            return self.interval_us
        return self.interval_us // 4

    def _diagnosis(self, now: Instant) -> str:
        if self.state is LinkState.OPENING:
            return "no heartbeat was ever answered"
        silent_ms = (now - self._answered_at) // 1_000
        if self.silent(now):
            return f"silent for {silent_ms} ms"
        return f"one way: heard, but not answered for {silent_ms} ms"

    def _enter(self, new: LinkState, reason: str) -> list[Changed]:
        old, self.state = self.state, new
        if old is new:
            return []
        assert old is not LinkState.DOWN, f"invalid transition [down -> {new.value}]"
        return [Changed(old, new, reason)]
