"""A telemetry event on the wire, and the frames that a telemetry client may send.

An event, as sent to clients:

    {"id": "arq_...", "type": "telemetry", "eventType": "agent_activity", "source": "planner",
     "stream": "integriguard:telemetry-stream", "node": "3f9a...", "cluster": "factory",
     "timestamp": "2026-03-01T12:00:00.123Z", "payload": {...}}

A client sends the same with what it knows: `eventType` and `payload` are required, the rest is added (`id`, `node`,
`cluster`, `timestamp`) or has a default (`source`, `stream`). The payload may carry both, as ArqonBus 1.0 does it:
{"type": "telemetry", "payload": {"eventType": "x", "payload": {...}}}.
"""

from __future__ import annotations

from typing import Final

import msgspec

from arqonmesh.errors import PeerError

TELEMETRY_STREAM: Final = "integriguard:telemetry-stream"
DASHBOARD_STREAM: Final = "dashboard-events"
STREAMS: Final = (TELEMETRY_STREAM, DASHBOARD_STREAM)
"""The two standard streams; the bus channels of these names (`default:dashboard-events` too) flow into them."""
NAME_CHARACTERS_MAX: Final = 128
"""Of an event type, a source or a stream."""
FRAME_BYTES_MAX: Final = 65_536
"""Of one frame of a telemetry client."""


class TelemetryRefusal(PeerError):
    """Why a frame was not taken; `field` names the part that is meant."""

    def __init__(self, code: str, sentence: str, *, field: str = "", hint: str = "") -> None:
        super().__init__(code, sentence, hint=hint)
        self.field = field


class TelemetryEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="telemetry", rename="camel", omit_defaults=True
):
    """One event, enriched. `timestamp` is ISO 8601 in UTC; `payload` is JSON as it came."""

    id: str
    event_type: str
    source: str
    stream: str
    node: str
    cluster: str
    timestamp: str
    payload: msgspec.Raw
    tenant: str = ""
    """About whose client it is; such an event is for the operators of the node alone."""


class Inbound(msgspec.Struct, frozen=True):
    """Everything that a client's frame may hold; what else is in it is left alone."""

    type: str = ""
    id: str = ""
    eventType: str = ""  # noqa: N815 -- the wire's spelling
    event_type: str = ""
    source: str = ""
    stream: str = ""
    payload: msgspec.Raw = msgspec.Raw()
    events: list[str] = []
    eventTypes: list[str] = []  # noqa: N815
    sources: list[str] = []
    streams: list[str] = []
    batch: bool = False

    @property
    def named(self) -> str:
        return self.eventType or self.event_type


class _Inner(msgspec.Struct, frozen=True):
    eventType: str = ""  # noqa: N815
    event_type: str = ""
    payload: msgspec.Raw = msgspec.Raw()


class _BusFrame(msgspec.Struct, frozen=True):
    """What is read of a canonical frame of the bus."""

    type: str = ""
    from_: str = msgspec.field(name="from", default="")
    payload: msgspec.Raw = msgspec.Raw()


_decode_inbound: Final = msgspec.json.Decoder(Inbound).decode
_decode_inner: Final = msgspec.json.Decoder(_Inner).decode
_decode_bus: Final = msgspec.json.Decoder(_BusFrame).decode
_EXAMPLE: Final = '{"type": "telemetry", "eventType": "door.opened", "payload": {"door": 3}}'


def parse(frame: bytes) -> Inbound:
    """A client's frame. Raises TelemetryRefusal."""
    try:
        if not frame.isascii():
            frame.decode()  # what is raw stays unread below, and goes on to others
        return _decode_inbound(frame)
    except UnicodeDecodeError:
        raise TelemetryRefusal("telemetry.json", "the frame is not UTF-8", hint=_EXAMPLE) from None
    except msgspec.ValidationError as wrong:
        raise TelemetryRefusal("telemetry.field", f"the frame does not fit: {wrong}", hint=_EXAMPLE) from None
    except (msgspec.DecodeError, RecursionError):
        raise TelemetryRefusal("telemetry.json", "the frame is not JSON", hint=_EXAMPLE) from None


def event_of(message: Inbound) -> tuple[str, bytes]:
    """(event type, payload) of a client's event, whichever way it spells them. Raises TelemetryRefusal."""
    event_type, payload = message.named, bytes(message.payload)
    if not event_type and payload.startswith(b"{"):
        event_type, payload = _inner(payload)
    if not event_type:
        raise TelemetryRefusal("telemetry.event-type", "the event has no eventType", field="eventType", hint=_EXAMPLE)
    if not payload or payload == b"null":
        raise TelemetryRefusal("telemetry.payload", "the event has no payload", field="payload", hint=_EXAMPLE)
    for field, text in (("eventType", event_type), ("source", message.source), ("stream", message.stream)):
        if len(text) > NAME_CHARACTERS_MAX:
            sentence = f"{field} has {len(text)} characters; {NAME_CHARACTERS_MAX} are the most"
            raise TelemetryRefusal("telemetry.field", sentence, field=field)
    return event_type, payload


def event_of_bus(frame: bytes) -> tuple[str, str, bytes]:
    """(event type, source, payload) of a frame on one of the standard channels; its own type names what has no name."""
    message = _decode_bus(frame)
    event_type, payload = "", bytes(message.payload)
    if payload.startswith(b"{"):
        event_type, inner = _inner(payload)
        payload = inner or payload
    return (event_type or message.type or "event")[:NAME_CHARACTERS_MAX], message.from_, payload or b"{}"


def _inner(payload: bytes) -> tuple[str, bytes]:
    """The event inside a payload: what else is in there is the event's payload when it has none of that name."""
    try:
        inner = _decode_inner(payload)
    except (msgspec.DecodeError, RecursionError):
        return "", payload
    return inner.eventType or inner.event_type, bytes(inner.payload) or payload
