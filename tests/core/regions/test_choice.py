"""Who leads a region follows from what is on record, whatever the order in which it came."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.regions.choice import LEAP_MAX, Region, rank_of
from tests.core.toy import node_of

NAMES = tuple(f"n{number}" for number in range(8))
ROLES = ("leader", "hub", "spoke")
STATES = ("alive", "suspect", "dead", "left", "")
Facts = dict[str, tuple[str, str, int | None]]
facts = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.sampled_from(ROLES), st.sampled_from(STATES), st.none() | st.integers(1, 4)),
)
TERMS = (1, 2, LEAP_MAX, LEAP_MAX + 1, 2 * LEAP_MAX + 1, 2 * LEAP_MAX + 2, (1 << 63) - 1)
leaping = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.sampled_from(ROLES), st.sampled_from(STATES), st.none() | st.sampled_from(TERMS)),
)
seats = st.integers(1, 4)
pytestmark = pytest.mark.requirement("R-CR-9")


def region_of(known: Facts, order: list[str] | None = None) -> Region:
    region = Region()
    for name in order or list(known):
        role, state, term = known[name]
        region.claim(node_of(name), term)
        region.stand(node_of(name), rank_of("eu", node_of(name), role), state)
    return region


@given(facts | leaping, seats, st.data())
def test_nodes_with_the_same_records_name_the_same_leaders(known: Facts, count: int, data: st.DataObject) -> None:
    """The records come in another order, some after others of the same member: the leaders are the same."""
    other = region_of(known, data.draw(st.permutations(sorted(known))))
    for name in data.draw(st.lists(st.sampled_from(sorted(known)), max_size=4)) if known else []:
        rank = rank_of("eu", node_of(name), known[name][0])
        other.stand(node_of(name), rank, data.draw(st.sampled_from(STATES)))
        other.claim(node_of(name), None)
        other.claim(node_of(name), known[name][2])
        other.stand(node_of(name), rank, known[name][1])

    assert other.seated(count) == region_of(known).seated(count)


@given(facts, seats)
def test_a_region_has_all_its_leaders_whenever_it_has_that_many_members_alive(known: Facts, count: int) -> None:
    """No seat stays empty while someone stands for it, and only who stands has one."""
    standing = [node_of(name) for name, (_, state, _) in known.items() if state in ("alive", "suspect")]
    seated = region_of(known).seated(count)

    assert len(seated) == min(count, len(standing)) == len(dict.fromkeys(seated))
    assert all(node in standing for node in seated)


@given(facts, seats, st.sampled_from(NAMES))
def test_a_death_changes_at_most_one_seat(known: Facts, count: int, victim: str) -> None:
    """One goes, one comes, the others stay; and nothing at all changes when the dead led nothing."""
    before = region_of(known).seated(count)
    role, _, term = known.get(victim, ("hub", "", None))
    after = region_of(known | {victim: (role, "dead", term)}).seated(count)

    if node_of(victim) not in before:
        assert after == before
    assert [node for node in before if node != node_of(victim)] == [node for node in after if node in before]


@given(facts, seats)
def test_who_claimed_a_seat_keeps_it_and_later_claims_come_first(known: Facts, count: int) -> None:
    """A member that did not claim is seated only when every claimant that stands is."""
    seated = region_of(known).seated(count)
    claimants = sorted(
        (-term, *rank_of("eu", node_of(name), role), node_of(name))
        for name, (role, state, term) in known.items()
        if term is not None and state in ("alive", "suspect")
    )

    assert all(claimant[-1] in seated for claimant in claimants[:count])


@given(facts, seats, st.sampled_from(NAMES), st.integers(4 + LEAP_MAX + 1, (1 << 63) - 1))
def test_a_claim_that_leaps_is_none(known: Facts, count: int, liar: str, term: int) -> None:
    """Whoever claims a term that nobody can have reached is seated as if it had claimed nothing, and raises no term."""
    role, state, _ = known.get(liar, ("hub", "alive", None))
    leapt, silent = region_of(known | {liar: (role, state, term)}), region_of(known | {liar: (role, state, None)})

    assert leapt.seated(count) == silent.seated(count)
    assert leapt.term == silent.term <= 4


def test_a_role_is_preferred_and_a_suspect_is_not() -> None:
    """Among those who claimed nothing: leaders before hubs before spokes, the living before suspects."""
    for better, worse in pairwise(("leader", "hub", "spoke")):
        assert all(rank_of("eu", node_of(a), better) < rank_of("eu", node_of(b), worse) for a in NAMES for b in NAMES)
    known: Facts = dict.fromkeys(NAMES[:3], ("spoke", "alive", None))
    known |= {
        "a hub": ("hub", "alive", None),
        "a leader": ("leader", "alive", None),
        "ill": ("leader", "suspect", None),
    }

    assert region_of(known).seated(2) == (node_of("a leader"), node_of("a hub"))
    assert node_of("ill") not in region_of(known).seated(5)
    assert node_of("ill") not in region_of(known).best(6)


def test_the_choice_spreads_over_regions_and_members() -> None:
    """Rendezvous hashing: a hundred regions with the same members do not load the same two."""
    counts: dict[str, int] = {}
    for number in range(100):
        name = min(NAMES, key=lambda name: rank_of(f"region {number}", node_of(name), "hub"))
        counts[name] = counts.get(name, 0) + 1

    assert len(counts) == len(NAMES)
    assert max(counts.values()) < 30
