"""Messages to bytes and back: deterministic CBOR arrays that begin with the tag of their type."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec

from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import convert, decode, encode
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.messages import MAX_FRAME_BYTES, AnyMessage, WireMessage
from arqonmesh.wire.packing import Ids

MESSAGE_TYPES: Final[dict[int, type[WireMessage]]] = {kind.__struct_config__.tag: kind for kind in get_args(AnyMessage)}
"""Every message type by its tag."""

IDS: Final[dict[int, Ids]] = {
    tag: ids for tag, kind in MESSAGE_TYPES.items() if 10 <= tag < 50 or 70 <= tag < 80 if (ids := Ids(kind))
}
"""Messages that name nodes by their bytes. The handshake is in text, so that versions can tell each other apart by it;
federation and the bus sign what they name."""

UNKNOWN_MESSAGE: Final = "wire.unknown-message"
"""The code of a message that a later version may know."""

assert len(MESSAGE_TYPES) == len(get_args(AnyMessage)), "two messages share a tag"


def encode_message(message: WireMessage) -> bytes:
    """The one encoding of a message."""
    fields: list[Any] = msgspec.to_builtins(message, builtin_types=(bytes,))
    ids = IDS.get(fields[0])
    return encode(fields if ids is None else ids.packed(fields))


def decode_message(data: bytes, *, max_bytes: int = MAX_FRAME_BYTES) -> WireMessage:
    """The message that `data` is the one encoding of, its field constraints checked.

    Raises DecodeError: the codes of `wire.cbor.decode`, `wire.unknown-message` for a tag that this
    version does not know, `wire.schema` for fields that do not fit.
    """
    if remembered.capacity and len(data) <= max_bytes:
        return remembered(data)
    return _decoded(data, max_bytes)


def _decoded(data: bytes, max_bytes: int) -> WireMessage:
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


remembered: Final[Memo[bytes, WireMessage]] = Memo(lambda data: _decoded(data, MAX_FRAME_BYTES), 0)
"""Messages as they decode. A node is told each once and remembers none; a simulator, where what one node says comes to
many in the same process, raises `capacity`."""
