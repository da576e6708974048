"""The founder's part: who gets a vote next, and whose is taken. Pure arithmetic over the electorate and the members.

A vote is given once a member is alive and in reach, so that giving it costs nobody a quorum; it is taken from a member
that has left. What is said next waits until all before is settled, and for a while that grows with the number of
voters, because each change makes all of them say that they hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.core.partition.electorate import Electorate, roll_of
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Kind, Vote

SPACING_US: Final = 250 * MILLISECOND
SPACING_US_MAX: Final = 20 * SECOND
"""Between two batches, per voter and in all: forty voters change every 10 s at most. Each change costs a statement of
two voters in three, which all members verify: a mesh that grows one by one would do little else."""
BATCH_MAX: Final = 1_024
"""Votes given in one go; the rest follows when these are settled."""


class Registrar:
    """Only at the founder."""

    def __init__(self, electorate: Electorate) -> None:
        self._electorate = electorate
        self._said = 0
        """The newest ordinal that is on its way to the disk."""
        self.due: Instant | None = None
        """When to look again."""
        self._not_before: Instant = 0

    def next(
        self, now: Instant, states: Mapping[NodeId, str], reaches: Callable[[NodeId], bool]
    ) -> tuple[Publish, ...]:
        """What to say now: any number of votes given, or a single one taken, or nothing."""
        self.due = None
        electorate = self._electorate
        if electorate.open or electorate.latest < self._said:
            return ()
        taken = next((n for n, state in states.items() if state == "left" and electorate.votes(n)), None)
        given = [n for n, state in states.items() if state == "alive" and reaches(n) and not electorate.votes(n)]
        if taken is None and not given:
            return ()
        if now < self._not_before:
            self.due = self._not_before
            return ()
        voters = electorate.voters()
        self._not_before = now + min(SPACING_US * len(voters), SPACING_US_MAX)
        if taken is not None:
            return self._say([taken], [node for node in voters if node != taken], granted=False)
        return self._say(given[:BATCH_MAX], voters, granted=True)

    def _say(self, nodes: list[NodeId], voters: list[NodeId], *, granted: bool) -> tuple[Publish, ...]:
        said: list[Publish] = []
        roll = roll_of(voters)
        settled = self._electorate.settled
        for ordinal, node in enumerate(nodes, self._electorate.latest + 1):
            if granted:
                own = roll_of((node,))
                roll = bytes(a ^ b for a, b in zip(roll, own, strict=True))
            vote = Vote(ordinal=ordinal, settled=settled, granted=granted, consent=not granted, roll=roll)
            said.append(Publish(Kind.VOTE, node, vote))
        self._said = self._electorate.latest + len(nodes)
        return tuple(said)
