"""One side of a link follows the other's heartbeats: two machines on a hand-moved clock, and the wire between them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import pytest

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.link.liveness import Beat, Changed, LinkState, Liveness, Resumed

MS = MILLISECOND
LEADER, FOLLOWER = 0, 1


class Pair:
    """A leader and a follower, `one_way_us` apart; counts heartbeats and the moments at which each had to wake up."""

    def __init__(self, one_way_us: int = MS, *, follows: bool = True) -> None:
        self.one_way_us = one_way_us
        self.sides = [Liveness(interval_us=100 * MS, misses=3, now=0) for _ in range(2)]
        self.sides[FOLLOWER].follows = follows
        self.air: list[tuple[int, int, int, Beat]] = []
        self.flown = 0
        self.sent: list[list[int]] = [[], []]
        self.woke: list[set[int]] = [set(), set()]
        self.silent: set[int] = set()
        self.changes: list[tuple[int, int, Changed]] = []
        self.now = 0

    def run(self, until: int) -> None:
        while True:
            wakes = [(at, side) for side, link in enumerate(self.sides) if (at := link.next_wakeup()) is not None]
            at, side = min(wakes, default=(until, 0))
            if self.air and self.air[0][0] <= at:
                if self.air[0][0] >= until:
                    break
                at, _, side, beat = heapq.heappop(self.air)
                self.now = at
                self._hear(side, beat)
            elif at >= until:
                break
            else:
                self.now = at
                self.woke[side].add(at)
                self._perform(side, self.sides[side].tick(at))
        self.now = until

    def _hear(self, side: int, beat: Beat) -> None:
        link = self.sides[side]
        self.woke[side].add(self.now)
        if beat.poll:
            self._fly(side, Beat(0, False, beat.seq, 0, 0))
        if beat.seq:
            self._perform(side, link.beaten(self.now, beat.seq, beat.echo, beat.held_us, beat.mask))
            if link.beat_due(self.now):
                self._perform(side, link.tick(self.now))
        else:
            self._perform(side, link.answered(self.now, beat.echo))

    def _perform(self, side: int, steps: Sequence[Beat | Changed | Resumed]) -> None:
        for step in steps:
            if isinstance(step, Changed):
                self.changes.append((self.now, side, step))
            elif isinstance(step, Beat):
                self.sent[side].append(self.now)
                self._fly(side, step)

    def _fly(self, side: int, beat: Beat) -> None:
        if side not in self.silent:
            self.flown += 1
            heapq.heappush(self.air, (self.now + self.one_way_us, self.flown, 1 - side, beat))


@pytest.mark.parametrize("one_way_ms", [0, 1, 20])
def test_who_follows_wakes_once_per_interval_and_not_twice(one_way_ms: int) -> None:
    """It hears, and answers in the same turn; nothing else is left to wake up for."""
    pair, free = Pair(one_way_ms * MS), Pair(one_way_ms * MS, follows=False)
    for either in (pair, free):
        either.run(10 * SECOND)
        assert [link.state for link in either.sides] == [LinkState.UP, LinkState.UP]
    wakeups = len([at for at in pair.woke[FOLLOWER] if at > SECOND])
    assert wakeups <= 98, "ten a second, and the answer to one poll in 16"
    assert len(pair.sent[FOLLOWER]) >= 95
    assert len([at for at in free.woke[FOLLOWER] if at > SECOND]) > 1.5 * wakeups or one_way_ms == 0


@pytest.mark.parametrize(("silent", "hears"), [(LEADER, FOLLOWER), (FOLLOWER, LEADER)])
def test_whoever_falls_silent_is_noticed_as_soon_as_ever(silent: int, hears: int) -> None:
    """A follower's own heartbeats leave a quarter of an interval later, and nobody waits longer for what follows; both
    speak faster once an answer is overdue, and the link is down after 3.5 intervals."""
    pair = Pair()
    pair.run(5 * SECOND)
    pair.silent.add(silent)
    pair.run(6 * SECOND)
    down = [at for at, side, change in pair.changes if side == hears and change.new is LinkState.DOWN]
    assert down and down[0] - 5 * SECOND <= 400 * MS
    assert len([at for at in pair.sent[hears] if 5 * SECOND < at < down[0]]) >= 6


def test_two_that_both_follow_still_hold_their_link() -> None:
    """As it may be for a moment while two dials collapse into one."""
    pair = Pair()
    pair.sides[LEADER].follows = True
    pair.run(10 * SECOND)
    assert [link.state for link in pair.sides] == [LinkState.UP, LinkState.UP]
    assert not [change for _, _, change in pair.changes if change.new in (LinkState.PROBING, LinkState.DOWN)]
