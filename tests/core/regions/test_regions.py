"""Leaders of regions over time: claims, hysteresis, summaries and links, on a clock moved by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import RegionSettings
from arqonmesh.core.events import Applied, Dropped, MemberChanged, MemberExpelled, Withdrawn
from arqonmesh.core.kernel import SECOND, Emit, Event
from arqonmesh.core.regions.core import SUMMARIES_PER_AUTHOR
from arqonmesh.wire.statement import Kind, RegionSummary
from tests.core.regions.world import World, described, mesh
from tests.core.toy import node_of

pytestmark = pytest.mark.requirement("R-CR-9")


def best_of(world: World, region: str) -> tuple[str, ...]:
    """Leaders before anybody claimed anything."""
    return World([(name, *rest) for name, rest in world.members.items()], world.settings).leaders(region)


def test_every_region_has_two_leaders_that_link_it_to_the_others() -> None:
    """Each leader wants links to all leaders of other regions and to the one beside it; nobody else wants any."""
    world = World(mesh("eu", "us", "ap"))
    world.settle()
    leaders = {region: world.leaders(region) for region in ("eu", "us", "ap")}

    assert all(len(names) == 2 for names in leaders.values())
    for name, (region, _) in world.members.items():
        others = sorted(leader for names in leaders.values() for leader in names if leader != name)
        assert sorted(world.wishes[name]) == (others if name in leaders[region] else [])


def test_a_dead_leader_is_replaced_by_one_change_and_the_other_stays() -> None:
    """Everyone names the same new leader, once; the claims that follow change nothing."""
    world = World(mesh("eu", "us"))
    world.settle()
    dead, kept = world.leaders("eu")
    before = {name: len(changes) for name, changes in world.changes.items()}
    world.set_state(dead, "dead")
    world.settle()

    now = world.leaders("eu")
    assert kept in now and dead not in now and len(now) == 2
    assert all(len(world.changes[name]) == before[name] + 1 for name in world.alive())
    assert sorted(world.wishes[kept]) == sorted([*world.leaders("us"), *(name for name in now if name != kept)])
    assert all(dead not in world.wishes[name] for name in world.leaders("us"))


def test_leaders_keep_each_other_when_the_last_other_region_dies() -> None:
    """A hub with a region of its own dies: two spokes of one region would cut the only link that is left to them."""
    world = World(mesh("eu", "us"))
    world.settle()
    one, other = world.leaders("eu")
    for name in [name for name in world.members if name.startswith("us")]:
        world.set_state(name, "dead")
        world.settle()

    assert list(world.wishes[one]) == [other]
    assert list(world.wishes[other]) == [one]


def test_a_mate_that_was_held_dead_for_a_moment_is_still_wanted_when_nobody_else_is_left() -> None:
    """Two survivors may take each other for dead first: whoever gave the wish up would never dial again."""
    world = World(mesh("eu", "us"))
    world.settle()
    one, other = world.leaders("eu")
    for name in [name for name in world.members if name.startswith("us")]:
        world.set_state(name, "dead")
    world.settle()
    world.set_state(other, "dead")
    world.settle()
    assert other in world.wishes[one]
    world.set_state(other, "alive")
    world.settle()
    assert other in world.wishes[one]
    world.set_state(other, "left")
    world.settle()
    assert other not in world.wishes[one]


def test_leaders_of_the_only_region_there_ever_was_want_nothing() -> None:
    """What is kept are wishes that there were."""
    world = World(mesh("eu"))
    world.settle()
    assert not any(world.wishes.values())


def test_a_better_candidate_waits_until_it_has_been_there_for_the_hysteresis() -> None:
    """The best rank comes back after its death: its seat is taken, and it gets one again only after the hold time."""
    world = World(mesh("eu", "us"))
    world.settle()
    best = best_of(world, "eu")
    assert world.leaders("eu") == best
    world.set_state(best[0], "dead")
    world.settle()
    replaced = world.leaders("eu")
    world.set_state(best[0], "alive")
    since = world.now

    world.run_for(59 * SECOND)
    assert world.leaders("eu") == replaced
    world.run_for(20 * SECOND)
    assert world.leaders("eu") == best
    handed_over = [at for at, name, body in world.published if name in replaced and node_of(name) not in body.leaders]
    assert [at - since for at in handed_over] == [60 * SECOND]


def test_a_candidate_that_comes_and_goes_never_gets_a_seat() -> None:
    """The hold time begins anew with each return."""
    world = World(mesh("eu", "us"))
    world.settle()
    best = world.leaders("eu")[0]
    world.set_state(best, "dead")
    world.settle()
    replaced = world.leaders("eu")
    for _ in range(5):
        world.set_state(best, "alive")
        world.run_for(50 * SECOND)
        world.set_state(best, "dead")
        world.run_for(5 * SECOND)
        assert world.leaders("eu") == replaced


def test_suspicion_takes_no_seat() -> None:
    """A leader that is suspected and refutes stays; death is what replaces it."""
    world = World(mesh("eu", "us"))
    world.settle()
    before = world.leaders("eu")
    world.set_state(before[0], "suspect")
    world.run_for(5 * SECOND)

    assert world.leaders("eu") == before


def test_both_sides_of_a_healed_cut_settle_on_two() -> None:
    """Four hold claims when two halves of a region meet; the later terms stand, the others give up."""
    world = World(mesh("eu", "us"))
    world.settle()
    for number, name in enumerate(name for name in world.members if name.startswith("eu")):
        body = RegionSummary(5 + number % 2, (node_of(name),), 1, 0, 0, (), bytes(32), ())
        world.records[node_of(name), "eu"] = body
        for other in world.alive():
            world.hear(other, Applied(node_of(name), Kind.REGION_SUMMARY, "eu", body, b"", other == name))
    leaders = world.leaders("eu")
    world.settle()

    assert leaders == world.leaders("eu")
    assert sorted(leaders) == ["eu1", "eu3"], "those with the later term"
    claiming = [
        world.names[author]
        for (author, region), body in world.records.items()
        if region == "eu" and author in body.leaders
    ]
    assert sorted(claiming) == ["eu1", "eu3"]


@given(st.lists(st.tuples(st.sampled_from([f"eu{n}" for n in range(4)]), st.sampled_from(("alive", "dead", "suspect")),
                          st.integers(0, 70)), max_size=12))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_whatever_happens_everyone_agrees_and_no_seat_is_empty(story: list[tuple[str, str, int]]) -> None:
    """Members of a region die, return, are suspected, at any time: all see the same two leaders, or all who are left;
    a newcomer that knows only the records names the same."""
    world = World(mesh("eu", "us"))
    for name, state, seconds in story:
        if world.states[name] != state:
            world.set_state(name, state)
        world.run_for(seconds * SECOND)
        standing = [other for other in world.alive() if other.startswith("eu")]
        assert len(world.leaders("eu")) == min(2, len(standing))
    world.boot("us0")
    world.leaders("eu")


def test_a_mesh_of_one_region_has_leaders_and_publishes_nothing() -> None:
    """There is nobody to tell."""
    world = World(mesh("eu"))
    world.settle()

    assert len(world.leaders("eu")) == 2
    assert world.published == []
    assert (world.cores["eu0"].alive, sum(core.leading for core in world.cores.values())) == (1, 2)


def test_a_summary_counts_the_region_and_goes_out_when_something_changed() -> None:
    """Not when nothing did, nor for the root alone; at most one per interval and leader."""
    world = World(mesh("eu", "us"))
    world.settle()
    quiet = len(world.published)
    world.run_for(300 * SECOND)
    assert len(world.published) == quiet

    follower = next(name for name in ("eu0", "eu1", "eu2") if name not in world.leaders("eu"))
    for state in ("suspect", "dead", "alive", "dead"):
        world.set_state(follower, state)
        world.run_for(SECOND)
    world.settle()
    for leader in world.leaders("eu"):
        first, second = (at for at, name, _ in world.published[quiet:] if name == leader)
        assert second - first == 10 * SECOND, "four changes within seconds: one at once, the rest in one"
    assert len(world.published) == quiet + 4
    summary = world.records[node_of(world.leaders("eu")[0]), "eu"]
    assert (summary.alive, summary.suspect, summary.dead) == (3, 0, 1)
    assert summary.clusters == ("cluster-e",)
    assert summary.software == (("v1", 4),)
    report = {line.region: line for line in world.cores["us0"].report()}["eu"]
    assert (report.summary, report.summary_by) == (summary, node_of(world.leaders("eu")[0]))
    assert (report.counted.alive, report.counted.dead) == (3, 1)


def test_a_member_that_moves_leads_its_old_region_no_more() -> None:
    """Its claim was for a region that it does not tell any more; a region that nobody tells is forgotten."""
    world = World([("a", "eu", "hub"), ("b", "us", "hub"), ("c", "us", "hub")])
    world.settle()
    for name in world.alive():
        world.hear(name, described("a", "us"))

    assert world.leaders("eu") == ()
    assert [line.region for line in world.cores["b"].report()] == ["us"]


def test_what_is_withdrawn_or_expelled_leads_nothing() -> None:
    """A claim that does not count frees the seat for the best; a node that is no member has none."""
    world = World(mesh("eu", "us"))
    world.settle()
    best, claimant = best_of(world, "eu"), next(name for name in world.members if name not in best_of(world, "eu"))
    body = RegionSummary(9, (node_of(claimant),), 1, 0, 0, (), bytes(32), ())
    core = world.cores["us0"]
    world.hear("us0", Applied(node_of(claimant), Kind.REGION_SUMMARY, "eu", body, b"", False))
    assert node_of(claimant) in core.leaders("eu")

    world.hear("us0", Withdrawn(node_of(claimant), Kind.REGION_SUMMARY, "eu"))
    assert world.named(core.leaders("eu")) == best
    world.hear("us0", MemberExpelled(node_of(best[0]), "test"))
    assert node_of(best[0]) not in core.leaders("eu")


def test_links_between_many_regions_are_bounded_and_follow_addresses() -> None:
    """A leader wants `bridges_max` links at most; a leader that moved is dialled at its new address."""
    regions = [f"r{number}" for number in range(9)]
    world = World(mesh(*regions, size=2), RegionSettings(bridges_max=5))
    wishes = world.wishes["r00"]
    assert len(wishes) == 5 + 1, "and the leader beside it"

    moved = next(name for name in wishes if not name.startswith("r0"))
    world.hear("r00", described(moved, moved[:2], address="new:1"))
    assert world.wishes["r00"][moved] == ("new:1",)


def test_summaries_of_regions_that_are_not_its_own_are_worth_nothing() -> None:
    """Claiming a region that it does not tell gives a member no seat there, and room for a few such claims only."""
    world = World(mesh("eu", "us"))
    world.settle()
    before = world.leaders("eu")
    body = RegionSummary(99, (node_of("us0"),), 1, 0, 0, (), bytes(32), ())
    world.hear("eu0", Applied(node_of("us0"), Kind.REGION_SUMMARY, "eu", body, b"", False))
    assert world.leaders("eu") == before

    core = world.cores["eu0"]
    answers = [
        core.on_event(0, Applied(node_of("us0"), Kind.REGION_SUMMARY, f"x{number}", body, b"", False))
        for number in range(SUMMARIES_PER_AUTHOR + 1)
    ]
    assert answers[-1] == [Emit(Dropped("regions", "summaries-full", 1, node_of("us0")))]


def test_a_state_that_comes_before_its_record_is_kept_for_it() -> None:
    """The order of events within one batch of records does not matter."""
    world = World(mesh("eu"))
    world.hear("eu0", MemberChanged(node_of("late"), "", "alive", 1, "joined"))
    world.names[node_of("late")] = "late"
    world.hear("eu0", described("late", "nz"))

    assert world.named(world.cores["eu0"].leaders("nz")) == ("late",)


def test_a_summary_that_is_refused_is_said_again() -> None:
    """The store takes no more of us for a while: when it does, the seat is claimed and the region told."""
    world = World(mesh("eu", "us"))
    heard = world.hear
    refusing = world.leaders("eu")[0]

    def refused(name: str, event: Event) -> None:
        if not (isinstance(event, Applied) and event.author == node_of(refusing)):
            heard(name, event)

    world.hear = refused  # type: ignore[method-assign]
    world.run_for(120 * SECOND)
    tried = [at for at, name, _ in world.published if name == refusing]
    assert len(tried) >= 3 and world.cores[refusing].report()[0].summary_by != node_of(refusing)
    world.hear = heard  # type: ignore[method-assign]
    world.run_for(120 * SECOND)
    again = [at for at, name, _ in world.published if name == refusing]
    assert len(again) == len(tried) + 1, "taken now, and not said once more"
