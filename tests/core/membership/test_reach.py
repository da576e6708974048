"""Who is reached and who is on an island, kept over changes, is what a fresh search of all links would say; and what a
large cut costs."""

from __future__ import annotations

import cProfile
import random
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import Applied, LinkDown, LinkUp, MemberAdmitted, Persisted
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect
from arqonmesh.core.membership.census import Census
from arqonmesh.core.membership.core import Membership
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.core.membership.islands import Islands
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Accusation, Accusations, Adjacency, Kind
from arqonmesh.wire.statement import Links as LinksRecord
from tests.core.membership.test_evidence import SHORT_US, Bench, lists, says, two_hubs_fell_silent
from tests.core.toy import env_of, key_of, node_of

NAMES = "abcdefghijkl"
ME = node_of("me")
NODES = [node_of(name) for name in NAMES]
names = st.sampled_from(NODES)
some = st.lists(names, max_size=4)
whats = st.sampled_from(["lists", "lists", "counts", "counts no more", "link up", "link down"])
Change = tuple[str, NodeId, list[NodeId], list[NodeId]]


def unreached_with(evidence: Evidence, target: NodeId) -> set[NodeId]:
    """Itself and who vouches for it, searched anew; nobody when one of them is reached."""
    up, counts = evidence._up, evidence.vouching
    island, left = {target}, [target]
    while left:
        node = left.pop()
        if node in evidence.links:
            return set()
        fresh = [author for author in up.get(node, ()) if author in counts and author not in island]
        island.update(fresh)
        left += fresh
    return island


def island_by_definition(evidence: Evidence, target: NodeId, most: int) -> set[NodeId]:
    """As the module's docstring has it."""
    island = unreached_with(evidence, target)
    lost, counts = evidence._lost, evidence.vouching
    outside = [author for author in lost.get(target, ()) if author == ME or (author in counts and author not in island)]
    return island if outside and len(island) <= most else set()


def apply(evidence: Evidence, change: Change) -> Iterable[NodeId]:
    """Whom the change itself names."""
    what, author, up, down = change
    if what == "lists":
        said = {**dict.fromkeys(down, False), **dict.fromkeys(up, True)}
        said.pop(author, None)
        listed = (Adjacency(peer, "up" if said[peer] else "down", "quic", 1_000, 0) for peer in sorted(said))
        return evidence.advertised(0, author, LinksRecord(tuple(listed)))
    if what == "link up":
        evidence.link_up(0, author)
    elif what == "link down" and author in evidence.links:
        evidence.link_down(0, author)
    elif what in ("counts", "counts no more"):
        evidence.vouches(author, counts=what == "counts")
        return evidence.vouched_by(author)
    return [author]


@given(st.lists(st.tuples(whats, names, some, some), max_size=40), st.integers(2, 12), st.integers(1, 4))
def test_islands_are_what_a_fresh_search_says_and_whoever_turned_is_told(
    story: list[Change], most: int, every: int
) -> None:
    """However often it was asked in between: a change that is overlooked would keep a death from being seen, or call a
    living member severed."""
    evidence = Evidence(ME)
    for node in NODES:
        evidence.vouches(node, counts=True)
    before: dict[NodeId, bool] = {}
    told: set[NodeId] = set()
    for number, change in enumerate(story):
        told.update(apply(evidence, change))
        if number % every:
            continue
        told.update(evidence.turned())
        for node in NODES:
            island = island_by_definition(evidence, node, most)
            assert set(evidence.island(node, most)) == island
            cut_off = node in evidence._lost and bool(unreached_with(evidence, node))
            assert cut_off == before.get(node, False) or node in told
            before[node] = cut_off
        told.clear()


def test_a_chain_of_islands_contains_each_that_vouches_for_the_next() -> None:
    """Each is on the island of all behind it, and not the other way round."""
    chain = NODES[:6]
    up: dict[NodeId, tuple[NodeId, ...]] = {after: (before,) for before, after in pairwise(chain)}
    up[chain[2]] = (chain[1], chain[3])
    islands = Islands(up, dict.fromkeys(chain))
    assert [sorted(islands.of(node, 9)) for node in reversed(chain)] == [
        sorted(chain[:many]) for many in (6, 5, 4, 4, 2, 1)
    ]
    assert [len(islands.of(node, 4)) for node in chain] == [1, 2, 4, 4, 0, 0]


def test_when_one_of_an_island_is_linked_again_all_of_it_have_their_usual_time() -> None:
    """A cut that healed at one place: nobody there is out of reach any more."""
    bench = two_hubs_fell_silent()
    for name in "abc":
        bench.tell(lists(name, down="ht"))
    bench.run(SHORT_US)
    bench.tell(lists("a", up="h", down="t"))
    bench.run(1_500 * MILLISECOND)
    assert (bench.state("h"), bench.state("t")) == ("suspect", "suspect")


