"""What may still be heard of a peer that is ignored, and what evidence says in a few words.

Ignored means: nothing that it passes on is merged, relayed or spread further. A proof needs nobody's word, so it counts
whoever brings it: of a delta, the statements that contradict each other in it are looked at, and nothing else.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from arqonmesh.core.gossip.forks import contradict
from arqonmesh.errors import DecodeError
from arqonmesh.wire.cbor import decode
from arqonmesh.wire.messages import (
    BroadcastHave,
    BroadcastPayload,
    CoordinateReport,
    GossipDelta,
    WireMessage,
)
from arqonmesh.wire.statement import MAX_STATEMENT_BYTES, Statement, decode_statement, statement_hash

UNHEARD: Final = (BroadcastPayload, BroadcastHave, CoordinateReport)
PROOF_BYTES_MAX: Final = 2 * MAX_STATEMENT_BYTES + 64
WORDS_MAX: Final = 200


def still_heard(message: WireMessage) -> WireMessage | None:
    """What of a message from an ignored link peer is looked at; None for nothing."""
    if type(message) is GossipDelta:
        return proofs_in(message)
    return None if isinstance(message, UNHEARD) else message


def proofs_in(delta: GossipDelta) -> GossipDelta | None:
    """The pairs of statements that no single history holds; None when there are none. Signatures are not checked."""
    try:
        statements = [(decode_statement(encoded), encoded) for encoded in delta.statements]
    except DecodeError:
        return None
    kept: dict[bytes, None] = {}
    for (a, a_bytes), (b, b_bytes) in pairwise(statements):
        if a.author == b.author and contradict(a, statement_hash(a_bytes), b, statement_hash(b_bytes)):
            kept[a_bytes] = kept[b_bytes] = None
    return GossipDelta(tuple(kept), ()) if kept else None


def summary(evidence: bytes) -> str:
    """Evidence in a few words for a person: which statements contradict, or the word that was kept. Never raises."""
    if not evidence:
        return ""
    try:
        pair = decode(evidence, max_bytes=PROOF_BYTES_MAX)
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(half, bytes) for half in pair):
            a, b = (decode_statement(half) for half in pair)
            return f"signed {_place(a)} and {_place(b)}; {len(evidence)} bytes"
    except DecodeError:
        pass
    text = evidence[: 4 * WORDS_MAX].decode("utf-8", "replace")
    return text[:WORDS_MAX] if text.isprintable() else f"{len(evidence)} bytes"


def _place(statement: Statement) -> str:
    return f"({statement.epoch}, {statement.seq}) kind {statement.kind}"
