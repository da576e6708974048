"""What one client may send: frames and bytes per second, each a token bucket, and how long it may stay above them.

A frame over a rate is dropped and its sender told. Who stays far above is closed (4429): what is dropped comes out of a
third bucket that holds `STRIKES_S` seconds of the rate, so that a burst is forgiven and a flood is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.answers import say
from arqonmesh.core.bus.ratelimit import TokenBucket
from arqonmesh.core.events import Dropped
from arqonmesh.core.kernel import CloseClient, Effect, Emit, Instant

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client

TOO_MUCH: Final = 4429
"""Close code (4000-4999 are ours): the client sends far more than it may."""
STRIKES_S: Final = 10
"""Seconds' worth of the rate that may be dropped before the client is closed; it comes back at the rate."""


class ClientLimits:
    """The buckets of one client; `None` where there is no limit."""

    __slots__ = ("bytes", "frames", "strikes")

    def __init__(self, now: Instant, settings: BusSettings) -> None:
        self.frames = TokenBucket(now, settings.rate_per_s) if settings.rate_per_s else None
        self.bytes = TokenBucket(now, settings.rate_bytes_per_s) if settings.rate_bytes_per_s else None
        per_s = settings.rate_per_s or max(1, settings.rate_bytes_per_s // settings.frame_bytes_max)
        self.strikes = TokenBucket(now, per_s, burst=per_s * STRIKES_S)

    @classmethod
    def of(cls, now: Instant, settings: BusSettings) -> ClientLimits | None:
        """None when clients have no limits, so that the hot path asks nothing."""
        return cls(now, settings) if settings.rate_per_s or settings.rate_bytes_per_s else None

    def allowed(self, now: Instant, frames: Sequence[bytes]) -> int:
        """How many of these frames, from the first, are within both rates; they are taken."""
        count = len(frames)
        if self.bytes is not None:
            left, taken, count = self.bytes.available(now), 0, 0
            for frame in frames:
                if taken + len(frame) > left:
                    break
                taken += len(frame)
                count += 1
        if self.frames is not None:
            count = self.frames.take(now, count)
        if self.bytes is not None:
            self.bytes.take(now, sum(map(len, frames[:count])))
        return count


def within_rate(
    bus: Bus, now: Instant, client: Client, limits: ClientLimits, frames: Sequence[bytes], effects: list[Effect]
) -> Sequence[bytes]:
    """The frames that the client's rates allow; it is told of the others once."""
    allowed = limits.allowed(now, frames)
    over = len(frames) - allowed
    if over == 0:
        return frames
    bus.counters["rate_limited"] += over
    settings = bus.settings
    rates = [f"{settings.rate_per_s} frames"] if settings.rate_per_s else []
    rates += [f"{settings.rate_bytes_per_s} bytes"] if settings.rate_bytes_per_s else []
    payload = {
        "code": "bus.rate-limited",
        "message": f"{over} frames dropped; this bus takes {' and '.join(rates)} a second of each client",
        "hint": "send more slowly, or raise bus.rate_per_s or bus.rate_bytes_per_s in arqon.yaml",
        "dropped": over,
    }
    fields: dict[str, Any] = {"status": "error"}
    if not client.canonical:
        fields.update(error=payload, error_code="bus.rate-limited")
    effects.append(say(bus, client, "error", payload, **fields))
    effects.append(Emit(Dropped("bus", "rate-limited", over, client.id)))
    if limits.strikes.take(now, over) < over:
        client.closing = True
        bus.counters["flooders_closed"] += 1
        reason = f"bus.flood: more than {STRIKES_S} s worth of {' and '.join(rates)} a second dropped in a row"
        effects.append(CloseClient(client.id, TOO_MUCH, reason))
        effects.append(Emit(Dropped("bus", "flood", 1, client.id)))
    return frames[:allowed]
