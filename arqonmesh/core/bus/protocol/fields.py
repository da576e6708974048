"""The fields of an envelope: one type each, with its bounds. They check what comes in and make the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from msgspec import Meta

ID_LENGTH_MAX: Final = 128
NAME_LENGTH_MAX: Final = 129
"""A room and a channel of 64 characters each, and the colon."""
TARGETS_MAX: Final = 64
DEPTH_MAX: Final = 64
"""How deeply arrays and objects of one frame may nest, the envelope itself being the first."""
UNKNOWN_MAX: Final = 32
"""Fields of one frame that the protocol does not know; they travel on as they are."""
UNKNOWN_NAME_MAX: Final = 64

Id: TypeAlias = Annotated[
    str,
    Meta(
        max_length=ID_LENGTH_MAX,
        pattern="^[ -~]*$",
        description="Printable ASCII. The bus makes `arq_` and a ULID, rising on each node.",
    ),
]
ClientName: TypeAlias = Annotated[
    str, Meta(max_length=ID_LENGTH_MAX, description="The id of a client, as its welcome told it, or `arqonbus`.")
]
Room: TypeAlias = Annotated[
    str, Meta(max_length=NAME_LENGTH_MAX, description="The room; `ROOM:CHANNEL` names both at once.")
]
Channel: TypeAlias = Annotated[
    str, Meta(max_length=NAME_LENGTH_MAX, description="The channel; `ROOM:CHANNEL` names both at once.")
]
Timestamp: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d(:?\d\d)?)?$",
        description="ISO 8601; without a zone it is UTC. The bus stamps UTC with milliseconds and `Z`.",
        examples=["2026-03-01T12:00:00.123Z"],
    ),
]
Targets: TypeAlias = Annotated[
    list[ClientName], Meta(max_length=TARGETS_MAX, description="The clients that a private message is for.")
]
Metadata: TypeAlias = Annotated[
    dict[str, Any],
    Meta(description="The applications' own, except `echo` and `ack`, which ask the bus for something."),
]
Payload: TypeAlias = Annotated[Any, Meta(description="Any JSON value. The bus passes its bytes on as they came.")]
Version: TypeAlias = Annotated[Literal[1], Meta(description="The version of the canonical envelope.")]
Epoch: TypeAlias = Annotated[
    str, Meta(max_length=64, description="Names the publishing node and this life of its log; see Streams.")
]
Offset: TypeAlias = Annotated[
    int, Meta(ge=1, description="Counts the events of this channel within `epoch`, from 1 and without gaps.")
]
