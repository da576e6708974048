"""Decides about one run of foreign statements: which are new, which are false, and whose fault that is.

The blame (algorithms: penalties belong to the party that proved its fault itself):

| what is wrong                                        | whose fault   | cause            |
|------------------------------------------------------|---------------|------------------|
| the signature does not fit                           | the link peer | `bad-signature`  |
| signed, but the body is not what its kind says       | the author    | `malformed-body` |
| signed, but it contradicts another signed statement  | the author    | `equivocation`   |
| signed, but more than the store takes of one author  | the author    | `over-limit`     |

**Forks**: what an author says at or beyond its lowest proven fork is excluded, and taken back where it was held
(`Outcome.withdrawn`). Below that point every record counts that anyone still holds, the newest of each key: prefix
closure is given up for such an author, since what its excluded statements had superseded is not kept by all, and
what anyone does hold is therefore taken without a promise of completeness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from arqonmesh.core.gossip.forks import Fork, Verify, fork_against, fork_within, verify_statement
from arqonmesh.core.gossip.log import AuthorLog, Position, Record, read_record
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.gossip.waiting import Run
from arqonmesh.errors import DecodeError
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Kind, Statement


@dataclass(frozen=True, slots=True)
class Blame:
    party: NodeId
    cause: str
    proof: bytes = b""


@dataclass(slots=True)
class Outcome:
    """What a run came to. The replica already holds `new` and the verdict; telling and storing is for the caller."""

    before: Position
    """The author's head before the run."""
    new: list[Record] = field(default_factory=list)
    withdrawn: list[Record] = field(default_factory=list)
    """Held before, and not any more: beyond a fork, or voided by their author."""
    duplicates: int = 0
    excluded: int = 0
    """At or beyond a fork."""
    holes: int = 0
    """How many of `new` lay at or below the head: the replica was incomplete there."""
    refused: int = 0
    gap: bool = False
    """The run begins beyond our head, and its sender does not vouch for what lies between."""
    blame: list[Blame] = field(default_factory=list)
    fork: Fork | None = None
    """A proof that has just lowered the verdict."""

    @property
    def plain(self) -> bool:
        """Nothing but new records."""
        return self.whole and not (self.withdrawn or self.duplicates or self.holes)

    @property
    def whole(self) -> bool:
        """Everything in the run is held, or was already: it may be passed on as it came."""
        return not (self.gap or self.refused or self.excluded or self.blame or self.fork)


def merge(replica: Replica, run: Run, key: bytes, verify: Verify) -> Outcome:
    """Merge what holds up, stop at the first thing that does not. `key` is the author's.

    Signatures are checked last, after all that is free: what is held, superseded, excluded or beyond a gap costs none.
    """
    author = run.author
    outcome = Outcome(replica.head(author))
    proof = fork_within(run, key, verify, replica.cut(author))
    if proof is not None:
        _convict(replica, author, proof, outcome)
    vouched = run.base is not None and run.base <= outcome.before
    for statement, encoded in run.statements:
        log = replica.authors.get(author)
        cut = replica.cut(author)
        position = (statement.epoch, statement.seq)
        if cut is not None and position >= cut:
            outcome.excluded += 1
            continue
        hole = log is not None and position <= log.head
        if log is not None and (hole or cut is not None) and _is_known(log, statement, encoded):
            outcome.duplicates += 1
            continue
        if cut is None and not hole and not vouched:
            outcome.gap = True
            return outcome
        if not verify_statement(statement, encoded, key, verify):
            outcome.blame.append(Blame(run.link_peer, "bad-signature"))
            return outcome
        fork = fork_against(log, statement, encoded)
        if fork is not None:
            _convict(replica, author, fork, outcome)
            outcome.excluded += 1  # a fork that it is part of begins at or before it
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
        if record.kind == Kind.FLOOR:
            outcome.withdrawn += replica.void(author)
    return outcome


def holds(replica: Replica, run: Run) -> bool:
    """Is every statement of the run held as it came, or the only one superseded, by an author who did not fork? Then
    there is nothing to merge, and nothing in it that could be a proof."""
    log = replica.authors.get(run.author)
    if log is None or run.author in replica.forks:
        return False
    if len(run.statements) == 1:
        statement, encoded = run.statements[0]
        return (statement.epoch, statement.seq) <= log.head and _is_known(log, statement, encoded)
    for statement, encoded in run.statements:
        held = log.at((statement.epoch, statement.seq))
        if held is None or held.encoded != encoded:
            return False
    return True


def _convict(replica: Replica, author: NodeId, fork: Fork, outcome: Outcome) -> None:
    gone = replica.convict(author, fork)
    if gone is None:
        return
    outcome.fork = fork
    outcome.withdrawn += gone  # also what was new: it may have taken the place of something that had been told
    outcome.new = [record for record in outcome.new if record.position < fork.cut]


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


def _record(statement: Statement, encoded: bytes, outcome: Outcome) -> Record | None:
    try:
        return read_record(encoded)
    except DecodeError:
        outcome.blame.append(Blame(NodeId(statement.author), "malformed-body", encoded))
        outcome.refused += 1
        return None


def _has_room(replica: Replica, record: Record, outcome: Outcome) -> bool:
    reason = replica.refusal(record)
    if reason is None:
        return True
    if reason in ("too-many-records", "author-too-large"):
        outcome.blame.append(Blame(record.author, "over-limit"))
    outcome.refused += 1
    return False
