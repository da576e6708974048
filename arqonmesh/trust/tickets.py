"""Tickets: one line of text that lets a node into a mesh, for a time and a number of uses.

    arqon1 + base32( CBOR [mesh, founder, inviter key, addresses, ticket id, seed, cluster, role, expires, uses,
                           signature] + first 4 bytes of its SHA-256 )

The secret in it is the seed of a one-time Ed25519 key. The mesh keeps the public half (`Invite`), the joiner signs
`redemption_bytes` with the private half: nothing that a member holds redeems a ticket, and because the TLS channel
binding is signed too, nothing overheard redeems it a second time. The inviter's signature covers all the rest, so
the joiner knows whose invitation it is. Counting uses is the mesh's part (core/admission).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from arqonmesh.errors import DecodeError, TrustError
from arqonmesh.ids import ClusterId, MeshId, NodeId, TicketId, encode_ulid, node_id_of
from arqonmesh.trust import ed25519
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, AddressText, Key32, NameText, NodeText, Signature64, UlidText

PREFIX: Final = "arqon1"
MAX_TEXT_CHARACTERS: Final = 4_096
MAX_ADDRESSES: Final = 8

_DOMAIN: Final = b"arqonmesh/v1/ticket\x00"
_JOIN_DOMAIN: Final = b"arqonmesh/v1/join\x00"
_CHECKSUM_BYTES: Final = 4
_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")
_NEW_TICKET: Final = "arqon invite new --cluster NAME"


class Ticket(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A ticket whose signature has been made or checked. `repr` and logs must not show `seed`."""

    mesh_id: UlidText
    founder: NodeText
    inviter_key: Key32
    addresses: Annotated[tuple[AddressText, ...], Meta(min_length=1, max_length=MAX_ADDRESSES)]
    ticket_id: UlidText
    seed: Key32
    cluster: NameText
    role: NameText
    expires_ms: U63
    uses: Annotated[int, Meta(ge=1, le=10_000)]
    signature: Signature64

    @property
    def inviter(self) -> NodeId:
        return node_id_of(self.inviter_key)

    @property
    def public_key(self) -> bytes:
        """The public half of the one-time key: what the mesh keeps."""
        return ed25519.keypair(self.seed)[0]

    @property
    def text(self) -> str:
        """The one line that is handed over."""
        content = encode(msgspec.to_builtins(self, builtin_types=(bytes,)))
        return PREFIX + _to_base32(content + _checksum(content))

    def is_expired(self, now_ms: int) -> bool:
        return now_ms >= self.expires_ms

    def check_expiry(self, now_ms: int) -> None:
        """Raise TrustError `trust.ticket-expired` when its time is over."""
        if self.is_expired(now_ms):
            raise TrustError(
                "trust.ticket-expired",
                f"ticket {self.ticket_id} expired {_age(now_ms - self.expires_ms)} ago",
                hint=f"{_NEW_TICKET} (on a member of the mesh)",
            )

    def signed_bytes(self) -> bytes:
        """What the inviter's signature covers."""
        fields = msgspec.to_builtins(self, builtin_types=(bytes,))
        return _DOMAIN + encode(fields[:-1])

    def __repr__(self) -> str:
        return f"Ticket({self.ticket_id}, mesh {self.mesh_id}, cluster {self.cluster!r}, role {self.role!r})"


def mint(
    inviter: NodeKey,
    *,
    mesh_id: MeshId,
    founder: NodeId,
    addresses: tuple[str, ...],
    cluster: ClusterId,
    role: str,
    now_ms: int,
    expires_ms: int,
    uses: int,
    randomness: Callable[[int], bytes] = secrets.token_bytes,
) -> Ticket:
    """A fresh ticket. The caller publishes its `Invite`; without that nobody takes it.

    Raises TrustError `trust.ticket-unfit` when the content would not fit a ticket, with the field and why.
    """
    ticket = Ticket(
        mesh_id=mesh_id,
        founder=founder,
        inviter_key=inviter.public,
        addresses=addresses,
        ticket_id=TicketId(encode_ulid(now_ms, int.from_bytes(randomness(10), "big"))),
        seed=randomness(ed25519.SEED_BYTES),
        cluster=cluster,
        role=role,
        expires_ms=expires_ms,
        uses=uses,
        signature=bytes(64),
    )
    ticket = msgspec.structs.replace(ticket, signature=inviter.sign(ticket.signed_bytes()))
    try:
        return parse(ticket.text)
    except TrustError as error:
        raise TrustError("trust.ticket-unfit", f"no ticket can be made of this: {error}") from None


