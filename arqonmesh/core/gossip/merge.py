"""Decides about one run of foreign statements: which are new, which are false, and whose fault that is.

The blame (algorithms: penalties belong to the party that proved its fault itself):

| what is wrong                                        | whose fault   | cause            |
|------------------------------------------------------|---------------|------------------|
| the signature does not fit                           | the link peer | `bad-signature`  |
| signed, but the body is not what its kind says       | the author    | `malformed-body` |
| signed, but it contradicts another signed statement  | the author    | `equivocation`   |
| signed, but more than the store takes of one author  | the author    | `over-limit`     |

**Forks, first depth**: of an author that has contradicted itself we keep what came first and take nothing at or
beyond the contradiction. Replicas agree on the verdict (it is part of the root), and not yet on which branch to
hold; the lattice of lowest proven forks that decides this comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from arqonmesh.core.gossip.log import AuthorLog, Position, Record
from arqonmesh.core.gossip.replica import Fork, Replica
from arqonmesh.core.gossip.waiting import Run
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Statement, decode_body, decode_statement, statement_hash

Verify: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> does it hold."""


@dataclass(frozen=True, slots=True)
class Blame:
    party: NodeId
    cause: str
    proof: bytes = b""


@dataclass(slots=True)
class Outcome:
    """What a run came to. The replica already holds `new`; forks are for the caller to record."""

    before: Position
    """The author's head before the run."""
    new: list[Record] = field(default_factory=list)
    duplicates: int = 0
    holes: int = 0
    """How many of `new` lay at or below the head: the replica was incomplete there."""
    refused: int = 0
    gap: bool = False
    """The run begins beyond our head, and its sender does not vouch for what lies between."""
    blame: list[Blame] = field(default_factory=list)
    fork: Fork | None = None


def contradict(a: Statement, a_hash: bytes, b: Statement, b_hash: bytes) -> bool:
    """Can no single history hold both? Same place and different content, or b directly after a and on another a.

    Only within one epoch: a new epoch may begin from an older head, because a crash may lose what nobody has seen.
    """
    if a.epoch != b.epoch:
        return False
    return (a.seq == b.seq and a_hash != b_hash) or (a.seq + 1 == b.seq and b.prev_hash != a_hash)


def merge(replica: Replica, run: Run, key: bytes, verify: Verify) -> Outcome:
    """Merge what holds up, stop at the first thing that does not. `key` is the author's."""
    author = run.author
    outcome = Outcome(replica.head(author))
    if author not in replica.forks:
        outcome.fork = _fork_within(run, key, verify)
        if outcome.fork is not None:
            replica.convict(author, outcome.fork)
    vouched = run.base is not None and run.base <= outcome.before
    for statement, encoded in run.statements:
        log = replica.authors.get(author)
        position = (statement.epoch, statement.seq)
        if _is_cut_off(replica, author, position):
            outcome.refused += 1
            continue
        if log is not None and position <= log.head:
            if _is_known(log, statement, encoded):
                outcome.duplicates += 1
                continue
            hole = True
        elif not vouched:
            outcome.gap = True
            return outcome
        else:
            hole = False
        if not _verified(statement, key, verify):
            outcome.blame.append(Blame(run.link_peer, "bad-signature"))
            return outcome
        fork = _fork_against(log, statement, encoded)
        if fork is not None:
            outcome.fork = fork
            replica.convict(author, fork)
            outcome.refused += 1
            continue
        record = _record(statement, encoded, outcome)
        if record is not None and hole and _differs_from_head(log, record):
            outcome.refused += 1
            return outcome
        if record is None or not _has_room(replica, record, outcome):
            return outcome
        replica.put(record)
        outcome.new.append(record)
        outcome.holes += hole
    return outcome


def _is_cut_off(replica: Replica, author: NodeId, position: Position) -> bool:
    """At or beyond the point where the author contradicted itself, and not what we hold."""
    fork = replica.forks.get(author)
    return fork is not None and position >= fork.positions[0]


def _is_known(log: AuthorLog, statement: Statement, encoded: bytes) -> bool:
    """Held, or superseded by what is held."""
    position = (statement.epoch, statement.seq)
    held = log.at(position)
    if held is not None:
        return held.encoded == encoded
    return log.supersedes(position, statement.kind, statement.key)


def _differs_from_head(log: AuthorLog | None, record: Record) -> bool:
    """Another statement at the head's place, of whose own statement only the hash survived: no proof, and no entry."""
    return log is not None and record.position == log.head and record.hash != log.head_hash


def _verified(statement: Statement, key: bytes, verify: Verify) -> bool:
    return verify(key, statement.signed_bytes(), statement.signature)


def _fork_within(run: Run, key: bytes, verify: Verify) -> Fork | None:
    """Does the run carry two statements that contradict each other (a proof that somebody passes on)?"""
    for (a, a_bytes), (b, b_bytes) in pairwise(run.statements):
        if a.epoch != b.epoch or b.seq - a.seq > 1:
            continue
        if not contradict(a, statement_hash(a_bytes), b, statement_hash(b_bytes)):
            continue
        if not (_verified(a, key, verify) and _verified(b, key, verify)):
            return None  # the loop over the run finds the bad signature and blames the link peer
        return Fork(a_bytes, b_bytes, ((a.epoch, a.seq), (b.epoch, b.seq)))
    return None


def _fork_against(log: AuthorLog | None, statement: Statement, encoded: bytes) -> Fork | None:
    """Does this verified statement contradict one that we hold at, before or after its place?"""
    if log is None:
        return None
    epoch, seq = statement.epoch, statement.seq
    hash_ = statement_hash(encoded)
    for near in (seq, seq - 1, seq + 1):
        held = log.at((epoch, near))
        if held is None:
            continue
        other = decode_statement(held.encoded)
        pair = ((statement, encoded, hash_), (other, held.encoded, held.hash))
        (a, a_bytes, a_hash), (b, b_bytes, b_hash) = pair if near > seq else pair[::-1]
        if contradict(a, a_hash, b, b_hash):
            return Fork(a_bytes, b_bytes, ((a.epoch, a.seq), (b.epoch, b.seq)))
    return None


def _record(statement: Statement, encoded: bytes, outcome: Outcome) -> Record | None:
    try:
        body = decode_body(statement.kind, statement.body)
    except DecodeError:
        outcome.blame.append(Blame(NodeId(statement.author), "malformed-body", encoded))
        outcome.refused += 1
        return None
    return Record.of(statement, body, encoded)


def _has_room(replica: Replica, record: Record, outcome: Outcome) -> bool:
    reason = replica.refusal(record)
    if reason is None:
        return True
    if reason in ("too-many-records", "author-too-large"):
        outcome.blame.append(Blame(record.author, "over-limit"))
    outcome.refused += 1
    return False
