"""Takes events from wherever they come, makes them whole, and keeps them until a batch leaves. Sans IO.

hub.take(now, "door.opened", b'{"door": 3}', source="porch")
hub.next_deadline()             when to call `drain`, and `on_timer` for what is due by time
hub.drain(now)                  the oldest events that wait, at most one batch
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from arqonmesh.bridge.telemetry.aggregate import Aggregate
from arqonmesh.bridge.telemetry.events import DASHBOARD_STREAM, TELEMETRY_STREAM, TelemetryEvent, event_of_bus
from arqonmesh.bridge.telemetry.filters import matches
from arqonmesh.config.model import TelemetrySettings
from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant

AGGREGATE_EVENT: Final = "telemetry_aggregate"
WAITING_BYTES_MAX: Final = 32 << 20
"""Of the payloads that wait: `buffer_events` of the largest would be hundreds of megabytes."""


class Origin(NamedTuple):
    """Who this node is, on every event."""

    node: str
    cluster: str


class Hub:
    """All telemetry of one node. `stamp` gives (id, ISO 8601 time) for an event that comes now."""

    def __init__(
        self, settings: TelemetrySettings, origin: Origin, stamp: Callable[[], tuple[str, str]], now: Instant = 0
    ) -> None:
        self.counters: Counter[str] = Counter()
        """taken, ignored, dropped (the buffer was full), unreadable, drained."""
        self._settings = settings
        self.origin = origin
        self._stamp = stamp
        self._waiting: deque[TelemetryEvent] = deque()
        self._waiting_bytes = 0
        self._waits_since: Instant = 0
        self._aggregate = Aggregate(now)
        self._window_us = round(settings.window_s * SECOND)
        """The running window ends when it was to end, whatever is adopted."""
        self._window_ends = now + self._window_us

    def __len__(self) -> int:
        return len(self._waiting)

    def adopt(self, settings: TelemetrySettings) -> None:
        """Other settings from now on; a smaller buffer is met with the next event."""
        self._settings = settings
        self._window_us = round(settings.window_s * SECOND)

    # --- in --------------------------------------------------------------------------------------------------

    def take(
        self,
        now: Instant,
        event_type: str,
        payload: bytes,
        *,
        source: str = "",
        stream: str = TELEMETRY_STREAM,
        tenant: str = "",
    ) -> bool:
        """An event; False when its type is one of `telemetry.ignore`. The oldest makes room when the buffer is full."""
        if self._settings.ignore and matches(self._settings.ignore, event_type):
            self.counters["ignored"] += 1
            return False
        id_, time = self._stamp()
        node, cluster = self.origin
        event = TelemetryEvent(
            id=id_,
            event_type=event_type,
            source=source or node,
            stream=stream,
            node=node,
            cluster=cluster,
            timestamp=time,
            payload=msgspec.Raw(payload),
            tenant=tenant,
        )
        if not self._waiting:
            self._waits_since = now
        self._waiting.append(event)
        self._waiting_bytes += len(payload)
        while len(self._waiting) > self._settings.buffer_events or self._waiting_bytes > WAITING_BYTES_MAX:
            self._waiting_bytes -= len(bytes(self._waiting.popleft().payload))
            self.counters["dropped"] += 1
        self.counters["taken"] += 1
        if event_type != AGGREGATE_EVENT:
            self._aggregate.note(event_type, source)
        return True

    def tell(
        self,
        now: Instant,
        event_type: str,
        payload: dict[str, Any],
        *,
        source: str = "",
        stream: str = TELEMETRY_STREAM,
        tenant: str = "",
    ) -> bool:
        """An event of the node's own."""
        return self.take(now, event_type, msgspec.json.encode(payload), source=source, stream=stream, tenant=tenant)

    def take_from_bus(self, now: Instant, stream: str, frames: tuple[bytes, ...]) -> None:
        """Frames of a bus channel that is one of the standard streams."""
        for frame in frames:
            try:
                event_type, source, payload = event_of_bus(frame)
            except msgspec.DecodeError:
                self.counters["unreadable"] += 1
                continue
            self.take(now, event_type, payload, source=source, stream=stream)

    # --- out -------------------------------------------------------------------------------------------------

    def next_deadline(self) -> Instant:
        """When something is due: a batch, or the end of a window."""
        if not self._waiting:
            return self._window_ends
        if len(self._waiting) >= self._settings.batch_events:
            return self._waits_since
        return min(self._window_ends, self._waits_since + self._settings.batch_ms * MILLISECOND)

    def on_timer(self, now: Instant) -> None:
        """Ends the window that is over."""
        if now >= self._window_ends:
            self._window_ends = now + self._window_us
            told = self._aggregate.take(now)
            if told is not None:
                self.tell(now, AGGREGATE_EVENT, told, stream=DASHBOARD_STREAM)

    def drain(self, now: Instant) -> list[TelemetryEvent]:
        """The oldest that wait, at most `batch_events`, when a batch is due; what is left is due at once."""
        due = self._waits_since + self._settings.batch_ms * MILLISECOND
        if not self._waiting or (len(self._waiting) < self._settings.batch_events and now < due):
            return []
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.batch_events))]
        self._waiting_bytes -= sum(len(bytes(event.payload)) for event in batch)
        self.counters["drained"] += len(batch)
        return batch
