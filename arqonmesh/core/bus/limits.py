"""What the connections of one subject may use: frames and bytes per second, each a token bucket that they share
(allowances.py), how many there may be, and how long each may stay above the rates.

A frame over a rate is dropped and its sender told, with when to try again. Who stays far above is closed (4429): what
is dropped comes out of a third bucket, the connection's own, that holds `STRIKES_S` seconds of the rate: a burst
is forgiven and a flood is not.

One connection cannot starve its siblings: in each second it may take its even part of whatever is there, and beyond
that only what is above half of the bucket, which waits for those that have not had their part. Alone it has all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.allowances import Allowance
from arqonmesh.core.bus.answers import say
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.ratelimit import TokenBucket
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import Dropped
from arqonmesh.core.kernel import MILLISECOND, SECOND, CloseClient, Effect, Emit, Instant

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus
    from arqonmesh.core.bus.clients import Client

TOO_MUCH: Final = 4429
"""Close code (4000-4999 are ours): the client sends far more than it may."""
STRIKES_S: Final = 10
"""Seconds' worth of the rate that may be dropped before the client is closed; it comes back at the rate."""
LIMITS: Final = (
    "rate_per_s",
    "rate_bytes_per_s",
    "anonymous_counted_by",
    "connections_per_subject_max",
    "subscriptions_per_subject_max",
)
"""Settings of the bus after a change of which everybody begins anew."""
CONNECTIONS_FULL: Final = "bus.subject-connections"


