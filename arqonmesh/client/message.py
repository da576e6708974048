"""A frame from the bus, read once; its payload stays JSON until somebody asks for it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

_NULL: Final = Raw(b"null")
CARRIED: Final = frozenset(("event", "telemetry", "private"))
"""The types that somebody published; the others are what the bus itself says."""


class Message(Struct, gc=False):
    """A frame from the bus. `payload` reads the body; `raw` is the frame as it came."""

    type: str
    id: str = ""
    room: str = ""
    channel_: str = msgspec.field(name="channel", default="")
    from_: str = msgspec.field(name="from", default="")
    payload_: Raw = msgspec.field(name="payload", default=_NULL)
    metadata_: Raw = msgspec.field(name="metadata", default=_NULL)
    timestamp: str = ""
    request_id: str = ""
    correlation_id: str = ""
    status: str = ""
    epoch: str = ""
    """The stream that this event belongs to: one publishing node and one life of its log."""
    offset: int = 0
    """Its place among the events of its stream and channel, from 1; 0 where the bus counts none."""
    raw: bytes = b""

    @property
    def channel(self) -> str:
        """The full `room:channel`; empty for a private message."""
        return f"{self.room}:{self.channel_}" if self.channel_ else ""

    @property
    def payload(self) -> Any:
        """The payload as plain Python values."""
        return msgspec.json.decode(self.payload_)

    @property
    def metadata(self) -> Any:
        return msgspec.json.decode(self.metadata_)


_decode: Final = msgspec.json.Decoder(Message).decode
encode: Final = msgspec.json.Encoder().encode


def read(frame: bytes) -> Message | None:
    """A frame as it came; None when it is no envelope, which a bus does not send."""
    try:
        message = _decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message.raw = frame
    return message


def object_of(message: Message) -> dict[str, Any]:
    """The payload where it is an object, else an empty one."""
    return message.payload if bytes(message.payload_).startswith(b"{") else {}
