"""Partition: reachable, required, writable; on a hand-moved clock."""

from __future__ import annotations

import string
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Forked,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    PartitionChanged,
    Publish,
    ScoreChanged,
    Withdrawn,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Event
from arqonmesh.core.partition.core import MISSING_MAX, Partition
from arqonmesh.core.partition.electorate import roll_of
from arqonmesh.core.partition.phase import HEALING, PARTITIONED, SUSPECT
from arqonmesh.core.partition.quorum import CRITICAL, DEGRADED, HEALTHY, health, required
from arqonmesh.core.partition.reach import Reach
from arqonmesh.core.partition.refusal import sentence_of
from arqonmesh.core.partition.steady import Steady
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Adjacency, Held, Kind, Links, Vote
from tests.core.toy import env_of, key_of, node_of

MS = MILLISECOND


class Side:
    """One partition core, its clock, and what it said."""

    def __init__(self, me: str, members: str, preset: str = "crash") -> None:
        chosen = MembershipSettings(partition_preset="byzantine" if preset == "byzantine" else "crash")
        self.founder = members[0]
        self.core = Partition(env_of(me), chosen, node_of(self.founder))
        self.now = 0
        self.said: list[tuple[int, PartitionChanged]] = []
        self.published: list[Publish] = []
        self.published_at = 0
        self.take(self.core.start(0, {}))
        for name in members:
            self.tell(MemberAdmitted(node_of(name), key_of(name), name, "hub"))
            self.tell(MemberChanged(node_of(name), "", "alive", 1, "joined"))
        self.grant(members[1:])

    def grant(self, names: str) -> None:
        """These vote from now on, and all voters have said that they hold it."""
        electorate = self.core.electorate
        for name in names:
            voters = [*electorate.voters(), node_of(name)]
            vote = Vote(electorate.latest + 1, electorate.settled, True, False, roll_of(voters))
            self.tell(Applied(node_of(self.founder), Kind.VOTE, node_of(name), vote, b"", False))
        for voter in electorate.voters():
            self.tell(Applied(voter, Kind.HELD, "", Held(electorate.latest), b"", False))

    def tell(self, event: Event) -> None:
        self.take(self.core.on_event(self.now, event))

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Emit)
            if isinstance(effect.event, Publish):
                self.published.append(effect.event)
                self.published_at = self.now
            else:
                assert isinstance(effect.event, PartitionChanged)
                self.said.append((self.now, effect.event))

    def run(self, for_us: int) -> PartitionChanged:
        until = self.now + for_us
        while (due := self.core.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.take(self.core.on_timer(self.now))
        self.now = until
        return self.core.view()

    def link(self, *peers: str) -> None:
        for peer in peers:
            self.tell(LinkUp(node_of(peer), "quic"))

    def unlink(self, *peers: str) -> None:
        for peer in peers:
            self.tell(LinkDown(node_of(peer), "silent"))

    def advertise(self, author: str, up: str, down: str = "") -> None:
        listed = sorted([(node_of(n), "up") for n in up] + [(node_of(n), "down") for n in down])
        body = Links(tuple(Adjacency(peer, state, "quic", 1_000, 0) for peer, state in listed))
        self.tell(Applied(node_of(author), Kind.LINKS, "", body, b"", False))


def six(view: PartitionChanged) -> tuple[str, bool, int, int, int, str]:
    return (view.state, view.writable, view.reachable, view.required, view.members, view.preset)


def star(spoke: str = "a", preset: str = "crash") -> Side:
    """Hub h with spokes a and b, seen from `spoke`, healthy."""
    side = Side(spoke, "hab", preset)
    side.link("h")
    side.advertise("h", "ab")
    side.advertise("b" if spoke == "a" else "a", "h")
    assert six(side.run(5 * SECOND)) == (HEALTHY, True, 3, 2 if preset == "crash" else 3, 3, preset)
    return side


def test_the_founder_alone_is_healthy_and_writable() -> None:
    """n = 1: there is nobody to wait for."""
    side = Side("a", "a")
    assert six(side.run(60 * MS)) == (HEALTHY, True, 1, 1, 1, "crash")


@pytest.mark.parametrize(
    ("preset", "table"),
    [
        ("crash", {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 7: 4, 10: 6, 100: 51}),
        ("byzantine", {1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 7: 5, 10: 7, 64: 43, 100: 67, 1_000: 667}),
    ],
)
@pytest.mark.requirement("R-ID-14")
def test_the_quorum_of_each_preset(preset: str, table: dict[int, int]) -> None:
    """The tables of algorithms 0 and 2.1."""
    assert {n: required(n, preset) for n in table} == table


@given(st.integers(1, 2_000), st.sampled_from(["crash", "byzantine"]))
def test_two_quorums_always_meet(n: int, preset: str) -> None:
    """In one member at least; under the byzantine preset in more than f."""
    overlap = 2 * required(n, preset) - n
    f = max(0, -(-n // 3) - 1)
    assert overlap >= 1
    if preset == "byzantine":
        assert overlap > f


@pytest.mark.requirement("R-PA-2")
def test_the_health_classes() -> None:
    """Half unreachable is critical, anything less is degraded."""
    assert [health(4, reachable) for reachable in (4, 3, 2, 1)] == [HEALTHY, DEGRADED, CRITICAL, CRITICAL]
    assert [health(5, reachable) for reachable in (5, 4, 3, 2)] == [HEALTHY, DEGRADED, DEGRADED, CRITICAL]


@pytest.mark.requirement("R-PA-1")
def test_a_node_whose_links_are_all_down_says_so_in_the_same_moment() -> None:
    """No timer, no probe: LinkDown of the last link is PartitionChanged."""
    side = star()
    side.unlink("h")
    assert six(side.said[-1][1]) == (CRITICAL, False, 1, 2, 3, "crash")
    assert side.said[-1][0] == side.now


def test_the_rest_sees_a_spoke_missing_as_soon_as_the_hub_says_so() -> None:
    """One record of the hub is enough, although the spoke's own record still claims the link; within 50 ms."""
    side = star("b")
    side.advertise("h", "b", down="a")
    assert six(side.run(50 * MS)) == (DEGRADED, True, 2, 2, 3, "crash")
    assert not side.core.reaches(node_of("a"))


def test_three_nodes_under_the_byzantine_preset_lose_writing_with_any_one() -> None:
    """f = 0 of 3: safe and brittle, as documented."""
    side = star("b", "byzantine")
    side.advertise("h", "b", down="a")
    assert six(side.run(50 * MS)) == (DEGRADED, False, 2, 3, 3, "byzantine")


def test_writing_resumes_only_after_the_quorum_stayed_in_reach_for_a_second() -> None:
    """Losing is immediate; a flapping link keeps the side read-only."""
    side = star()
    for _ in range(5):
        side.unlink("h")
        assert not side.core.writable
        side.run(300 * MS)
        side.link("h")
        side.run(900 * MS)
        assert not side.core.writable
    seen = side.run(200 * MS)
    assert six(seen) == (HEALTHY, True, 3, 2, 3, "crash")


def test_an_improving_class_does_not_lend_its_time_to_the_quorum() -> None:
    """Ten members, byzantine: six in reach are degraded for a while, then a seventh comes; it has to stay a second."""
    side = Side("a", "abcdefghij", "byzantine")
    side.run(SECOND)
    side.link(*"bcdef")
    side.run(950 * MS)
    side.link("g")
    side.run(500 * MS)
    assert (side.core.view().state, side.core.writable, side.core.view().reachable) == (DEGRADED, False, 7)
    side.run(600 * MS)
    assert side.core.writable


def test_the_dead_and_the_ignored_are_not_reachable_but_count() -> None:
    """n stays; only leaving shrinks it, once the founder has said so."""
    side = Side("a", "abcd")
    side.link("b", "c", "d")
    side.run(5 * SECOND)
    side.tell(MemberChanged(node_of("b"), "suspect", "dead", 1, "x"))
    side.tell(ScoreChanged(node_of("c"), 100_000, "malformed", True))
    assert six(side.run(50 * MS)) == (CRITICAL, False, 2, 3, 4, "crash")
    side.tell(MemberChanged(node_of("b"), "dead", "left", 1, "x"))
    side.tell(ScoreChanged(node_of("c"), 600_000, "forgiven", False))
    assert six(side.run(3 * SECOND)) == (HEALTHY, True, 3, 3, 3, "crash")
    [taken] = side.published
    side.tell(Applied(node_of("a"), Kind.VOTE, taken.key, taken.body, b"", True))
    assert six(side.run(3 * SECOND)) == (HEALTHY, True, 3, 2, 3, "crash")


def test_whom_a_node_ignores_is_no_partition() -> None:
    """A ban takes a vote, and the quorum; but nothing is cut, so the phase is that of a whole mesh."""
    side = Side("a", "abcd")
    side.link("b", "c", "d")
    side.run(5 * SECOND)
    side.tell(ScoreChanged(node_of("c"), 0, "banned", True))
    seen = side.run(3 * SECOND)
    assert (seen.writable, seen.phase, seen.votes, seen.votes_ignored) == (True, HEALTHY, 3, 1)
    assert ([node for node, _ in seen.missing], seen.ignored) == ([node_of("c")], (node_of("c"),))
    side.tell(ScoreChanged(node_of("d"), 0, "banned", True))
    seen = side.run(3 * SECOND)
    assert (seen.writable, seen.phase, seen.by_ignoring) == (False, HEALTHY, True)
    assert "; ignored here: " in sentence_of(seen), "by a ban, a proof, or what it saw"
    side.unlink("c")
    seen = side.run(3 * SECOND)
    assert (seen.phase, seen.ignored, seen.votes_ignored) == (PARTITIONED, (node_of("d"),), 1)
    assert seen.by_ignoring, "with d's vote there would be a quorum"
    side.unlink("d")
    assert not side.run(3 * SECOND).by_ignoring


def test_a_suspect_is_reachable() -> None:
    """Suspicion is a question, not an answer."""
    side = star()
    side.tell(MemberChanged(node_of("b"), "alive", "suspect", 1, "x"))
    assert side.run(SECOND).reachable == 3


def test_our_own_farewell_from_an_earlier_life_does_not_count() -> None:
    """Until our new record is out, the membership may call ourselves left; we are here."""
    side = star()
    side.tell(MemberChanged(node_of("a"), "", "left", 1, "left"))
    assert side.run(SECOND).members == 3


def test_no_path_leads_through_a_dead_node() -> None:
    """Records of a crashed hub linger; membership takes it out, and with it what it connected."""
    side = star()
    side.tell(MemberChanged(node_of("h"), "suspect", "dead", 1, "x"))
    assert side.run(50 * MS).reachable == 1


def test_a_link_that_only_one_end_reports_does_not_count() -> None:
    """The two-way check."""
    side = Side("a", "abc")
    side.link("b")
    side.advertise("b", "ac")
    assert side.run(SECOND).reachable == 2
    side.advertise("c", "b")
    assert side.run(SECOND).reachable == 3


def test_links_to_strangers_reach_nobody() -> None:
    """Only the roster counts."""
    side = Side("a", "ab")
    side.link("b", "x")
    side.advertise("b", "axy")
    side.advertise("x", "ab")
    assert six(side.run(3 * SECOND)) == (HEALTHY, True, 2, 2, 2, "crash")


def test_a_new_member_is_given_its_vote_once_it_is_in_reach() -> None:
    """A mesh of one that admits a second stays writable until that one is there, and then both have to agree."""
    side = Side("a", "a")
    side.run(SECOND)
    side.tell(MemberAdmitted(node_of("b"), key_of("b"), "b", "spoke"))
    assert six(side.run(SECOND)) == (CRITICAL, True, 1, 1, 2, "crash")
    assert side.published == []
    side.tell(MemberChanged(node_of("b"), "", "alive", 1, "joined"))
    side.link("b")
    assert six(side.run(2 * SECOND)) == (HEALTHY, True, 2, 1, 2, "crash")
    [said] = side.published
    assert isinstance(said.body, Vote) and (said.key, said.body.ordinal, said.body.granted) == (node_of("b"), 1, True)
    side.tell(Applied(node_of("a"), Kind.VOTE, said.key, said.body, b"", True))
    assert six(side.run(SECOND)) == (HEALTHY, True, 2, 2, 2, "crash")
    side.unlink("b")
    assert not side.core.writable


def test_the_founder_takes_the_vote_of_a_member_that_left_and_no_other() -> None:
    """A dead one keeps it. The vote that is taken with its owner's consent is not asked any more at once."""
    side = Side("a", "abc")
    side.link("b", "c")
    side.run(3 * SECOND)
    side.unlink("b", "c")
    side.tell(MemberChanged(node_of("c"), "alive", "dead", 1, "x"))
    side.run(3 * SECOND)
    assert side.published == []
    side.link("b")
    side.tell(MemberChanged(node_of("c"), "dead", "left", 1, "left"))
    side.run(3 * SECOND)
    [said] = side.published
    assert isinstance(said.body, Vote)
    assert (said.key, said.body.granted, said.body.consent) == (node_of("c"), False, True)
    side.tell(Applied(node_of("a"), Kind.VOTE, said.key, said.body, b"", True))
    side.run(SECOND)
    view = side.core.view()
    assert (view.votes, view.voters, view.required, view.writable) == (2, 2, 2, True)


def test_a_voter_says_once_how_far_it_holds_the_order_of_votes() -> None:
    """And not at all when it sees a hole in it."""
    side = Side("b", "ab")
    side.link("a")
    side.run(3 * SECOND)
    side.tell(MemberAdmitted(node_of("c"), key_of("c"), "c", "spoke"))
    voters = [node_of(name) for name in "abcd"]
    for ordinal, name in ((3, "d"), (2, "c")):
        vote = Vote(ordinal, 1, True, False, roll_of(voters[: ordinal + 1]))
        side.tell(Applied(node_of("a"), Kind.VOTE, node_of(name), vote, b"", False))
        side.run(SECOND)
        if name == "d":
            assert side.published == [] and not side.core.writable
    assert [publish.body for publish in side.published] == [Held(3)]
    side.run(10 * SECOND)
    assert len(side.published) == 1


TWELVE = "abcdefghijkl"
FORTY = string.ascii_letters[:40]


def one_more(me: str, voters: str) -> Side:
    """One of these voters, all of which the first leads to; it has just heard that `+` votes, too."""
    side = Side(me, voters)
    side.link(voters[0])
    side.advertise(voters[0], voters[1:])
    for other in voters[1:].replace(me, ""):
        side.advertise(other, voters[0])
    side.run(5 * SECOND)
    side.published.clear()
    count = len(voters)
    vote = Vote(count, count - 1, True, False, roll_of([*side.core.electorate.voters(), node_of("+")]))
    side.tell(Applied(node_of(voters[0]), Kind.VOTE, node_of("+"), vote, b"", False))
    return side


def test_of_many_voters_a_quorum_says_that_it_holds_a_change_and_the_others_wait_for_it() -> None:
    """Who was not drawn says so only when those who were have kept silent for three seconds."""
    drawn = 0
    for me in TWELVE[1:]:
        side = one_more(me, TWELVE)
        side.run(2_900 * MS)
        drawn += len(side.published)
        side.run(200 * MS)
        assert side.published == [Publish(Kind.HELD, "", Held(12))]
    assert required(12, "crash") - 1 <= drawn <= required(12, "crash")


def most_within_a_second(times: list[int]) -> int:
    return max(sum(begin <= at < begin + SECOND for at in times) for begin in times)


def test_of_very_many_voters_few_say_so_in_any_second() -> None:
    """Each such statement is work for every member; the others wait until all that were drawn should have spoken."""
    said_at: list[int] = []
    for me in FORTY[1:]:
        side = one_more(me, FORTY)
        began = side.now
        while not side.published:
            due = side.core.next_deadline()
            assert due is not None
            side.run(due - side.now)
        said_at.append(side.now - began)
    first = sorted(at for at in said_at if at <= 4_050 * MS)
    assert required(40, "crash") - 1 <= len(first) <= required(40, "crash")
    late = [at for at in said_at if at > 4_050 * MS]
    assert min(late) >= 7 * SECOND
    assert most_within_a_second(first) <= 10
    assert most_within_a_second(late) <= 10


def test_however_many_they_are_they_say_so_within_ten_seconds() -> None:
    """Those that were drawn, of a hundred and fifty."""
    many = "".join(chr(0x100 + number) for number in range(150))
    drawn = 0
    for me in many[1:25]:
        side = one_more(me, many)
        first = side.core.electorate.answers_first(node_of(me), side.core.reaches)
        side.run(10_050 * MS)
        drawn += first
        assert bool(side.published) is first
    assert drawn >= 8


def test_those_who_come_together_are_counted_before_anybody_speaks() -> None:
    """Of one voter and thirty-nine more at once, all are to say so: over four seconds, and not as one by one."""
    said_at: list[int] = []
    for me in FORTY[1:]:
        side = Side(me, FORTY[0])
        side.link(FORTY[0])
        side.run(5 * SECOND)
        side.published.clear()
        voters = [node_of(FORTY[0])]
        for ordinal, name in enumerate(FORTY[1:], 1):
            side.tell(MemberAdmitted(node_of(name), key_of(name), name, "hub"))
            side.tell(MemberChanged(node_of(name), "", "alive", 1, "joined"))
            voters.append(node_of(name))
            vote = Vote(ordinal, 0, True, False, roll_of(voters))
            side.tell(Applied(node_of(FORTY[0]), Kind.VOTE, node_of(name), vote, b"", False))
        began = side.now
        side.run(5 * SECOND)
        assert side.published == [Publish(Kind.HELD, "", Held(39))]
        said_at.append(side.published_at - began)
    assert most_within_a_second(said_at) <= 18
    assert max(said_at) <= 4_050 * MS


def test_a_change_that_comes_while_others_are_waited_for_has_its_own_time() -> None:
    """Who was not drawn for the one may be drawn for the next."""
    for me in TWELVE[1:]:
        side = one_more(me, TWELVE)
        side.run(SECOND)
        if side.published:
            continue
        electorate = side.core.electorate
        vote = Vote(13, 11, True, False, roll_of([*electorate.voters(), node_of("-")]))
        side.tell(Applied(node_of("a"), Kind.VOTE, node_of("-"), vote, b"", False))
        drawn = electorate.answers_first(node_of(me), side.core.reaches)
        side.run(100 * MS)
        assert bool(side.published) is drawn


def test_who_waited_for_the_others_keeps_silent_once_it_is_settled() -> None:
    """What they have said is enough."""
    silent = 0
    for me in TWELVE[1:]:
        side = one_more(me, TWELVE)
        side.run(500 * MS)
        if side.published:
            continue
        silent += 1
        for voter in TWELVE.replace(me, "+"):
            side.tell(Applied(node_of(voter), Kind.HELD, "", Held(12), b"", False))
        side.run(5 * SECOND)
        assert side.published == []
    assert silent >= 12 - required(12, "crash") - 1


def test_a_founder_that_forked_makes_every_side_read_only_at_once() -> None:
    """Others may have counted the founder's other word: nobody can say any more what a quorum is. What a member that
    is not the founder says about votes has never counted, and its fork takes nothing away."""
    side = star()
    side.tell(Forked(node_of("b"), 1, 1, b"one", b"other"))
    side.tell(Withdrawn(node_of("b"), Kind.VOTE, node_of("a")))
    assert side.run(SECOND).writable
    side.tell(Forked(node_of("h"), 1, 1, b"one", b"other"))
    assert not side.core.view().writable
    assert not side.run(10 * SECOND).writable


def test_a_founder_that_forked_in_an_earlier_life_leaves_a_restarted_node_read_only() -> None:
    """After a restart only what was said before the fork is told, and that alone would carry: the verdict is too."""
    side = Side("a", "hab")
    side.tell(Forked(node_of("h"), 1, 9, b"one", b"other", restored=True))
    side.link("h")
    side.advertise("h", "ab")
    side.advertise("b", "h")
    assert side.run(10 * SECOND).reachable == 3
    assert not side.core.view().writable


def test_who_is_missing_is_named_with_the_time_and_bounded() -> None:
    """Longest first, at most MISSING_MAX, and a count of the rest; the phases on the way there and back."""
    names = "abcdefghijklmnopqrstu"
    side = Side("a", names)
    side.link(*names[1:])
    side.run(3 * SECOND)
    assert (side.core.view().phase, side.core.view().missing) == (HEALTHY, ())
    side.unlink("b")
    assert side.run(100 * MS).phase == SUSPECT
    [(node, since)] = side.core.view().missing
    assert node == node_of("b") and since == 1_700_000_000_000
    side.link("b")
    assert side.run(100 * MS).phase == HEALTHY
    side.unlink("b")
    assert side.run(2 * SECOND).phase == PARTITIONED
    side.link("b")
    assert side.run(100 * MS).phase == HEALING
    side.unlink(*names[1:])
    assert side.core.view().phase == PARTITIONED
    assert (len(side.core.view().missing), side.core.view().missing_more) == (MISSING_MAX, 4)
    side.link(*names[1:])
    side.run(100 * MS)
    assert (side.core.view().phase, side.run(2 * SECOND).phase) == (HEALING, HEALTHY)


def test_nothing_is_said_twice() -> None:
    """Repeated records, repeated links, ticks without cause."""
    side = star()
    said = len(side.said)
    for _ in range(10):
        side.advertise("h", "ab")
        side.link("h")
        side.take(side.core.on_timer(side.now))
        side.run(SECOND)
    assert len(side.said) == said


def views_of(names: str, edges: list[tuple[str, str]], preset: str) -> dict[str, PartitionChanged]:
    """What each node says when exactly these links are up and all records have been heard inside each component."""
    out = {}
    for me in names:
        side = Side(me, names, preset)
        neighbours = {n: [b if a == n else a for a, b in edges if n in (a, b)] for n in names}
        side.link(*neighbours[me])
        for other in names:
            if other != me:
                side.advertise(other, "".join(neighbours[other]))
        out[me] = side.run(5 * SECOND)
    return out


@pytest.mark.parametrize("preset", ["crash", "byzantine"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7])
@pytest.mark.requirement("R-PA-10")
def test_for_every_cut_in_two_at_most_one_side_is_writable(n: int, preset: str) -> None:
    """Exhaustive over all two-partitions; each side a full mesh."""
    names = "abcdefg"[:n]
    for size in range(1, n // 2 + 1):
        for part in combinations(names, size):
            rest = [name for name in names if name not in part]
            edges = [*combinations(part, 2), *combinations(rest, 2)]
            views = views_of(names, edges, preset)
            one = [views[name].writable for name in part]
            two = [views[name].writable for name in rest]
            assert not (any(one) and any(two))
            assert len(dict.fromkeys(one)) == len(dict.fromkeys(two)) == 1
            assert any(two) == (len(rest) >= required(n, preset))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25))
@settings(deadline=None)
def test_the_component_is_that_of_a_union_of_sets(pairs: list[tuple[int, int]]) -> None:
    """Breadth first over two-way links against merging sets until nothing changes."""
    nodes = [NodeId(str(index)) for index in range(10)]
    parts = [{node} for node in nodes]
    says: dict[NodeId, dict[NodeId, None]] = {node: {} for node in nodes}
    reach = Reach(nodes[0])
    for a, b in pairs:
        if a == b:
            continue
        says[nodes[a]][nodes[b]] = None
        says[nodes[b]][nodes[a]] = None
        if 0 in (a, b):
            reach.link_up(nodes[a + b])
        one = next(part for part in parts if nodes[a] in part)
        two = next(part for part in parts if nodes[b] in part)
        if one is not two:
            parts.remove(two)
            one |= two
    for node in nodes[1:]:
        reach.advertised(node, tuple(says[node]))
    assert set(reach.component(lambda node: True)) == next(part for part in parts if nodes[0] in part)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2)), max_size=40))
def test_a_steady_level_is_the_worst_of_the_newest_second(history: list[tuple[int, int]]) -> None:
    """Never better than anything seen within that time; and what it is, once it stays so."""
    steady, now = Steady(2, 1_000), 0
    seen: list[tuple[int, int]] = [(0, 2)]
    for wait, level in history:
        now += wait
        steady.observe(now, level)
        seen.append((now, level))
        assert steady.level >= max(level for at, level in seen if at > now - 1_000)
    last = history[-1][1] if history else 2
    while steady.due is not None:
        now = steady.due
        steady.observe(now, last)
    assert steady.level == last
