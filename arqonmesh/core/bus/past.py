"""What was published on a channel before: which part of it is asked for, and whether memory knows the answer.

since   the first `limit` events from there on: milliseconds since 1970, ISO 8601, or a position {epoch: offset}
before  the last `limit` events before there, in the same forms
neither the last `limit` events
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

from arqonmesh.core.bus.envelope import parse_stored
from arqonmesh.core.bus.history import cut
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.stamps import ms_of
from arqonmesh.core.bus.streams import EPOCH_LENGTH_MAX, OFFSET_MAX
from arqonmesh.core.kernel import HistoryQuery, Range

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

PAGE_BYTES_MAX: Final = 1 << 20
"""The most that one answer carries; what is left off, `more` says."""
LOAD_BYTES_MAX: Final = 8 << 20
"""The most that is read back into a ring."""
EPOCHS_MAX: Final = 256
"""Streams that a position may name."""
_HINT: Final = '{"type": "history", "channel": "telemetry:host", "since": "2026-01-01T00:00:00Z", "limit": 50}'


@dataclass(frozen=True, slots=True)
class Window:
    """`since` and `before`, read. At most one form of each is set."""

    since_ms: int | None = None
    before_ms: int | None = None
    since: dict[str, int] | None = None
    before: dict[str, int] | None = None

    @property
    def forward(self) -> bool:
        return self.since_ms is not None or self.since is not None


@dataclass(frozen=True, slots=True)
class Page:
    """Canonical frames in the order of their arrival; `more`: there were others that fit."""

    frames: list[bytes]
    more: bool


def window_of(since: Raw, before: Raw) -> Window:
    """Raises Refusal when either is none of the three forms."""
    since_ms, since_at = _bound(since, "since")
    before_ms, before_at = _bound(before, "before")
    return Window(since_ms, before_ms, since_at, before_at)


def position_of(raw: Raw, field: str = "since") -> dict[str, int]:
    """{epoch: offset}. Raises Refusal."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, int])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if (
        found is None
        or len(found) > EPOCHS_MAX
        or any(len(epoch) > EPOCH_LENGTH_MAX or not 0 <= offset <= OFFSET_MAX for epoch, offset in found.items())
    ):
        raise Refusal(
            "bus.invalid-field",
            f"{field} is {bytes(raw)[:80].decode(errors='replace')}; it needs to be a position: "
            f"{{epoch: offset}} of at most {EPOCHS_MAX} streams",
            field=field,
            hint='{"type": "join", "channel": "telemetry:host", "since": {"7f2ckd3atu-1tz0ab": 41}}',
        )
    return found


def plan(bus: Bus, name: str, limit: int, window: Window) -> Page | HistoryQuery:
    """The answer, where memory holds it, else the question for the disk."""
    channel = bus.channels.find(name)
    streams = channel.streams if channel is not None else bus.shelf.look(name)
    if streams is None:
        return Page([], False)
    ranges: list[Range] | None = None
    if window.since is not None or window.before is not None:
        ranges = _below(window.before, streams.missed(window.since or {}))
        if not ranges:
            return Page([], False)
    timed = window.since_ms is not None or window.before_ms is not None
    if channel is not None:
        ring = channel.ring
        sure = ring.whole or not bus.env.durable
        if ranges is not None:
            frames, complete = ring.select(ranges)
            if sure or (complete and not timed):
                return page(_within(frames, window) if timed else frames, limit, window.forward)
        elif timed:
            if sure:
                return page(_within(ring.frames, window), limit, window.forward)
        elif sure or len(ring.frames) >= limit:
            found = page(ring.frames, limit, False)
            return Page(found.frames, found.more or not ring.whole)
    elif not bus.env.durable:
        return Page([], False)
    if ranges is None and not timed:
        most = max(limit, bus.settings.history.per_channel)
        return HistoryQuery(name, most, LOAD_BYTES_MAX)
    return HistoryQuery(
        name,
        limit,
        PAGE_BYTES_MAX,
        window.forward,
        window.since_ms,
        window.before_ms,
        None if ranges is None else tuple(ranges),
    )


def page(frames: Sequence[bytes], limit: int, forward: bool) -> Page:
    """The first or the last of these that an answer has room for."""
    picked = cut(frames if forward else reversed(frames), limit, PAGE_BYTES_MAX)
    return Page(picked if forward else picked[::-1], len(picked) < len(frames))


def load_ring(bus: Bus, name: str, frames: Sequence[bytes], more: bool) -> None:
    """The newest events of a channel came from the disk: what of them the ring lacks goes in front of it."""
    channel = bus.channels.find(name)
    if channel is None or channel.ring.whole:
        return
    lows = channel.ring.lows()
    if "" in lows:
        return
    older: list[tuple[bytes, str, int]] = []
    held, whole = channel.ring.places(), not more
    for frame in frames:
        stored = parse_stored(frame)
        if stored is None:
            continue
        if stored.epoch in lows and stored.offset >= lows[stored.epoch]:
            whole = whole and (stored.epoch, stored.offset) in held  # else it came late, and only the disk has it
            continue
        if not stored.epoch and channel.ring.frames:
            return  # an event without a number may be in the ring already
        older.append((frame, stored.epoch, stored.offset))
    bus.history.prepend(name, channel.ring, older, whole=whole)


def with_ring(bus: Bus, name: str, frames: Sequence[bytes], query: HistoryQuery) -> list[bytes]:
    """What the disk had, and behind it what fits the question and is in memory alone: the disk is slow, or gone."""
    channel = bus.channels.find(name)
    if channel is None:
        return list(frames)
    held = channel.ring.frames if query.ranges is None else channel.ring.select(query.ranges)[0]
    if query.after_ms is not None or query.before_ms is not None:
        held = _within(held, Window(query.after_ms, query.before_ms))
    found, newer = set(frames), []
    for frame in reversed(held):
        if frame in found:
            break
        newer.append(frame)
    return [*frames, *reversed(newer)]


def _within(frames: Iterable[bytes], window: Window) -> list[bytes]:
    picked = []
    for frame in frames:
        stored = parse_stored(frame)
        at_ms = None if stored is None else ms_of(stored.timestamp)
        if at_ms is None:
            continue
        if window.since_ms is not None and at_ms < window.since_ms:
            continue
        if window.before_ms is None or at_ms < window.before_ms:
            picked.append(frame)
    return picked


def _below(before: dict[str, int] | None, ranges: list[Range]) -> list[Range]:
    """Of the streams that `before` names, what lies below; all of the others."""
    if before is None:
        return ranges
    cut_off = [(epoch, first, min(last, before.get(epoch, last + 1) - 1)) for epoch, first, last in ranges]
    return [(epoch, first, last) for epoch, first, last in cut_off if first <= last]


def _bound(raw: Raw, field: str) -> tuple[int | None, dict[str, int] | None]:
    if not raw or bytes(raw) == b"null":
        return None, None
    if bytes(raw).startswith(b"{"):
        return None, position_of(raw, field)
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    at_ms = None
    if isinstance(value, str):
        at_ms = int(value) if value.isascii() and value.isdigit() and len(value) < 17 else ms_of(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= OFFSET_MAX:
        at_ms = int(value)
    if at_ms is None:
        raise Refusal(
            "bus.invalid-field",
            f"{field} is {bytes(raw)[:80].decode(errors='replace')}; it needs to be milliseconds since 1970, "
            "an ISO 8601 time, or a position {epoch: offset}",
            field=field,
            hint=_HINT,
        )
    return at_ms, None
