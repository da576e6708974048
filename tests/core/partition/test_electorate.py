"""Who votes: changes in order, joint quorums until they are settled, and holes that nobody votes over."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.partition.electorate import Count, Electorate, roll_of
from arqonmesh.core.partition.quorum import required
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Vote
from tests.core.toy import node_of

F, A, B, C, D, E, G = (node_of(name) for name in "fabcdeg")


def changes(
    *steps: tuple[NodeId, bool], settled: int = 0, first: int = 1, voters: tuple[NodeId, ...] = (F,)
) -> list[tuple[NodeId, Vote]]:
    """The founder's statements for these steps, taken with consent."""
    now = list(voters)
    said = []
    for ordinal, (node, granted) in enumerate(steps, first):
        now = [*now, node] if granted else [voter for voter in now if voter != node]
        said.append((node, Vote(ordinal, settled, granted, not granted, roll_of(now))))
    return said


def five() -> Electorate:
    """f, a, b, c, d vote, and all hold it."""
    known = Electorate(F, "crash")
    for node, vote in changes(*((node, True) for node in (A, B, C, D))):
        known.change(node, vote)
    for node in (F, A, B, C, D):
        known.held(node, 4)
    assert known.settle() and not known.open
    return known


def test_two_new_voters_do_not_outvote_the_five_who_have_not_heard_of_them() -> None:
    """f, a and the two new ones are four of seven, and not three of five: no quorum until three of the five hold it."""
    known = five()
    for node, vote in changes((E, True), (G, True), settled=4, first=5, voters=(F, A, B, C, D)):
        known.change(node, vote)
    side = {F, A, E, G}
    assert not known.count(side.__contains__).carried
    assert known.count({F, A, B, E}.__contains__).carried
    for node in side:
        known.held(node, 6)
    assert not known.settle()
    known.held(B, 6)
    assert known.settle() and known.settled == 6
    assert known.count(side.__contains__) == Count(4, 7, 4)


def test_a_vote_taken_with_consent_is_not_asked_any_more() -> None:
    """Two voters, one leaves: the founder goes on alone. Without its consent it would have to agree itself."""
    known = Electorate(F, "crash")
    [(node, vote)] = changes((A, True))
    known.change(node, vote)
    for voter in (F, A):
        known.held(voter, 1)
    assert known.settle()
    [(node, vote)] = changes((A, False), settled=1, first=2, voters=(F, A))
    without = Vote(vote.ordinal, vote.settled, False, False, vote.roll)
    known.change(node, vote)
    assert known.count({F}.__contains__).carried
    other = Electorate(F, "crash")
    for one in (*changes((A, True)), (node, without)):
        other.change(*one)
    assert not other.count({F}.__contains__).carried


def test_nobody_votes_over_a_hole_and_the_order_of_arrival_changes_nothing() -> None:
    """Late comers hold the newest change of each node only; as long as one is missing, there is no quorum."""
    said = [
        *changes((A, True), (B, True), (C, True)),
        *changes((B, False), settled=3, first=4, voters=(F, A, B, C)),
        *changes((B, True), (D, True), settled=4, first=5, voters=(F, A, C)),
    ]
    newest = [said[0], said[2], said[4], said[5]]  # b was given a vote, lost it, and has it again
    everyone = {F, A, B, C, D}
    for seed in range(24):
        order = newest.copy()
        random.Random(seed).shuffle(order)
        known = Electorate(F, "crash")
        for node, vote in order:
            assert not known.whole or known.latest == 0 or known.latest < 6
            known.change(node, vote)
        assert known.whole and known.settled == 4 and sorted(known.voters()) == sorted(everyone)
        assert known.count(everyone.__contains__).carried
        assert not known.change(*said[0]), "an old change is no news"


def test_a_founder_that_contradicts_itself_leaves_nobody_a_quorum() -> None:
    """Which of its two orders holds, nobody can say."""
    known = five()
    known.void()
    assert not known.count({F, A, B, C, D}.__contains__).carried


def test_an_ordinal_far_ahead_costs_no_more_than_the_changes_that_are_known() -> None:
    """An ordinal is whatever its author wrote: nobody counts up to it. The hole before it takes away the quorum."""
    known = five()
    far = 1 << 62
    known.change(E, Vote(far, 4, True, False, roll_of((F, A, B, C, D, E))))
    assert known.latest == far and not known.whole
    assert not known.count({F, A, B, C, D, E}.__contains__).carried
    assert known.count({F, A, B, C, D, E}.__contains__).voters == 6


@pytest.mark.parametrize("preset", ["crash", "byzantine"])
@given(before=st.integers(2, 60), more=st.integers(1, 30), leaves=st.booleans())
def test_those_who_answer_first_settle_a_change_and_are_no_more_than_it_takes(
    preset: str, before: int, more: int, leaves: bool
) -> None:
    """Whether many get a vote at once or one's is taken: a quorum of the old voters and all new ones suffice."""
    known = Electorate(F, preset)
    names = [node_of(f"n{number}") for number in range(before - 1 + more)]
    old, new = (F, *names[: before - 1]), names[before - 1 :]
    for node, vote in changes(*((node, True) for node in old[1:])):
        known.change(node, vote)
    for node in old:
        known.held(node, before - 1)
    assert known.settle()
    steps = [(old[-1], False)] if leaves else [(node, True) for node in new]
    for node, vote in changes(*steps, settled=before - 1, first=before, voters=old):
        known.change(node, vote)
    first = [node for node in known.voters() if known.answers_first(node, lambda _: True)]
    assert len(first) <= required(before, preset) + (0 if leaves else more)
    for node in first:
        known.held(node, known.latest)
    assert known.settle() and not known.open