def test_whom_only_the_severed_vouch_for_is_severed_with_them_along_any_chain() -> None:
    """Nobody said to have lost the one in the middle; the one behind it is out of reach all the same."""
    bench = Bench("abmuw", "cdefg")
    bench.tell(lists("m", up="u"))
    bench.tell(lists("u", up="w"))
    bench.run(10 * SECOND)
    bench.changes.clear()
    bench.mute = "muw"
    bench.tell(LinkDown(node_of("u"), "silent"))
    bench.tell(LinkDown(node_of("w"), "silent"))
    assert bench.changes == []
    bench.tell(LinkDown(node_of("m"), "silent"))
    assert sorted(name for _, name, state in bench.changes if state == "suspect") == ["m", "u", "w"]


def test_the_census_counts_who_came_moved_and_went() -> None:
    """The suspicion's length and how many judges are enough follow from it."""
    census = Census()
    for _ in range(4):
        census.came()
    assert (census.staying, census.known) == (4, 0)
    for old, new in (("", "alive"), ("", "alive"), ("", "left"), ("alive", "dead")):
        census.moved(old, new)  # type: ignore[arg-type]
    assert (census.staying, census.known) == (3, 2)
    census.went("left")
    census.went("dead")
    assert (census.staying, census.known) == (2, 1)


def cut(members: int, away: int, degree: int) -> tuple[list[int], int]:
    """The calls of each turn at one node while `away` of `members` are cut off, are accused, and die; and the links."""
    rng = random.Random(1)
    crowd = ["me", *(f"m{number}" for number in range(members - 1))]
    ids = {name: node_of(name) for name in crowd}
    island = dict.fromkeys(crowd[-away:])
    peers: dict[str, dict[str, None]] = {name: {} for name in crowd}
    for name in crowd:
        while len(peers[name]) < degree:
            other = rng.choice(crowd)
            if other != name:
                peers[name][other] = peers[other][name] = None
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    core.on_event(0, Persisted(1))

    def links(name: str, broken: bool) -> Applied:
        down = [peer for peer in peers[name] if broken and (peer in island) != (name in island)]
        listed = (Adjacency(ids[p], "down" if p in down else "up", "quic", 1_000, 0) for p in peers[name])
        body = LinksRecord(tuple(sorted(listed, key=lambda adjacency: adjacency.peer)))
        return Applied(ids[name], Kind.LINKS, "", body, b"", False)

    core.on_events(0, [MemberAdmitted(ids[name], key_of(name), name, "spoke") for name in crowd[1:]])
    core.on_events(0, [says(name, 1) for name in crowd[1:]])
    for peer in peers["me"]:
        core.on_event(0, LinkUp(ids[peer], "quic"))
    core.on_events(0, [links(name, False) for name in crowd[1:]])
    turns: list[int] = []

    def turn(event: Applied | LinkDown | None) -> None:
        profile = cProfile.Profile()
        profile.enable()
        effects: list[Effect] = core.on_timer(now) if event is None else core.on_event(now, event)
        profile.disable()
        assert effects is not None
        turns.append(sum(entry.callcount for entry in profile.getstats()))

    now = 10 * SECOND
    for peer in peers["me"]:
        if peer in island:
            turn(LinkDown(ids[peer], "silent"))
    near = [name for name in crowd[1:] if name not in island and any(peer in island for peer in peers[name])]
    for name in near:
        turn(links(name, True))
    for level in ("suspect", "dead"):
        for name in near:
            now += MILLISECOND
            there = sorted(ids[peer] for peer in peers[name] if peer in island)
            body = Accusations(tuple(Accusation(node, 1, level) for node in there))
            turn(Applied(ids[name], Kind.ACCUSATIONS, "", body, b"", False))
            if (core.next_deadline() or now + 1) <= now:
                turn(None)
    for _ in range(200):
        now = max(now, core.next_deadline() or now)
        turn(None)
    assert [core.state_of(ids[name]) for name in island] == ["dead"] * away
    return turns, sum(len(known) for known in peers.values())


def test_no_turn_of_a_large_cut_costs_more_than_a_few_walks_of_all_links() -> None:
    """The island is found once for all who are on it, and not once for each: a node that is busy with a cut for tens of
    seconds is taken for dead itself."""
    turns, links = cut(members=200, away=80, degree=8)
    assert max(turns) <= 6 * links
    assert sum(turns) <= len(turns) * links // 3
