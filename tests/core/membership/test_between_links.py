"""A member to which nobody says to have a link yet is not reached by pings, and their silence says nothing."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LifeguardSettings, MembershipSettings
from arqonmesh.core.events import Applied, LinkSilent
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.wire.statement import Adjacency, Links
from tests.core.membership.test_evidence import Bench, lists
from tests.core.toy import node_of


def to_me() -> Links:
    return Links((Adjacency(node_of("me"), "up", "quic", 1_000, 0),))


SUSPECTED_BY = 8 * SECOND
"""Where others have links to it, three probes in vain are needed."""


def newcomer(settings: MembershipSettings | None = None) -> Bench:
    """Of three members that answer, two are linked to us and the third to the first of these; t says that it lives, and
    has answered nothing yet."""
    bench = Bench("hb", "ct", settings)
    bench.tell(lists("h", up="bc"))
    bench.tell(lists("c", up="h"))
    bench.mute = "t"
    return bench


def test_a_newcomer_is_not_suspected_before_anybody_says_to_have_a_link_to_it() -> None:
    bench = newcomer()
    bench.run(SUSPECTED_BY)
    assert bench.state("t") == "alive"


def test_nor_is_one_that_says_so_alone() -> None:
    """The other end's record is on its way."""
    bench = newcomer()
    bench.tell(lists("t", up="h"))
    bench.run(SUSPECTED_BY)
    assert bench.state("t") == "alive"


def test_as_soon_as_the_other_end_says_so_too_silence_counts() -> None:
    bench = newcomer()
    bench.tell(lists("t", up="h"))
    bench.run(2 * SECOND)
    bench.tell(lists("h", up="bct"))
    bench.run(SUSPECTED_BY)
    assert bench.state("t") != "alive"


def test_who_never_has_a_link_is_suspected_all_the_same() -> None:
    """Ten seconds later than others."""
    bench = newcomer()
    bench.run(10 * SECOND + SUSPECTED_BY)
    assert bench.state("t") != "alive"


def test_nor_can_anybody_else_keep_it_from_being_suspected() -> None:
    """Whoever says to have a link to it for a moment, again and again, wins no time after those ten seconds."""
    bench = newcomer()
    bench.run(10 * SECOND)
    for _ in range(20):
        bench.tell(lists("c", up="ht"))
        bench.run(100 * MILLISECOND)
        bench.tell(lists("c", up="h"))
        bench.run(400 * MILLISECOND)
    assert bench.state("t") != "alive"


def test_a_member_that_was_there_all_along_has_no_such_time() -> None:
    """Its neighbour was away for a moment and has forgotten it: nobody says that it lost a link to it."""
    bench = newcomer()
    bench.mute = ""
    bench.tell(lists("t", up="h"))
    bench.tell(lists("h", up="bct"))
    bench.run(20 * SECOND)
    bench.mute = "t"
    bench.tell(lists("h", up="bc"))
    bench.run(5 * SECOND)
    assert bench.state("t") != "alive"


def test_of_our_own_links_we_know() -> None:
    """What it says of its link to us says nothing."""
    evidence = Evidence(node_of("me"))
    evidence.vouches(node_of("me"), counts=True)
    evidence.advertised(0, node_of("t"), to_me())
    assert not evidence.is_between_links(node_of("t"))


def test_who_hears_nothing_waits_for_that_apart() -> None:
    """A probe that waited for a link has still its time for a neighbour that stands still."""
    bench = newcomer()
    bench.run(10 * SECOND)
    for name in "hb":
        bench.tell(LinkSilent(node_of(name), 500 * MILLISECOND))
    bench.run(6 * SECOND)
    assert bench.state("t") == "alive"


def test_nor_is_one_between_links_that_has_said_nothing_and_whose_link_somebody_lost() -> None:
    bench = newcomer()
    bench.tell(lists("h", up="bc", down="t"))
    bench.run(SUSPECTED_BY)
    assert bench.state("t") != "alive"


def test_whose_word_does_not_count_takes_no_newcomers_time() -> None:
    """Who is dead or was expelled says of everybody that it lost a link."""
    evidence = Evidence(node_of("me"))
    evidence.advertised(0, node_of("x"), Links((Adjacency(node_of("t"), "down", "quic", 1_000, 0),)))
    assert evidence.is_between_links(node_of("t"))
    evidence.vouches(node_of("x"), counts=True)
    assert not evidence.is_between_links(node_of("t"))


@pytest.mark.parametrize("together", [False, True], ids=["alone", "with others"])
def test_an_old_member_that_tells_of_a_new_link_has_ten_seconds_from_then(together: bool) -> None:
    """Its only link is gone and it has another by now; the other end has not said so yet."""
    bench = newcomer()
    bench.mute = ""
    bench.tell(lists("c", up="ht"))
    bench.tell(lists("t", up="c"))
    bench.run(20 * SECOND)
    bench.mute = "t"
    bench.tell(lists("c", up="h"))
    news = [lists("t", up="h")]
    if together:
        bench.take(bench.core.on_events(bench.now, [*news, lists("b", up="h")]))
    else:
        bench.tell(news[0])
    bench.run(SUSPECTED_BY)
    assert bench.state("t") == "alive"
    bench.run(10 * SECOND)
    assert bench.state("t") != "alive"


def test_who_has_no_link_at_all_judges_at_once() -> None:
    """In private: it is as likely the one that is cut off."""
    bench = Bench("", "t")
    bench.mute = "t"
    bench.run(SUSPECTED_BY)
    assert bench.state("t") != "alive"


def test_a_newcomer_that_no_ping_could_reach_says_nothing_about_our_own_health() -> None:
    bench = newcomer()
    bench.nacks = False
    bench.run(10 * SECOND + SUSPECTED_BY)
    assert bench.core.local_health == 0


@pytest.mark.parametrize(
    "settings",
    [
        MembershipSettings(link_evidence_ms=0),
        MembershipSettings(lifeguard=LifeguardSettings(local_health=False, suspicion=False, buddy=False)),
    ],
    ids=["links are no evidence", "plain SWIM"],
)
def test_switched_off_silence_always_counts(settings: MembershipSettings) -> None:
    bench = newcomer(settings)
    bench.run(SUSPECTED_BY)
    assert bench.state("t") != "alive"


@pytest.mark.parametrize(
    ("own", "hubs", "between"),
    [
        (None, lists("h", up="b"), True),
        (lists("t", up="h"), lists("h", up="b"), True),
        (lists("t", up="h"), lists("h", up="b", down="t"), True),
        (lists("t", up="h"), lists("h", up="bt"), False),
        (None, lists("h", up="bt"), False),
        (lists("t", up="g"), lists("h", up="b"), False),
        (lists("t"), lists("h", up="b"), False),
    ],
    ids=[
        "has said nothing yet",
        "says so alone",
        "has another by now, or is gone, which the hub tells",
        "both say so",
        "the other says so",
        "had one to a member that is dead: nobody will tell",
        "says that it has none",
    ],
)
def test_when_a_member_is_between_links(own: Applied | None, hubs: Applied, between: bool) -> None:
    evidence = Evidence(node_of("me"))
    for name in "hb":
        evidence.vouches(node_of(name), counts=True)
    for said in (hubs, own):
        if said is not None:
            assert isinstance(said.body, Links)
            evidence.advertised(0, said.author, said.body)
    assert evidence.is_between_links(node_of("t")) is between
