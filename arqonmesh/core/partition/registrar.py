"""The founder's part: who gets a vote next, and whose is taken. Pure arithmetic over the electorate and the members.

A vote is given once a member is alive and in reach, so that giving it costs nobody a quorum; it is taken from a member
that has left. What is said next waits until all before is settled, and for a while that grows with the number of
voters, because each change makes most of them say that they hold it, which all members hear, verify and store.

While many come one after another, votes wait for the last of them, or until half as many wait as vote: until then who
votes is as good a quorum as before, and a mesh that grows to n has few changes instead of one for each few that come.
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
CALM_US: Final = 100 * MILLISECOND
CALM_US_MAX: Final = 4 * SECOND
"""After the newest newcomer, per voter and at most: so long nobody may come before votes are given, ..."""
CALM_VOTERS_MIN: Final = 8
"""... where there are more voters than these; a change among few costs little, ..."""
WAIT_US_MAX: Final = 60 * SECOND
"""... and unless somebody has waited for so long."""
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
        self._waiting: dict[NodeId, Instant] = {}
        """Who might be given a vote, and since when."""

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
        self._waiting = self._still_waiting(now, states, given)
        if taken is None and not given:
            return ()
        voters = electorate.voters()
        due = self._not_before if taken is not None else max(self._not_before, self._calm_at(len(voters), len(given)))
        if now < due:
            self.due = due
            return ()
        self._not_before = now + min(SPACING_US * len(voters), SPACING_US_MAX)
        if taken is not None:
            return self._say([taken], [node for node in voters if node != taken], granted=False)
        return self._say(given[:BATCH_MAX], voters, granted=True)

    def _still_waiting(self, now: Instant, states: Mapping[NodeId, str], given: list[NodeId]) -> dict[NodeId, Instant]:
        """Who is suspected for a moment has not just come when it is back: its time, and that of all, goes on."""
        waiting = {
            node: since
            for node, since in self._waiting.items()
            if states.get(node) in ("alive", "suspect") and not self._electorate.votes(node)
        }
        return waiting | {node: now for node in given if node not in waiting}

    def _calm_at(self, voters: int, given: int) -> Instant:
        """When those who wait have waited long enough for others to come."""
        if voters <= CALM_VOTERS_MIN or 2 * given >= voters:
            return 0
        came = list(self._waiting.values())
        return min(max(came) + min(CALM_US * voters, CALM_US_MAX), min(came) + WAIT_US_MAX)

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
