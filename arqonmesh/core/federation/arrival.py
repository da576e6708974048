"""A batch from a link, judged: is it what its origin signed, and may we take part in it?

Blame is exact. What breaks the signature or a hash is the fault of the link peer, who checked the same before it passed
the batch on, or made it up; what is signed and wrong is the fault of the origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from arqonmesh.core.federation.batch import Head, Section, decode_head, decode_section, section_hash, signed_bytes
from arqonmesh.core.federation.custody import Custody
from arqonmesh.core.federation.upstream import Upstream
from arqonmesh.core.kernel import Env
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BusBatch


@dataclass(slots=True)
class Arrival:
    """A verified batch and what is still to do with it."""

    batch: BusBatch
    origin: NodeId
    cluster: str
    custody: Custody
    upstream: Upstream
    """The connection that it came on."""
    deliver: list[Section] = field(default_factory=list)
    forward: list[tuple[int, Section]] = field(default_factory=list)
    """With their places in the batch."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a batch is not taken. `blamed` is nobody when no fault is proven."""

    reason: str
    blamed: NodeId | None = None
    cause: str = ""


def open_head(batch: BusBatch, link_peer: NodeId, self_id: NodeId) -> Head | Refusal:
    """The head, as claimed, when the path fits it and has not led here before."""
    if self_id in batch.via:
        return Refusal("loop")
    try:
        head = decode_head(batch.head)
    except DecodeError:
        return Refusal("malformed", link_peer, "malformed")
    path_fits = batch.via[0] == head.origin and batch.via[-1] == link_peer and len(set(batch.via)) == len(batch.via)
    if not path_fits or len(head.hashes) != len(batch.sections):
        return Refusal("malformed", link_peer, "malformed")
    return head


def refuse_unproven(
    env: Env, batch: BusBatch, head: Head, public_key: bytes, cluster: str | None, link_peer: NodeId
) -> Refusal | None:
    """None when the origin signed this head, the sections are those it names, and its cluster is the roster's."""
    if not env.crypto.verify(public_key, signed_bytes(env.mesh_id, batch.head), batch.signature):
        return Refusal("bad-signature", link_peer, "bad-signature")
    for section, digest in zip(batch.sections, head.hashes, strict=True):
        if section and section_hash(section) != digest:
            return Refusal("tampered", link_peer, "tampered")
    if head.cluster != cluster:
        return Refusal("wrong-cluster", NodeId(head.origin), "wrong-cluster")
    return None


def open_sections(batch: BusBatch, indices: list[int], origin: NodeId) -> list[tuple[int, Section]] | Refusal:
    """The sections at these places, decoded."""
    try:
        return [(index, decode_section(batch.sections[index])) for index in indices]
    except DecodeError:
        return Refusal("malformed", origin, "malformed-body")
