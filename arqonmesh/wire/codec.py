"""Messages to bytes and back: deterministic CBOR arrays that begin with the tag of their type."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import convert, decode, encode
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.messages import (
    MAX_FRAME_BYTES,
    Ack,
    AnyMessage,
    BusAck,
    Heartbeat,
    HeartbeatAck,
    Nack,
    Ping,
    PingFor,
    PingReq,
    Relay,
    SignedAck,
    WireMessage,
)
from arqonmesh.wire.packing import Ids
from arqonmesh.wire.quick import Flat, Quick, quick

MESSAGE_TYPES: Final[dict[int, type[WireMessage]]] = {kind.__struct_config__.tag: kind for kind in get_args(AnyMessage)}
"""Every message type by its tag."""

IDS: Final[dict[int, Ids]] = {
    tag: ids for tag, kind in MESSAGE_TYPES.items() if 10 <= tag < 50 or 70 <= tag < 80 if (ids := Ids(kind))
}
"""Messages that name nodes by their bytes. The handshake is in text, so that versions can tell each other apart by it;
federation and the bus sign what they name."""

OFTEN: Final[tuple[type[WireMessage], ...]] = (
    Heartbeat,
    HeartbeatAck,
    Ping,
    PingFor,
    PingReq,
    Ack,
    SignedAck,
    Nack,
    Relay,
    BusAck,
)
"""Messages that are written and read the quick way."""
_WRITERS: Final[dict[type[WireMessage], Quick | Flat]] = {kind: quick(kind) for kind in OFTEN}
_READERS: Final[dict[int, Quick | Flat]] = {
    tag: _WRITERS[kind] for tag, kind in MESSAGE_TYPES.items() if kind in _WRITERS
}

UNKNOWN_MESSAGE: Final = "wire.unknown-message"
"""The code of a message that a later version may know."""

assert len(MESSAGE_TYPES) == len(get_args(AnyMessage)), "two messages share a tag"


def encode_message(message: WireMessage) -> bytes:
    """The one encoding of a message."""
    way = _WRITERS.get(type(message))
    return general_encoding(message) if way is None else way.write(message)


def general_encoding(message: WireMessage) -> bytes:
    """The same by way of the message's fields as a list, for every type."""
    fields: list[Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    ids = IDS.get(fields[0])
    return encode(fields if ids is None else ids.packed(fields))


def decode_message(data: bytes, *, max_bytes: int = MAX_FRAME_BYTES) -> WireMessage:
    """The message that `data` is the one encoding of, its field constraints checked.

    Raises DecodeError: the codes of `wire.cbor.decode`, `wire.unknown-message` for a tag that this
    version does not know, `wire.schema` for fields that do not fit.
    """
    if len(data) <= max_bytes:
        if len(data) > 2:
            tag = data[1]
            way = _READERS.get(tag if tag != 24 else data[2])
            if way is not None:
                message: WireMessage | None = way.read(data)
                if message is not None:
                    return message
        if remembered.capacity:
            return remembered(data)
    return general_message(data, max_bytes)


def general_message(data: bytes, max_bytes: int = MAX_FRAME_BYTES) -> WireMessage:
    """The same by way of the message's fields as a list, for every type."""
    value = decode(data, max_bytes=max_bytes)
    if type(value) is not list or not value or type(value[0]) is not int:
        raise DecodeError("wire.schema", "not a message: a message is an array that begins with its tag")
    kind = MESSAGE_TYPES.get(value[0])
    if kind is None:
        raise DecodeError(UNKNOWN_MESSAGE, f"message tag {value[0]}, which this version does not know")
    ids = IDS.get(value[0])
    if ids is None:
        return convert(value, kind)
    return kind(*msgspec.structs.astuple(convert(ids.unpacked(value), ids.unpacked_type)))


remembered: Final[Memo[bytes, WireMessage]] = Memo(general_message, 0)
"""Messages as they decode. A node is told each once and remembers none; a simulator, where what one node says comes to
many in the same process, raises `capacity`. Not those of `OFTEN`: no two of them are alike."""