class ClientLimits:
    """One connection's part in an allowance."""

    __slots__ = ("_bytes_taken", "_frames_taken", "_second", "allowance", "strikes")

    def __init__(self, now: Instant, settings: BusSettings, allowance: Allowance) -> None:
        self.allowance = allowance
        per_s = settings.rate_per_s or max(1, settings.rate_bytes_per_s // settings.frame_bytes_max)
        self.strikes = TokenBucket(now, per_s, burst=per_s * STRIKES_S)
        self._second = now // SECOND
        self._frames_taken = self._bytes_taken = 0
        """In this second; counted only where others draw on the same allowance."""

    def allowed(self, now: Instant, frames: Sequence[bytes]) -> int:
        """How many of these frames, from the first, are within both rates; they are taken."""
        count, allowance = len(frames), self.allowance
        shared = len(allowance.connections) > 1
        if shared and now // SECOND != self._second:
            self._second, self._frames_taken, self._bytes_taken = now // SECOND, 0, 0
        if (bucket := allowance.bytes) is not None:
            left = bucket.available(now)
            if shared and count:
                left = self._part(bucket, left, self._bytes_taken, len(frames[0]))
            taken, count = 0, 0
            for frame in frames:
                if taken + len(frame) > left:
                    break
                taken += len(frame)
                count += 1
        if (bucket := allowance.frames) is not None:
            if shared:
                count = min(count, self._part(bucket, bucket.available(now), self._frames_taken, 1))
                self._frames_taken += count
            count = bucket.take(now, count)
        if (bucket := allowance.bytes) is not None:
            size = sum(map(len, frames[:count]))
            bucket.take(now, size)
            self._bytes_taken += size
        return count

    def retry_after_ms(self, now: Instant, refused: bytes) -> int:
        """When the first frame that was refused has room, if its siblings are quiet."""
        allowance = self.allowance
        wait_us = 0 if allowance.frames is None else allowance.frames.wait_us(now, 1)
        if allowance.bytes is not None:
            wait_us = max(wait_us, allowance.bytes.wait_us(now, len(refused)))
        if len(allowance.connections) > 1:  # its part of this second is used up
            wait_us = max(wait_us, SECOND - now % SECOND)
        return max(1, -(-wait_us // MILLISECOND))

    def over(self, now: Instant, refused: bytes) -> str:
        """Which rate refused it: bytes or frames."""
        bucket = self.allowance.bytes
        return "bytes" if bucket is not None and bucket.available(now) < len(refused) else "frames"

    def _part(self, bucket: TokenBucket, left: int, taken: int, least: int) -> int:
        """What this connection may take of `left`; `least`, what one frame needs, is never refused for fairness' sake
        to who has taken nothing in this second."""
        even = bucket.rate_per_s // len(self.allowance.connections)
        own = max(even, least) if not taken else even - taken
        reserve = (bucket.rate_per_s + 1) // 2
        return max(min(left, max(0, own)), left - reserve)


def enter(bus: Bus, now: Instant, client: Client, identity: Identity) -> str:
    """Let the client draw on the allowance of who it is; why not, when too many of its connections are open."""
    settings = bus.settings
    allowance = bus.allowances.of(now, client.id, identity, client.info.address, settings)
    before = client.limits
    if allowance is None or (before is not None and before.allowance is allowance):
        return ""
    places = settings.connections_per_subject_max
    if places and len(allowance.connections) >= places:
        return (
            f"{CONNECTIONS_FULL}: {allowance.name} has {len(allowance.connections)} connections, which is all that "
            "bus.connections_per_subject_max allows"
        )
    leave(bus, now, client)
    bus.allowances.enter(client.id, allowance)
    client.limits = ClientLimits(now, settings, allowance)
    if before is not None:
        client.limits.strikes = before.strikes  # or a flooder would wash itself clean by another token
    return ""


def leave(bus: Bus, now: Instant, client: Client) -> None:
    """It draws on no allowance any more. Repeats are harmless."""
    if client.limits is not None:
        bus.allowances.leave(now, client.id, client.limits.allowance)
        client.limits = None


def begin_anew(bus: Bus, now: Instant) -> None:
    """Other limits hold from now on; who is above a new one stays."""
    bus.allowances.clear()
    for client in bus.clients.values():
        client.limits = None
        allowance = bus.allowances.of(now, client.id, client.identity, client.info.address, bus.settings)
        if allowance is not None:
            bus.allowances.enter(client.id, allowance)
            client.limits = ClientLimits(now, bus.settings, allowance)


def check_subscriptions(bus: Bus, client: Client, name: str) -> None:
    """Raises Refusal when all connections of the subject together have as many as they may."""
    most, limits = bus.settings.subscriptions_per_subject_max, client.limits
    if not most or limits is None or name in client.subscriptions:
        return
    held = 0
    for sibling in limits.allowance.connections:
        found = bus.clients.get(sibling)
        held += 0 if found is None else len(found.subscriptions)
        if held >= most:
            raise Refusal(
                "bus.subscriptions-full",
                f"the {len(limits.allowance.connections)} connections of {limits.allowance.name} have {held} "
                "subscriptions, which is all that bus.subscriptions_per_subject_max allows",
                field="channel",
                hint='{"type": "leave", "channel": "telemetry:host"}',
            )


def within_rate(
    bus: Bus, now: Instant, client: Client, limits: ClientLimits, frames: Sequence[bytes], effects: list[Effect]
) -> Sequence[bytes]:
    """The frames that the client's rates allow; it is told of the others once."""
    allowed = limits.allowed(now, frames)
    dropped = len(frames) - allowed
    if dropped == 0:
        return frames
    bus.counters["rate_limited"] += dropped
    bus.limited.note(client.tenant, limits.allowance.key[2], dropped)
    settings, allowance, refused = bus.settings, limits.allowance, frames[allowed]
    rates = [f"{settings.rate_per_s} frames"] if settings.rate_per_s else []
    rates += [f"{settings.rate_bytes_per_s} bytes"] if settings.rate_bytes_per_s else []
    siblings = len(allowance.connections)
    whose = f", its {siblings} connections together" if siblings > 1 else ""
    payload = {
        "code": "bus.rate-limited",
        "message": f"{dropped} frames dropped; this bus takes {' and '.join(rates)} a second of each "
        f"{'client' if allowance.counted_by == 'connection' else allowance.counted_by}{whose}",
        "hint": "send more slowly, or raise bus.rate_per_s or bus.rate_bytes_per_s in arqon.yaml",
        "dropped": dropped,
        "limit": limits.over(now, refused),
        "counted_by": allowance.counted_by,
        "retry_after_ms": limits.retry_after_ms(now, refused),
    }
    fields: dict[str, Any] = {"status": "error"}
    if not client.canonical:
        fields.update(error=payload, error_code="bus.rate-limited")
    effects.append(say(bus, client, "error", payload, **fields))
    effects.append(Emit(Dropped("bus", "rate-limited", dropped, client.id)))
    if limits.strikes.take(now, dropped) < dropped:
        client.closing = True
        bus.counters["flooders_closed"] += 1
        reason = f"bus.flood: more than {STRIKES_S} s worth of {' and '.join(rates)} a second dropped in a row"
        effects.append(CloseClient(client.id, TOO_MUCH, reason))
        effects.append(Emit(Dropped("bus", "flood", 1, client.id)))
    return frames[:allowed]