def parse(text: str) -> Ticket:
    """The ticket that `text` is, its signature checked; not whether it is still valid (`check_expiry`).

    White space around it or within it (mail clients break lines) and upper case (QR codes) do no harm.
    Raises TrustError: `trust.ticket-malformed`, `trust.ticket-checksum`, `trust.ticket-signature`.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise _malformed(f"it has {len(text)} characters, and no ticket has more than {MAX_TEXT_CHARACTERS}")
    line = "".join(text.split()).lower()
    if not line:
        raise _malformed("it is empty")
    if not line.startswith(PREFIX):
        raise _malformed(f"it does not begin with `{PREFIX}`")
    raw = _from_base32(line[len(PREFIX) :])
    content, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if checksum != _checksum(content):
        raise TrustError(
            "trust.ticket-checksum",
            "this ticket was not copied whole, or a character of it changed; copy the line again",
        )
    try:
        ticket = decode_as(content, Ticket, max_bytes=MAX_TEXT_CHARACTERS)
    except DecodeError as error:
        raise _malformed(f"its content does not fit ({error})") from None
    try:
        ed25519.check_public_key(ticket.inviter_key)
    except TrustError as error:
        raise TrustError("trust.ticket-signature", f"the inviter's key in this ticket is no good: {error}") from None
    if not ed25519.verify(ticket.inviter_key, ticket.signed_bytes(), ticket.signature):
        raise TrustError(
            "trust.ticket-signature",
            "the inviter's signature on this ticket does not hold; it was changed, or made by other software",
            hint=f"{_NEW_TICKET} (on a member of the mesh)",
        )
    return ticket


# --- redemption -------------------------------------------------------------------------------------------


def redemption_bytes(
    mesh_id: str, node_key: bytes, cluster: str, role: str, ticket_id: str, channel_binding: bytes
) -> bytes:
    """What a joiner signs with the ticket's or the join key's private half (`ticket_id` empty for the latter).

    `channel_binding` is the TLS exporter of this very connection, so the signature is worth nothing on another.
    """
    return _JOIN_DOMAIN + encode([mesh_id, node_key, cluster, role, ticket_id, channel_binding])


def sign_redemption(seed: bytes, redemption: bytes) -> bytes:
    """The joiner's signature; `seed` from `Ticket.seed` or `join_key.derive`."""
    return ed25519.sign(ed25519.keypair(seed)[1], redemption)


def verify_redemption(public_key: bytes, redemption: bytes, signature: bytes) -> bool:
    """Whether the joiner holds the ticket or the join key; `public_key` from `Invite` or `JoinPolicy`."""
    return ed25519.verify(public_key, redemption, signature)


# --- text -------------------------------------------------------------------------------------------------


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(_DOMAIN + content).digest()[:_CHECKSUM_BYTES]


def _to_base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _from_base32(text: str) -> bytes:
    try:
        data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        if _ALPHABET.issuperset(text):  # each of them fits, so it is their number that does not
            raise _not_whole() from None
        raise _malformed("after its beginning only the characters a-z and 2-7 can follow") from None
    # Base32 ignores the last character's spare bits; two texts for one ticket would not be one.
    if _to_base32(data) != text or len(data) <= _CHECKSUM_BYTES:
        raise _not_whole()
    return data


def _not_whole() -> TrustError:
    return TrustError(
        "trust.ticket-checksum",
        "this ticket was not copied whole, or a character of it changed; copy the line again",
    )


def _malformed(why: str) -> TrustError:
    return TrustError(
        "trust.ticket-malformed",
        f"this is not a ticket: {why}; a ticket is the one line that `arqon invite new` prints",
        hint=f"{_NEW_TICKET} (on a member of the mesh)",
    )


def _age(milliseconds: int) -> str:
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if milliseconds >= 2 * length:
            return f"{milliseconds // length} {unit}"
    return f"{milliseconds // 1_000} s" if milliseconds >= 1_000 else "less than a second"
