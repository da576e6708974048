"""Aggregates: what leaves instead of the events of a channel, one event per window.

    first event ──▶ window open ──every_s──▶ one event: how many, how large, and of each field min, max, mean
                                             (the next event opens the next window)

An aggregate is made by the node whose clients published, of what they published; whoever receives it gets one stream of
them per publishing node. It is an event with `metadata: {"aggregate": true}` and the payload

    {"channel": "plant:press", "window_s": 60, "from": ISO 8601, "until": ISO 8601, "count": 118, "bytes": 20414,
     "fields": {"bar": {"count": 118, "min": 2, "max": 7.25, "mean": 4.31}}, "fields_left_out": 0}

Fields are those of the payload's own level that hold a JSON number. Arithmetic is decimal (IEEE 754-2008 as in Python's
decimal, which is the same everywhere) and exact up to the mean, which has twelve significant digits, half to even. So
sums do not depend on the order of events. Numbers longer than 32 characters or beyond 10^±64 are not counted.

A window is in memory only. A node that stops ends its windows first (`until` tells how short they were), so that their
sums leave, or wait on disk for a link; a node that is killed takes what it has not told yet with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from arqonmesh.core.bus.envelope import canonical_middle
from arqonmesh.core.bus.stamps import Stamps, iso
from arqonmesh.core.bus.tenants import outside
from arqonmesh.core.federation.policy import Summed
from arqonmesh.core.kernel import SECOND, Env, Instant

CHANNELS_MAX: Final = 1_024
"""Open windows. Events of further channels are in no aggregate, and counted."""
FIELDS_MAX: Final = 16
FIELD_LENGTH_MAX: Final = 64
NUMBER_LENGTH_MAX: Final = 32
EXPONENT_MAX: Final = 64
_EXACT: Final = Context(prec=256, rounding=ROUND_HALF_EVEN)
"""Holds any sum of numbers within these bounds: 64 + 64 + 2 * 32 digits and 20 more for how many they are."""
_MEAN: Final = Context(prec=12, rounding=ROUND_HALF_EVEN)
_MARK: Final = b',"metadata":{"aggregate":true}'


class _Event(Struct, gc=False):
    payload: Raw


_event: Final = msgspec.json.Decoder(_Event)
_payload: Final = msgspec.json.Decoder(dict[str, Raw])
_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Field:
    count: int
    least: Decimal
    most: Decimal
    sum: Decimal


@dataclass(slots=True)
class _Window:
    summed: Summed
    due: Instant
    since_ms: int
    count: int = 0
    bytes: int = 0
    fields: dict[str, _Field] = field(default_factory=dict)
    left_out: int = 0
    """Numbers in fields beyond FIELDS_MAX, or too long to be counted."""


class Aggregate(NamedTuple):
    """One that is to leave: the channel that it leaves on, named inside, and its canonical frame."""

    channel: str
    frame: bytes


class Aggregator:
    """The open windows of one node."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._stamps = Stamps(env.rng)
        self._windows: dict[str, _Window] = {}
        self.due: Instant | None = None
        """When the next window ends."""

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, now: Instant, channel: str, summed: Summed, frames: Sequence[bytes]) -> bool:
        """Count these canonical frames of our clients. False when there is no room for one more channel."""
        window = self._windows.get(channel)
        if window is None:
            if len(self._windows) >= CHANNELS_MAX:
                return False
            due = now + summed.rule.every_s * SECOND
            window = self._windows[channel] = _Window(summed, due, self._env.wall_ms())
            if self.due is None or due < self.due:
                self.due = due
        for frame in frames:
            window.count += 1
            window.bytes += len(frame)
            for name, number in _numbers(frame):
                _add(window, name, number)
        return True

    def end_all(self, now: Instant) -> None:
        """Every open window ends now, however short it was."""
        for window in self._windows.values():
            window.due = min(window.due, now)
        if self.due is not None:
            self.due = min(self.due, now)

    def close(self, now: Instant) -> list[Aggregate]:
        """The aggregates of the windows that have ended."""
        if self.due is None or self.due > now:
            return []
        ended = [channel for channel, window in self._windows.items() if window.due <= now]
        wall_ms = self._env.wall_ms()
        self._stamps.at(wall_ms)
        told = [self._tell(channel, self._windows.pop(channel), wall_ms) for channel in ended]
        self.due = min((window.due for window in self._windows.values()), default=None)
        return told

    def _tell(self, channel: str, window: _Window, wall_ms: int) -> Aggregate:
        rule, to = window.summed.rule, window.summed.to
        fields = b",".join(
            b'%b:{"count":%d,"min":%b,"max":%b,"mean":%b}'
            % (_encode(name), one.count, _json(one.least), _json(one.most), _json(_MEAN.divide(one.sum, one.count)))
            for name, one in window.fields.items()
            if one.count >= rule.events_min
        )
        payload = (
            b'{"channel":%b,"window_s":%d,"from":%b,"until":%b,"count":%d,"bytes":%d,"fields":{%b},"fields_left_out":%d}'
            % (
                _encode(outside(channel)),
                rule.every_s,
                _encode(iso(window.since_ms)),
                _encode(iso(wall_ms)),
                window.count,
                window.bytes,
                fields,
                window.left_out,
            )
        )
        room, _, leaf = outside(to).partition(":")
        middle = canonical_middle("event", room, leaf, self._env.cluster)
        end = b',"timestamp":"%bZ","v":1}' % self._stamps.time
        return Aggregate(to, b"".join((b'{"id":"', self._stamps.next_id(), middle, payload, _MARK, end)))


def _numbers(frame: bytes) -> list[tuple[str, Decimal | None]]:
    """Numbers of the payload's own level by their fields; None for one that is out of bounds."""
    try:
        fields = _payload.decode(_event.decode(frame).payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [(name, _number(raw)) for name, value in fields.items() if (raw := bytes(value))[:1] in b"-0123456789"]


def _number(raw: bytes) -> Decimal | None:
    if len(raw) > NUMBER_LENGTH_MAX:
        return None
    try:
        number = Decimal(raw.decode())
    except InvalidOperation:
        return None
    return number if abs(number.adjusted()) <= EXPONENT_MAX else None


def _add(window: _Window, name: str, number: Decimal | None) -> None:
    allowed = window.summed.rule.fields
    if allowed and name not in allowed:
        return
    known = window.fields.get(name)
    if number is None or (known is None and (len(window.fields) >= FIELDS_MAX or len(name) > FIELD_LENGTH_MAX)):
        window.left_out += 1
    elif known is None:
        window.fields[name] = _Field(1, number, number, number)
    else:
        known.count += 1
        known.sum = _EXACT.add(known.sum, number)
        known.least = min(known.least, number)
        known.most = max(known.most, number)


def _json(number: Decimal) -> bytes:
    """As a JSON number; Python's form of a decimal is one (RFC 8259, 6)."""
    return str(number).encode()
