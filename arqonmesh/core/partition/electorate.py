"""Who votes, and when may a side write? The agreed membership as an order of changes with a single author.

A quorum means something only if all sides mean the same set. Admissions come from any member at any time, so at the
moment of a cut two sides may know different rosters, and majorities of different sets need not meet: five members, two
admitted on one side just before the cut, and that side has four of its seven while the other has three of its five.
Therefore a member votes only once the founder has said so, in statements numbered without gaps (Vote), and every voter
answers with how far it has stored them (Held). With C(k) for the voters after the k-th change:

    a side whose newest change is i, and which knows that s is settled, may write
        when it reaches a quorum of each of C(s) ... C(i)                           (joint consensus, Raft 4.3)
    s is settled
        once for each C(w) since the last settled one, a quorum of C(w) holds s

No two disjoint sides can both write. Let A know i and settled s, and B, that knows less, j <= i. If j >= s, both need
a quorum of C(j), and two quorums of one set meet. If j < s, then when s (or the step towards it that passed j) was
settled, a quorum of C(j) held more than j; B reaches a quorum of C(j) too; a node in both would have told B.

Leaving: the vote of a member that left of its own accord (`consent`) is not asked any more from the moment at which the
change that takes it is known, also for the sets before: it is taken out of both numerator and denominator. With
one such change at a time this still meets every quorum that counts it, even when the member comes back at the other
side: q(n - 1) + q(n) - 1 > n - 1 for both presets. So the founder takes such votes one by one, each when all before is
settled. A dead member keeps its vote until the founder takes it without consent, which needs a quorum that counts it.

Source: Raft's joint consensus (Ongaro 2014, 4.3); the founder stands in for the leader until there is one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from msgspec import Struct

from arqonmesh.core.partition.quorum import required
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Vote


class Change(Struct, frozen=True, gc=False):
    """One node's newest vote, without what all voters come to after it: only the newest of all is asked for that."""

    ordinal: int
    granted: bool
    consent: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How a vote would go in the set that is hardest to win."""

    votes: int
    voters: int
    required: int

    @property
    def carried(self) -> bool:
        return self.votes >= self.required


class Electorate:
    """The founder's changes, and who holds them. C(0) is the founder alone."""

    def __init__(self, founder: NodeId, preset: str) -> None:
        self._founder = founder
        self._preset = preset
        self._newest: dict[NodeId, Change] = {}
        """Each node's newest change."""
        self._at: dict[int, NodeId] = {}
        """Ordinals above the settled one, and whose change it is."""
        self._roll = b""
        """What the newest change says about all voters together."""
        self._whole: bool | None = None
        self._void = False
        self._held: dict[NodeId, int] = {}
        self.settled = 0
        """Nothing before this matters to any quorum."""
        self.latest = 0

    # --- what is said -------------------------------------------------------------------------------------------------

    def change(self, node: NodeId, vote: Vote) -> bool:
        """Take one change of the founder's; whether it was news."""
        known = self._newest.get(node)
        if known is not None and known.ordinal >= vote.ordinal:
            return False
        self._newest[node] = Change(vote.ordinal, vote.granted, vote.consent)
        self._at[vote.ordinal] = node
        self._whole = None
        if vote.ordinal > self.latest:
            self.latest, self._roll = vote.ordinal, vote.roll
        self._settle(vote.settled)
        return True

    def held(self, voter: NodeId, ordinal: int) -> None:
        """A voter holds all changes up to this one."""
        self._held[voter] = max(ordinal, self._held.get(voter, 0))

    def void(self) -> None:
        """The founder has contradicted itself about who votes: nobody can say any more what a quorum is."""
        self._void, self._whole = True, None

    def settle(self) -> bool:
        """Find the newest change that a quorum of every set since the settled one holds; whether there is a newer."""
        for candidate in sorted({at for at in self._held.values() if self.settled < at <= self.latest}, reverse=True):
            holds = {node for node, at in self._held.items() if at >= candidate}
            if self.whole and self._hardest(holds.__contains__, candidate).carried:
                self._settle(candidate)
                return True
        return False

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether there is a change that is not settled."""
        return self.latest > self.settled

    @property
    def whole(self) -> bool:
        """Whether no change is missing here, neither an old one nor one of the newest."""
        if self._whole is None:
            steps = all(at in self._at for at in range(self.settled + 1, self.latest + 1))
            self._whole = steps and not self._void and (self.latest == 0 or self._roll == roll_of(self.voters()))
        return self._whole

    def voters(self) -> list[NodeId]:
        """Who votes after the newest change."""
        return [node for node in dict.fromkeys((self._founder, *self._newest)) if self.votes(node)]

    def votes(self, node: NodeId) -> bool:
        """Whether this node votes after the newest change."""
        vote = self._newest.get(node)
        return node == self._founder if vote is None else vote.granted

    def holds(self, node: NodeId) -> int:
        return self._held.get(node, 0)

    def answers_first(self, node: NodeId, reaches: Callable[[NodeId], bool]) -> bool:
        """Whether it is up to this voter to say at once that it holds the newest change: to all that vote since the
        settled one, and of the others in reach to as many as make a quorum, drawn anew for each change. Together they
        settle it, since no set between needs more votes more than it has members more."""
        if not self._voted_at(node, self.settled):
            return True
        others = [voter for voter in self.voters() if self._voted_at(voter, self.settled)]
        present = [voter for voter in others if voter == node or reaches(voter)]
        drawn = sorted(present, key=lambda voter: hashlib.sha256(f"{self.latest} {voter}".encode()).digest())
        return node in drawn[: required(len(others), self._preset)]

    def count(self, reaches: Callable[[NodeId], bool]) -> Count:
        """How a vote of those that are reached would go."""
        if not self.whole:  # wait until what is missing has come
            count = self._hardest(reaches, self.latest)
            return Count(0, count.voters, count.required)
        return self._hardest(reaches, self.latest)

    # --- private ------------------------------------------------------------------------------------------------------

    def _settle(self, ordinal: int) -> None:
        if ordinal > self.settled:
            self.settled = ordinal
            self._at = {at: node for at, node in self._at.items() if at > ordinal}
            self._whole = None

    def _hardest(self, yes: Callable[[NodeId], bool], until: int) -> Count:
        """The worst of C(settled) ... C(until). Each set differs from the one before by one node."""
        granted: dict[NodeId, None] = {}
        if self._voted_at(self._founder, self.settled):
            granted[self._founder] = None
        settled = self.settled
        for node, vote in self._newest.items():
            if vote.granted if vote.ordinal <= settled else not vote.granted:  # as `_voted_at` has it
                granted[node] = None
        excused = self._excused(until)
        if excused is not None:
            granted.pop(excused, None)
        voters, votes = len(granted), sum(1 for node in granted if yes(node))
        worst = Count(votes, voters, required(voters, self._preset))
        for ordinal, changed in self._unsettled(until):
            if changed == excused:
                continue
            step = 1 if self._voted_at(changed, ordinal) else -1
            voters += step
            votes += step if yes(changed) else 0
            count = Count(votes, voters, required(voters, self._preset))
            if count.votes - count.required <= worst.votes - worst.required:
                worst = count
        return worst

    def _voted_at(self, node: NodeId, ordinal: int) -> bool:
        """Whether it voted after this change. Only its newest change is known; before that it was the contrary, and
        between the settled change and the newest one nobody changes twice."""
        vote = self._newest.get(node)
        if vote is None:
            return node == self._founder
        return vote.granted if vote.ordinal <= ordinal else not vote.granted

    def _excused(self, until: int) -> NodeId | None:
        """Whose vote is not asked any more although it is in the sets before: it left, and the founder says so."""
        for ordinal, node in self._unsettled(until):
            if self._newest[node].consent and self._newest[node].ordinal == ordinal:
                return node
        return None

    def _unsettled(self, until: int) -> list[tuple[int, NodeId]]:
        """The known changes that are not settled, in order, as many as there are statements: an ordinal is whatever
        its author wrote."""
        return sorted((at, node) for at, node in self._at.items() if self.settled < at <= until)


def roll_of(voters: Iterable[NodeId]) -> bytes:
    """The exclusive or of the hashes of these ids: the same in every order, and another when one is missing."""
    roll = 0
    for node in voters:
        roll ^= _number_of(node)
    return roll.to_bytes(32, "big")


@lru_cache(maxsize=8_192)
def _number_of(node: NodeId) -> int:
    return int.from_bytes(hashlib.sha256(node.encode()).digest(), "big")
