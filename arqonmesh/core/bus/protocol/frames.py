"""Every kind of canonical frame, as a type: what the bus sends, and what a client sends.

The hot path neither makes nor reads these: it splices bytes (envelope.py) and reads `Inbound`. They are what the JSON
Schema is made of, and what the tests hold every frame against that the bus sends. Unknown fields are allowed
everywhere: a client ignores what it does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from arqonmesh.core.bus.protocol.fields import (
    Channel,
    ClientName,
    Epoch,
    Id,
    Metadata,
    Offset,
    Payload,
    Room,
    Targets,
    Timestamp,
    Version,
)


class Frame(Struct, kw_only=True, tag_field="type"):
    """What every frame from the bus has."""

    id: Id
    from_: ClientName = field(name="from")
    timestamp: Timestamp
    v: Version
    correlation_id: Id | UnsetType = UNSET


class Event(Frame, kw_only=True, tag="event"):
    """A message to a channel, as each member gets it."""

    room: Room
    channel: Channel
    payload: Payload
    metadata: Metadata | UnsetType = UNSET
    epoch: Epoch | UnsetType = UNSET
    offset: Offset | UnsetType = UNSET


class Telemetry(Event, kw_only=True, tag="telemetry"):
    """An event of a machine rather than a person; without a channel it goes to `integriguard:telemetry-stream`."""


class Private(Frame, kw_only=True, tag="private"):
    """A message to some clients, past every channel and history."""

    to: Targets
    payload: Payload
    metadata: Metadata | UnsetType = UNSET


class System(Frame, kw_only=True, tag="system"):
    """What the bus says by itself: the welcome, who came and went, what happens to the mesh."""

    payload: dict[str, Any]
    room: Room | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET


class Response(Frame, kw_only=True, tag="response"):
    """The answer to a command, and the acknowledgement of a message that asked for one."""

    status: Literal["success"]
    payload: dict[str, Any]
    command: str | UnsetType = UNSET
    """The command's full name; absent in an acknowledgement."""
    request_id: Id | UnsetType = UNSET
    """The `id` of the frame that is answered, when it had one."""


class Problem(Struct, kw_only=True):
    """One thing that is wrong with a frame."""

    code: str
    """Stable; `arqon explain CODE` explains it."""
    field: str
    """The part of the frame that is meant, with dots: `payload.command`. Empty: the frame as a whole."""
    message: str


class ErrorDetails(Problem, kw_only=True):
    """The first problem, a hint, and all problems."""

    hint: str
    problems: Annotated[list[Problem], Meta(min_length=1)] | UnsetType = UNSET
    """Every problem of the frame at once, the first one included."""
    retry_after_ms: int | UnsetType = UNSET
    """The bus is busy: the same frame may be sent again after this pause, on the same connection."""


class Error(Frame, kw_only=True, tag="error"):
    """Why a frame was not acted upon."""

    status: Literal["error"]
    payload: ErrorDetails
    request_id: Id | UnsetType = UNSET


# --- what a client sends ------------------------------------------------------------------------------------


class Sent(Struct, kw_only=True, tag_field="type"):
    """What every frame of a client may have. `from`, `epoch` and `offset` are the bus's and are ignored."""

    id: Id | UnsetType = UNSET
    correlation_id: Id | UnsetType = UNSET
    timestamp: Timestamp | UnsetType = UNSET
    v: Version | UnsetType = UNSET


class PublishMetadata(Struct, kw_only=True):
    """What a publisher may ask of the bus; everything else in it is the applications' own."""

    echo: bool | UnsetType = UNSET
    """Send this event to its own publisher too."""
    ack: bool | UnsetType = UNSET
    """Answer with the event's id and how many clients of this node it went to."""


class PublishEvent(Sent, kw_only=True, tag="event"):
    """A message to a channel; without room and channel, to the client's first subscription."""

    payload: Payload
    room: Room | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET
    metadata: PublishMetadata | UnsetType = UNSET


class PublishTelemetry(PublishEvent, kw_only=True, tag="telemetry"):
    """A message to a channel, from a machine."""


class SendPrivate(Sent, kw_only=True, tag="private"):
    """A message to some clients."""

    to: Targets | ClientName
    payload: Payload
    metadata: PublishMetadata | UnsetType = UNSET


class Command(Sent, kw_only=True, tag="command"):
    """A command; the table of commands says which there are and what they take. Its name may also stand in `type`,
    with the arguments beside it: {"type": "join", "channel": "telemetry:host"}."""

    command: str
    args: dict[str, Any] | UnsetType = UNSET
    room: Room | UnsetType = UNSET
    channel: Channel | UnsetType = UNSET


Received = Event | Telemetry | Private | System | Response | Error
"""Every canonical frame that the bus sends."""
SentByClient = PublishEvent | PublishTelemetry | SendPrivate | Command
"""Every canonical frame that a client sends, the short forms of commands apart."""

DEFINITIONS: dict[str, type[Struct]] = {
    "event": Event,
    "telemetry": Telemetry,
    "private": Private,
    "system": System,
    "response": Response,
    "error": Error,
    "command": Command,
    "publish_event": PublishEvent,
    "publish_telemetry": PublishTelemetry,
    "send_private": SendPrivate,
}
"""Names in the JSON Schema."""
