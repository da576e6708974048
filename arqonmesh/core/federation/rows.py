"""Parcels looked into again: a row of an earlier life, and one whose peer or whose rules have changed."""

from __future__ import annotations

from dataclasses import replace

from arqonmesh.core.federation.batch import WITHHELD, Parcel, decode_section, parcel_of
from arqonmesh.core.federation.residency import Residency
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import BusBatch


def parcel_from_row(encoded: bytes, residency: Residency) -> Parcel:
    """Raises DecodeError when the row is not one of ours."""
    batch = decode_message(encoded)
    if not isinstance(batch, BusBatch):
        raise DecodeError("federation.outbox-row", f"an outbox row holds a {type(batch).__name__}; it needs a BusBatch")
    sections = [decode_section(section) for section in batch.sections if section]
    pinned = any(residency.pinned_with(section.channel, section.pins) is not None for section in sections)
    messages = sum(len(section.frames) for section in sections)
    return parcel_of(batch.via, batch.ttl, batch.head, batch.signature, batch.sections, messages, pinned)


def permitted(parcel: Parcel, residency: Residency, peer: NodeId) -> Parcel:
    """What pins let go to this member: the parcel itself, or a smaller one that may be empty."""
    region = residency.region_of(peer)
    kept: list[bytes] = []
    messages, marked = 0, False
    for encoded in parcel.sections:
        if not encoded:
            kept.append(WITHHELD)
            continue
        section = decode_section(encoded)
        pinned = residency.pinned_with(section.channel, section.pins)
        if pinned is None or pinned.refusal(region) is None:
            kept.append(encoded)
            messages += len(section.frames)
            marked = marked or pinned is not None
        else:
            kept.append(WITHHELD)
    if messages == parcel.messages:
        return parcel if marked is parcel.pinned else replace(parcel, pinned=marked)
    return parcel_of(parcel.via, parcel.ttl, parcel.head, parcel.signature, tuple(kept), messages, marked)
