"""One user event as it travels: a deterministic CBOR array, signed by its author's node key for this mesh alone."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from arqonmesh.core.kernel import Crypto
from arqonmesh.errors import DecodeError
from arqonmesh.ids import MeshId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, NameText, NodeText, Signature64

NAME_BYTES_MAX: Final = 64
PAYLOAD_BYTES_MAX: Final = 1_024
EVENT_BYTES_MAX: Final = 2_048
_DOMAIN: Final = b"arqonmesh/v1/user-event\x00"


class SignedEvent(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """`signature` covers the domain, the mesh and all other fields."""

    author: NodeText
    lamport: U63
    name: NameText
    payload: Annotated[bytes, Meta(max_length=PAYLOAD_BYTES_MAX)]
    sent_ms: U63
    signature: Signature64

    def signed_bytes(self, mesh: MeshId) -> bytes:
        return _DOMAIN + encode([mesh, self.author, self.lamport, self.name, self.payload, self.sent_ms])


def sign(crypto: Crypto, mesh: MeshId, author: str, lamport: int, name: str, payload: bytes, sent_ms: int) -> bytes:
    """The finished bytes of an event of ours."""
    event = SignedEvent(author, lamport, name, payload, sent_ms, bytes(64))
    signed = msgspec.structs.replace(event, signature=crypto.sign(event.signed_bytes(mesh)))
    return encode(msgspec.to_builtins(signed, builtin_types=(bytes,)))


def read(data: bytes) -> SignedEvent:
    """The event in these bytes, its signature not yet checked. Raises DecodeError when it is none."""
    event = decode_as(data, SignedEvent, max_bytes=EVENT_BYTES_MAX)
    if len(event.name.encode()) > NAME_BYTES_MAX:
        raise DecodeError(
            "user-events.name", f"an event name of {len(event.name.encode())} bytes, above {NAME_BYTES_MAX}"
        )
    return event
