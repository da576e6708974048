"""A frame from the bus, read once; its payload stays JSON until somebody asks for it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from arqonmesh.errors import PeerError

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
        """The payload as plain Python values. Raises PeerError `bus.payload-unreadable` for what Python has no value
        for, such as 1e999; `payload_` is it as it came."""
        return self._values("payload", self.payload_)

    @property
    def metadata(self) -> Any:
        """As `payload`."""
        return self._values("metadata", self.metadata_)

    def _values(self, name: str, raw: Raw) -> Any:
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            where = f"{self.type} {self.id[:64]} of {self.from_[:64] or 'the bus'}"
            raise PeerError(
                "bus.payload-unreadable",
                f"the {name} of {where} is JSON that Python has no value for: {wrong}",
                hint=f"bytes(message.{name}_)  # as it came",
            ) from wrong


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


def is_echo(message: Message) -> bool:
    """Whether its publisher wanted it back."""
    metadata = message.metadata
    return isinstance(metadata, dict) and metadata.get("echo") is True
