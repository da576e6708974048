"""The JSON envelope: what a client may send, and the frames it is sent, in both dialects.

A frame is parsed once, into the few fields that routing needs; the payload stays the bytes that the client
wrote and is spliced into the frame that the bus builds. That one canonical frame goes to every member, into the
history and to other clusters. Clients of ArqonBus 1.0 get a rendering of their own:

|           | canonical (`arqon.v1`)        | ArqonBus 1.0                                              |
|-----------|-------------------------------|-----------------------------------------------------------|
| marked by | `v`, sub-protocol `arqon.v1`  | `version: "1.0"`                                          |
| an event  | `type: "event"`, `from`       | `type: "message"`, `from` and also `sender`, `from_client` |
| an answer | `type: "response"`            | `type: "response"`, or `command_response` when the command |
|           |                               | stood in the payload (the form of its published contract) |
| an error  | `payload.code` ...            | `error.code` ..., `error_code`                            |
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from arqonmesh.core.bus.protocol.fields import ID_LENGTH_MAX, TARGETS_MAX
from arqonmesh.core.bus.protocol.inbound import (
    EMPTY,
    HELP,
    KNOWN,
    Inbound,
    decode_part,
    joined,
    parse,
    part_problems,
    unknown_json,
)
from arqonmesh.core.bus.refusal import Refusal, too_many_targets
from arqonmesh.core.bus.streams import EPOCH_LENGTH_MAX, OFFSET_MAX

__all__ = ["Inbound", "decode_part", "parse", "unknown_json"]  # read by others from here; the rest is defined here

SUBPROTOCOL: Final = "arqon.v1"
"""JSON in text frames."""
SUBPROTOCOL_CBOR: Final = "arqon.v1.cbor"
"""The same envelope as CBOR in binary frames."""
SUBPROTOCOLS: Final = (SUBPROTOCOL, SUBPROTOCOL_CBOR)
"""Whoever agrees on one of them is spoken to in canonical from the first frame."""
BUS_SENDER: Final = "arqonbus"
"""`from` of the frames that the bus itself sends."""
EVENT_KINDS: Final = {"event": "event", "message": "event", "telemetry": "telemetry"}
"""Types that go to a channel, and what they become."""


class Dialect(Enum):
    """How a client speaks. UNTOLD is answered as ArqonBus 1.0 until its first telling frame settles it."""

    UNTOLD = "untold"
    ARQONBUS_1 = "1.0"
    CANONICAL = "v1"


class Hints(Struct, gc=False):
    """What a publisher may ask of the bus in `metadata`; the rest of it is the applications' own."""

    echo: bool = False
    """Send this event to its own publisher too."""
    ack: bool = False
    """Answer with the event's id and how many members it went to."""


NO_HINTS: Final = Hints()


class PayloadCommand(Struct, gc=False):
    """A command inside the payload, as the published contract of ArqonBus 1.0 has it."""

    command: str = ""
    parameters: Raw = EMPTY
    args: Raw = EMPTY


class PayloadTarget(Struct, gc=False):
    target: str = ""


class CommandArgs(Struct, gc=False):
    """Everything that any command takes."""

    room: str = ""
    channel: str = ""
    name: str = ""
    channel_id: str = ""
    token: str = ""
    limit: int | None = None
    since: Raw = EMPTY
    """Milliseconds since 1970, ISO 8601, or a position {epoch: offset}; read by past.py."""
    before: Raw = EMPTY
    type: str | None = None
    screen_name: str | None = None
    personality: str | None = None
    avatar: str | None = None


class Stored(Struct, gc=False, forbid_unknown_fields=True):
    """A finished canonical event, read back: from the history, or from another node."""

    id: str
    type: str
    room: str
    channel: str
    from_: str = msgspec.field(name="from")
    payload: Raw
    timestamp: str
    correlation_id: str = ""
    metadata: Raw = EMPTY
    epoch: str = ""
    """Which stream of its channel the event belongs to, and its number there; "" and 0 from older nodes."""
    offset: int = 0
    v: Raw = EMPTY


class ExtendedStored(Stored):
    """A finished event with fields that this version does not know."""

    unknown: dict[str, Raw] = msgspec.field(default_factory=dict)


_stored: Final = msgspec.json.Decoder(Stored)
_extended_stored: Final = msgspec.json.Decoder(ExtendedStored)
_STORED: Final = frozenset(one.encode_name for one in msgspec.structs.fields(Stored))
_hints: Final = msgspec.json.Decoder(Hints)
_encode: Final = msgspec.json.Encoder().encode


def is_object(raw: Raw) -> bool:
    return bytes(raw).startswith(b"{")


