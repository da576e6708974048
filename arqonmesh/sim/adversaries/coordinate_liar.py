"""Is next door to everybody. A core of `sim.field`, in the place of coordinates."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from arqonmesh.core.coordinates.core import Coordinates
from arqonmesh.core.events import LinkDown
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Effect, Env, Event, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import CoordinateReport, WireMessage

NEXT_DOOR_US: Final = 1 * MILLISECOND
EVERY_US: Final = 2 * SECOND


class CoordinateLiar:
    """Gives back to each peer that peer's own place, one millisecond off, as if it were certain of it."""

    NAME: ClassVar[str] = "coordinates"
    MESSAGES: ClassVar[tuple[type[WireMessage], ...]] = Coordinates.MESSAGES
    EVENTS: ClassVar[tuple[type[Event], ...]] = (LinkDown,)

    def __init__(self, env: Env) -> None:
        self._heard: dict[NodeId, CoordinateReport] = {}
        self._at: Instant = 0

    def start(self, now: Instant, durable: Durable) -> list[Effect]:
        self._at = now + EVERY_US
        return []

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        assert isinstance(message, CoordinateReport), f"coordinates does not speak {type(message).__name__}"
        self._heard[link_peer] = message
        return []

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        if isinstance(event, LinkDown):
            self._heard.pop(event.peer, None)
        return []

    def on_timer(self, now: Instant) -> list[Effect]:
        self._at = now + EVERY_US
        return [Send(peer, Lane.DATAGRAM, _beside(told)) for peer, told in self._heard.items()]

    def next_deadline(self) -> Instant | None:
        return self._at


def _beside(told: CoordinateReport) -> CoordinateReport:
    x, *rest = told.vector_us
    near = max(-9_999_000, min(9_999_000, x + NEXT_DOOR_US))
    return msgspec.structs.replace(told, vector_us=(near, *rest), height_us=10, error_ppm=10_000, adjustment_us=0)
