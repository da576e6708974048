"""Rates and latencies of this node's bus: for /status, /rooms, the telemetry and the screens.

Rates are over the last whole span of `SPAN_S`; `sample` is called once a second and ends the spans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arqonmesh.bridge.http.messages import RoomFigures, Rooms
from arqonmesh.bridge.server import BusServer
from arqonmesh.core.bus.analytics import OTHER
from arqonmesh.core.bus.analytics import RoomFigures as Counted
from arqonmesh.core.bus.bus import Bus
from arqonmesh.core.bus.tenants import outside, tenant_of
from arqonmesh.core.kernel import SECOND, Instant

SPAN_S: Final = 10.0
ROOMS_TOLD: Final = 10
"""Rooms in the status and in the telemetry, those with most messages; /rooms tells of all."""
_COUNTED: Final = ("published", "delivered", "imported", "commands", "refused")


class BusFigures:
    """Reads what the bus and its server count."""

    def __init__(self, bus: Bus, server: BusServer, now: Instant) -> None:
        self._bus = bus
        self._server = server
        self._marked_at = now
        self._marks = dict.fromkeys((*_COUNTED, "bytes_out"), 0)
        self._written_mark = server.written.copy()
        self.rates: dict[str, float] = dict.fromkeys(self._marks, 0.0)
        """Per second, over the last span."""
        self.latency: dict[str, int] = server.written.figures()
        """From a read to its writes, over the last span in which anything was written."""

    def sample(self, now: Instant) -> None:
        lasted_us = now - self._marked_at
        if lasted_us < SPAN_S * SECOND:
            return
        self._marked_at = now
        counted = {**{name: self._bus.counters[name] for name in _COUNTED}, "bytes_out": self._bytes_out()}
        self.rates = {name: (counted[name] - mark) * SECOND / lasted_us for name, mark in self._marks.items()}
        self._marks = counted
        newest = self._server.written.since(self._written_mark)
        if newest.count:
            self.latency = newest.figures()
            self._written_mark = self._server.written.copy()
        self._bus.analytics.roll(lasted_us // 1_000)

    def told(self) -> dict[str, Any]:
        """Everything, for status and telemetry."""
        stats = self._bus.stats()
        rooms = self.rooms("", "", ROOMS_TOLD)
        return {
            "connections_active": stats["clients_connected"],
            "connections_total": stats["clients"],
            "messages_total": stats["published"],
            "delivered_total": stats["delivered"],
            "rooms_active": sum(1 for _ in self._bus.channels.rooms()),
            "channels_active": stats["channels"],
            "per_s": {name: round(rate, 1) for name, rate in self.rates.items()},
            "latency": self.latency,
            "round_trip": self._server.round_trips.figures(),
            "commands": {name: taken.figures() for name, taken in self._bus.analytics.commands.items()},
            "rooms": [_plain(room) for room in rooms.rooms],
        }

    def rooms(
        self,
        tenant: str,
        room: str,
        limit: int,
        sees: Callable[[str], bool] = lambda home: True,
        *,
        counts: Callable[[str], bool] = lambda channel: True,
        other: bool = False,
    ) -> Rooms:
        """The rooms of a tenant with most messages, of those that `sees`, each with how many are in those of its
        channels that `counts`; with `other` also the sum of those without figures of their own, which is one of all
        tenants."""
        analytics = self._bus.analytics
        found = [
            (home, counted)
            for home, counted in analytics.rooms()
            if tenant_of(home) == tenant and room in ("", outside(home)) and sees(home)
        ]
        found.sort(key=lambda one: -one[1].messages)
        rest = self._room(OTHER, analytics.other, counts) if other else RoomFigures(OTHER, 0, 0, 0.0, 0.0, 0, 0, 0)
        return Rooms(len(found), [self._room(home, counted, counts) for home, counted in found[:limit]], rest)

    def _room(self, home: str, counted: Counted, counts: Callable[[str], bool]) -> RoomFigures:
        span_s = counted.span_ms / 1_000 or SPAN_S
        return RoomFigures(
            room=outside(home),
            messages=counted.messages,
            bytes=counted.bytes,
            messages_per_s=round(counted.span_messages / span_s, 1),
            bytes_per_s=round(counted.span_bytes / span_s, 1),
            publishers=counted.span_publishers,
            subscribers=self.subscribers(home, counts),
            last_ms=counted.last_ms,
        )

    def subscribers(self, home: str, counts: Callable[[str], bool] = lambda channel: True) -> int | None:
        """Memberships of a room's channels, of those that `counts`; None where there are only others. How many are in a
        channel is presence, as in `channel_info`."""
        channels = self._bus.channels.in_room(home)
        members = [len(channel.members) for channel in channels if counts(channel.name)]
        return sum(members) if members or not channels else None

    def _bytes_out(self) -> int:
        return self._server.counters["bytes_out"]


def _plain(room: RoomFigures) -> dict[str, Any]:
    return {name: getattr(room, name) for name in room.__struct_fields__}