def parse_hints(metadata: Raw) -> Hints:
    """Raises Refusal when `metadata` is not an object, or a hint is not a boolean."""
    try:
        return _hints.decode(metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise Refusal.of(part_problems(metadata, Hints, "metadata"), HELP) from wrong


def parse_stored(frame: bytes) -> Stored | None:
    """Read a finished canonical event back; None when it is not one."""
    try:
        try:
            stored = _stored.decode(frame)
        except msgspec.ValidationError:
            stored = _stored_with_unknown(frame)
        if not frame.isascii():
            frame.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not 0 <= stored.offset <= OFFSET_MAX or len(stored.epoch) > EPOCH_LENGTH_MAX:
        return None
    if bool(stored.epoch) is not bool(stored.offset):
        return None
    if not stored.type or not 0 < len(stored.id) <= ID_LENGTH_MAX or len(stored.from_) > ID_LENGTH_MAX:
        return None
    return stored


def unknown_of(frame: bytes) -> bytes:
    """The unknown fields of a finished frame, each with a comma before it. Raises msgspec.DecodeError."""
    fields = msgspec.json.decode(frame, type=dict[str, Raw])
    return joined({name: raw for name, raw in fields.items() if name not in KNOWN})


def _stored_with_unknown(frame: bytes) -> ExtendedStored:
    """Raises msgspec.DecodeError when there is more wrong with the frame than fields that are not known here."""
    fields = msgspec.json.decode(frame, type=dict[str, Raw])
    stored = _extended_stored.decode(b"{%b}" % joined({n: raw for n, raw in fields.items() if n in _STORED})[1:])
    stored.unknown = {name: raw for name, raw in fields.items() if name not in _STORED and name not in KNOWN}
    return stored


def dialect_of(message: Inbound) -> Dialect:
    """What this frame says about its sender; UNTOLD when both dialects write it so."""
    if message.v:
        return Dialect.CANONICAL
    if message.version or message.sender or message.from_client or message.to_client or message.type == "message":
        return Dialect.ARQONBUS_1
    return Dialect.UNTOLD if message.type == "command" else Dialect.CANONICAL


def targets_of(message: Inbound) -> list[str]:
    """The clients that a message is meant for, wherever its dialect writes them. Raises Refusal."""
    targets = [message.to] if isinstance(message.to, str) and message.to else list(message.to)
    if not targets and message.to_client:
        targets = [message.to_client]
    if not targets and message.type == "private" and is_object(message.payload):
        target = decode_part(message.payload, PayloadTarget, "payload").target
        targets = [target] if target else []
    if len(targets) > TARGETS_MAX:
        raise too_many_targets(len(targets))
    return list(dict.fromkeys(targets))


# --- building ------------------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    """A JSON string."""
    return _encode(value)


def canonical_middle(kind: str, room: str, channel: str, sender: str) -> bytes:
    """What stands between the id and the payload of an event; the same for every event of a publisher there."""
    return b'","type":%b,"room":%b,"channel":%b,"from":%b,"payload":' % (
        text(kind),
        text(room),
        text(channel),
        text(sender),
    )


def extras(correlation_id: str, metadata: Raw | bytes) -> bytes:
    """The optional fields that travel with an event."""
    correlation = b',"correlation_id":' + text(correlation_id) if correlation_id else b""
    return correlation + (b',"metadata":' + bytes(metadata) if metadata else b"")


def canonical_private(id_: bytes, sender: str, to: list[str], payload: bytes, more: bytes, time: bytes) -> bytes:
    return b'{"id":"%b","type":"private","from":%b,"to":%b,"payload":%b%b,"timestamp":"%bZ","v":1}' % (
        id_,
        text(sender),
        _encode(to),
        payload,
        more,
        time,
    )


def legacy_event(id_: bytes, where: bytes, sender: str, payload: bytes, more: bytes, timestamp: bytes) -> bytes:
    """An event for an ArqonBus 1.0 client. `where`: its room, channel or to_client fields, with a leading comma."""
    name = text(sender)
    return (
        b'{"version":"1.0","id":"%b","type":"message"%b,"from":%b,"sender":%b,"from_client":%b,"payload":%b%b,'
        b'"timestamp":"%b"}'
    ) % (id_, where, name, name, name, payload, more, timestamp)


def legacy_where(room: str, channel: str) -> bytes:
    return b',"room":%b,"channel":%b' % (text(room), text(channel))


def legacy_of(stored: Stored) -> bytes:
    """The ArqonBus 1.0 rendering of a finished canonical event."""
    timestamp = stored.timestamp
    return legacy_event(
        text(stored.id)[1:-1],
        legacy_where(stored.room, stored.channel),
        stored.from_,
        bytes(stored.payload),
        extras(stored.correlation_id, stored.metadata)
        + (joined(stored.unknown) if type(stored) is ExtendedStored else b""),
        text(timestamp[:-1] + "+00:00" if timestamp.endswith("Z") else timestamp)[1:-1],
    )


def from_bus(dialect: Dialect, kind: str, id_: str, time: bytes, payload: dict[str, Any], **fields: Any) -> bytes:
    """A frame that the bus itself sends: welcome, notice, answer. `time` is without a zone."""
    canonical = dialect is Dialect.CANONICAL
    head: dict[str, Any] = {"id": id_, "type": kind} if canonical else {"version": "1.0", "id": id_, "type": kind}
    head.update((name, value) for name, value in fields.items() if value != "")
    head["from"] = BUS_SENDER
    if not canonical:
        head["sender"] = BUS_SENDER
    head["payload"] = payload
    head["timestamp"] = time.decode() + ("Z" if canonical else "+00:00")
    if canonical:
        head["v"] = 1
    return _encode(head)
