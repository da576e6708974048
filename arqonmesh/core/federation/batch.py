"""What an origin signs: the head of a batch and, through their hashes, its sections.

    head    = [origin, origin cluster, boot epoch, first section seq, [sha256 of each section]]
    section = [channel, [frame, ...]]          section i has the sequence number first + i
              [channel, [frame, ...], [[region, ...], ...], aggregate]

The longer form is that of sections with pins (residency.py) and of aggregates (aggregate.py). What a section says of
itself is under the origin's signature as its frames are, stays with them on disk and on the way, and is withheld with
them.

The signature covers "arqonmesh/v1/bus-batch" 0x00, the mesh id and the head. A hop that may not forward a section puts
an empty byte string in its place; the signature still holds, and nobody can relabel what an origin said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta, Struct

from arqonmesh.ids import MeshId
from arqonmesh.wire.cbor import decode_as, encode
from arqonmesh.wire.messages import U63, BusBatch, ChannelText, Hash32, NameText, NodeText

DOMAIN: Final = b"arqonmesh/v1/bus-batch\x00"

SECTIONS_MAX: Final = 1_024
BATCH_BYTES_MAX: Final = 512 << 10
"""Section bytes per batch: half of what a stream message may have, so that head and path always fit beside them."""
FRAME_BYTES_MAX: Final = BATCH_BYTES_MAX - 2_048
"""The largest single event that can leave the node: one that fills a section of its own."""
CHANNEL_LENGTH_MAX: Final = 256
HEAD_BYTES_MAX: Final = 65_536
WITHHELD: Final = b""
PINS_MAX: Final = 32
"""Pins of one section; the configuration allows fewer, packs included."""
REGIONS_MAX: Final = 16
"""Regions of one pin."""


RegionsText: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=REGIONS_MAX)]


class Head(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    origin: NodeText
    cluster: NameText
    epoch: U63
    first: Annotated[int, Meta(ge=1, le=0x7FFF_FFFF_FFFF_0000)]
    hashes: Annotated[tuple[Hash32, ...], Meta(min_length=1, max_length=SECTIONS_MAX)]

    def encode(self) -> bytes:
        return encode((self.origin, self.cluster, self.epoch, self.first, self.hashes))


class Section(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    channel: ChannelText
    frames: Annotated[tuple[Annotated[bytes, Meta(min_length=1)], ...], Meta(min_length=1)]
    pins: Annotated[tuple[RegionsText, ...], Meta(max_length=PINS_MAX)] = ()
    """Of each pin the patterns of regions; every hop asks all of them for every link."""
    aggregate: bool = False
    """Made of events that stay; clients of the cluster that made it do not get it."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What all links with the same rights get of one batch: a BusBatch without its number on the link."""

    via: tuple[str, ...]
    ttl: int
    head: bytes
    signature: bytes
    sections: tuple[bytes, ...]
    messages: int
    """Bus events inside."""
    size: int
    """Bytes of head and sections: what bounds and windows count."""
    pinned: bool = False
    """Whether any section is pinned, by its origin or by our rules."""

    def numbered(self, link_seq: int) -> BusBatch:
        return BusBatch(link_seq, self.via, self.ttl, self.head, self.signature, self.sections)


def parcel_of(
    via: tuple[str, ...],
    ttl: int,
    head: bytes,
    signature: bytes,
    sections: tuple[bytes, ...],
    messages: int,
    pinned: bool = False,
) -> Parcel:
    size = len(head) + sum(map(len, sections))
    return Parcel(via, ttl, head, signature, sections, messages, size, pinned)


def decode_head(data: bytes) -> Head:
    """Raises DecodeError unless `data` is exactly one well-formed head."""
    return decode_as(data, Head, max_bytes=HEAD_BYTES_MAX)


def decode_section(data: bytes) -> Section:
    """Raises DecodeError unless `data` is exactly one well-formed section."""
    return decode_as(data, Section, max_bytes=2 * BATCH_BYTES_MAX)


def decode_pins(data: bytes) -> tuple[tuple[str, ...], ...]:
    """Pins as they are remembered over a restart. Raises DecodeError."""
    return decode_as(data, tuple[tuple[str, ...], ...], max_bytes=HEAD_BYTES_MAX)


def encode_sections(
    channel: str, frames: Sequence[bytes], pins: tuple[tuple[str, ...], ...] = (), aggregate: bool = False
) -> Iterable[tuple[bytes, int]]:
    """The frames as sections of at most BATCH_BYTES_MAX (a lone frame and pins apart), each with its number of frames.
    Sections without pins that are no aggregates are as they were before there were any."""
    more: tuple[Any, ...] = (pins, aggregate) if pins or aggregate else ()
    start, size = 0, 0
    for index, frame in enumerate(frames):
        cost = len(frame) + 5
        if index > start and size + cost > FRAME_BYTES_MAX:
            yield encode((channel, frames[start:index], *more)), index - start
            start, size = index, 0
        size += cost
    yield encode((channel, frames[start:] if start else frames, *more)), len(frames) - start


def signed_bytes(mesh_id: MeshId, head: bytes) -> bytes:
    """What the origin's signature covers."""
    return DOMAIN + mesh_id.encode() + head


def section_hash(section: bytes) -> bytes:
    return hashlib.sha256(section).digest()
