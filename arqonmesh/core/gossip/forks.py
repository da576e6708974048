"""Proof that an author contradicted itself, and from where on it does not count.

A fork is two statements, both signed by one author, that no single history holds: one place with two contents, or a
successor that names another predecessor. Whoever holds the two can convince anyone; nobody else's word is in it. The
verdict on an author is the *lowest* proven point (`MinMap`): minima commute, associate and repeat harmlessly, so
replicas that saw the proofs in any order agree on it, and with it on what the author still says (2P-BFT-Log's idea:
agree on the log, or on the earliest fork with its proof).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from arqonmesh.core.gossip.log import AuthorLog, Position
from arqonmesh.core.gossip.packing import Segment
from arqonmesh.core.gossip.waiting import Run
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Statement, decode_statement, signed_part, statement_hash

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> does it hold."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Two signed statements of one author that cannot both be its history: each is held as it came."""

    first: bytes
    second: bytes
    positions: tuple[Position, Position]
    """Of `first` and `second`: equal, or the second directly follows and names another predecessor."""

    @property
    def cut(self) -> Position:
        """What the author says from here on does not count. Where the second disowns the first, that is the first's
        place: another statement must exist there."""
        return self.positions[0]

    def segment(self, author: NodeId) -> Segment:
        """The proof as part of a delta that vouches for nothing."""
        return Segment(author, None, ((self.positions[0], self.first), (self.positions[1], self.second)))


def contradict(a: Statement, a_hash: bytes, b: Statement, b_hash: bytes) -> bool:
    """Can no single history hold both? Same place and different content, or b directly after a and on another a.

    Only within one epoch: a new epoch may begin from an older head, because a crash may lose what nobody has seen.
    """
    if a.epoch != b.epoch:
        return False
    return (a.seq == b.seq and a_hash != b_hash) or (a.seq + 1 == b.seq and not a_hash.startswith(b.prev_hash))


def fork_within(run: Run, key: bytes, verify: Verify, below: Position | None) -> Fork | None:
    """Does the run itself carry a proof (somebody passes one on) of a fork before `below`, the one known so far?"""
    for (a, a_bytes), (b, b_bytes) in pairwise(run.statements):
        if below is not None and (a.epoch, a.seq) >= below:
            return None
        if a.epoch != b.epoch or b.seq - a.seq > 1:
            continue
        if not contradict(a, statement_hash(a_bytes), b, statement_hash(b_bytes)):
            continue
        if not (verify_statement(a, a_bytes, key, verify) and verify_statement(b, b_bytes, key, verify)):
            return None  # the loop over the run finds the bad signature and blames the link peer
        return Fork(a_bytes, b_bytes, ((a.epoch, a.seq), (b.epoch, b.seq)))
    return None


def fork_against(log: AuthorLog | None, statement: Statement, encoded: bytes) -> Fork | None:
    """Does this verified statement contradict one that we hold before, at or after its place? The lowest counts."""
    if log is None:
        return None
    epoch, seq = statement.epoch, statement.seq
    for near in (seq - 1, seq, seq + 1):
        held = log.at((epoch, near))
        if held is None:
            continue
        hash_ = statement_hash(encoded)
        other = decode_statement(held.encoded)
        pair = ((statement, encoded, hash_), (other, held.encoded, held.hash))
        (a, a_bytes, a_hash), (b, b_bytes, b_hash) = pair if near > seq else pair[::-1]
        if contradict(a, a_hash, b, b_hash):
            return Fork(a_bytes, b_bytes, ((a.epoch, a.seq), (b.epoch, b.seq)))
    return None


def verify_statement(statement: Statement, encoded: bytes, key: bytes, verify: Verify) -> bool:
    return verify(key, signed_part(encoded), statement.signature)
