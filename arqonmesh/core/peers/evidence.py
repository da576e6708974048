"""What may still be heard of a peer that is ignored, and what evidence says in a few words.

Ignored means: nothing that it passes on of others is merged, relayed or spread further. A proof needs nobody's word, so
it counts whoever brings it: of a delta, the statements that contradict each other are looked at. And so is what it
signed of itself: the same comes from everyone else who knows it, and where we are its only way, it could not tell
anybody that it lives, and would stay dead to all once it was held dead.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from arqonmesh.core.gossip.forks import contradict
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
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


def still_heard(message: WireMessage, link_peer: NodeId) -> WireMessage | None:
    """What of a message from an ignored link peer is looked at; None for nothing."""
    if type(message) is GossipDelta:
        return heard_in(message, link_peer)
    return None if isinstance(message, UNHEARD) else message


def heard_in(delta: GossipDelta, link_peer: NodeId) -> GossipDelta | None:
    """Its own statements, and the pairs that no single history holds, in the order of the delta; None when there are
    none. Signatures are not checked."""
    try:
        statements = [(decode_statement(encoded), encoded) for encoded in delta.statements]
    except DecodeError:
        return None
    kept = {encoded: None for statement, encoded in statements if statement.author == link_peer}
    for (a, a_bytes), (b, b_bytes) in pairwise(statements):
        if a.author == b.author and contradict(a, statement_hash(a_bytes), b, statement_hash(b_bytes)):
            kept[a_bytes] = kept[b_bytes] = None
    if not kept:
        return None
    bases = tuple(base for base in delta.bases if base[0] == link_peer)
    return GossipDelta(tuple(encoded for encoded in delta.statements if encoded in kept), bases)


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
