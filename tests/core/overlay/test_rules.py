"""Each rule of the overlay, on one core and a clock moved by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.events import (
    Dropped,
    Fault,
    LinkUp,
    LinkWanted,
    MemberChanged,
    MemberDescribed,
    MemberIntroduced,
    NeighbourDown,
    NeighbourUp,
    OverlayRuns,
    ScoreChanged,
)
from arqonmesh.core.overlay.neighbourhood import ATTEMPTS_MAX, CANDIDATES, SEEKING_MAX
from arqonmesh.wire.messages import (
    OverlayDisconnect,
    OverlayForwardJoin,
    OverlayJoin,
    OverlayNeighbour,
    OverlayNeighbourReply,
    OverlayShuffle,
    OverlayShuffleReply,
)
from tests.core.overlay.hand import Hand, events, sent
from tests.core.toy import node_of


def full() -> Hand:
    """Two chosen neighbours, three given ones: every place is taken."""
    hand = Hand()
    hand.chosen("c1", "c2")
    hand.given("g1", "g2", "g3")
    assert len(hand.active) == 5
    return hand


# --- joining -----------------------------------------------------------------------------------------------------


def test_a_newcomer_joins_through_whom_it_was_told_of() -> None:
    """It dials, asks when the link is up, and counts the contact when that has answered."""
    hand = Hand()
    hand.event(MemberIntroduced(node_of("contact")))
    hand.wait(0)
    assert hand.wished() == [node_of("contact")]
    assert sent(hand.link("contact"), OverlayJoin) == [(node_of("contact"), OverlayJoin())]
    assert node_of("contact") not in hand.active

    effects = hand.hears("contact", OverlayNeighbourReply(True, (node_of("other"),)))

    assert hand.active == (node_of("contact"),)
    assert events(effects, NeighbourUp) == [NeighbourUp(node_of("contact"), chosen=True)]
    assert hand.passive == (node_of("other"),)


def test_a_contact_takes_the_newcomer_in_and_tells_its_other_neighbours() -> None:
    """One random walk begins at each of them."""
    hand = Hand()
    hand.given("a", "b")
    hand.link("new")
    effects = hand.hears("new", OverlayJoin())

    assert node_of("new") in hand.active
    assert {to for to, _ in sent(effects, OverlayForwardJoin)} == {node_of("a"), node_of("b")}
    (reply,) = sent(effects, OverlayNeighbourReply)
    assert reply[0] == node_of("new")
    assert reply[1].accepted


def test_a_node_that_joins_again_and_again_starts_no_more_walks() -> None:
    """One join is worth one round of walks, or a newcomer would be an amplifier."""
    hand = Hand()
    hand.given("a", "b")
    hand.link("new")
    hand.hears("new", OverlayJoin())
    hand.unlink("new")
    hand.link("new")
    effects = hand.hears("new", OverlayJoin())

    assert sent(effects, OverlayForwardJoin) == []
    assert [drop.reason for drop in events(effects, Dropped)] == ["join-again"]


def test_a_walk_is_passed_on_with_a_step_less_and_noted_at_prwl() -> None:
    """Away from whom it came from and from whom it is about."""
    hand = Hand()
    hand.given("a", "b")
    for ttl, noted in ((5, False), (3, True)):
        effects = hand.hears("a", OverlayForwardJoin(node_of("new"), ttl))
        assert sent(effects, OverlayForwardJoin) == [(node_of("b"), OverlayForwardJoin(node_of("new"), ttl - 1))]
        assert (node_of("new") in hand.passive) is noted


def test_at_the_end_of_a_walk_the_newcomer_is_only_asked() -> None:
    """It is no neighbour before it has answered, and then a given one: somebody else named it."""
    hand = Hand()
    hand.given("a")
    hand.hears("a", OverlayForwardJoin(node_of("new"), 0))
    assert node_of("new") in hand.wished()
    assert node_of("new") not in hand.active
    assert sent(hand.link("new"), OverlayNeighbour) == [(node_of("new"), OverlayNeighbour(False))]

    effects = hand.hears("new", OverlayNeighbourReply(True, ()))

    assert events(effects, NeighbourUp) == [NeighbourUp(node_of("new"), chosen=False)]


def test_a_newcomer_that_cannot_be_reached_is_not_added() -> None:
    """The attempt ends with its time, and the wish for the link with it."""
    hand = Hand()
    hand.given("a")
    hand.hears("a", OverlayForwardJoin(node_of("ghost"), 0))
    hand.wait(hand.settings.neighbour_timeout_ms)

    assert node_of("ghost") not in (*hand.active, *hand.passive, *hand.wished())


# --- failures ----------------------------------------------------------------------------------------------------


def test_a_broken_link_promotes_a_spare_member_at_once() -> None:
    """Dialled in the same step; a neighbour only once it has answered."""
    hand = Hand()
    hand.chosen("c1", "c2")
    hand.given("g1", "g2")
    hand.hears("g1", OverlayShuffle(1, (node_of("g1"),), 0, (node_of("spare"),)))
    effects = hand.unlink("c1")
    assert events(effects, NeighbourDown) == [NeighbourDown(node_of("c1"), "liveness")]
    wanted = [(event.peer, bool(event.addresses)) for event in events(effects, LinkWanted)]
    assert wanted == [(node_of("c1"), False), (node_of("spare"), True)]
    assert node_of("spare") not in hand.active

    hand.link("spare")
    assert node_of("spare") not in hand.active
    hand.hears("spare", OverlayNeighbourReply(True, ()))
    assert node_of("spare") in hand.active
    assert node_of("spare") not in hand.passive


def test_a_spare_member_that_does_not_answer_goes() -> None:
    """From the passive view to those that are looked for now and then."""
    hand = Hand()
    hand.given("g1")
    hand.hears("g1", OverlayShuffle(1, (node_of("g1"),), 0, (node_of("ghost"),)))
    hand.wait(1_500)
    assert node_of("ghost") in hand.wished()
    hand.wait(hand.settings.neighbour_timeout_ms)

    assert node_of("ghost") not in hand.passive
    assert node_of("ghost") in hand.overlay.report().lost


def test_a_dial_that_is_slow_holds_up_no_other() -> None:
    """After a quarter of its time others are dialled beside it; it may still answer, and has all of its time to."""
    hand = Hand()
    hand.given("g1")
    for number in range(30):
        hand.overlay._hood.recall(node_of(f"ghost{number}"))
    while len(hand.wished()) < 2:
        hand.wait(10)
    first = [node for node in hand.wished() if node != node_of("g1")]
    hand.wait(hand.settings.neighbour_timeout_ms // 4)
    both = [node for node in hand.wished() if node != node_of("g1")]
    assert 0 < len(first) <= SEEKING_MAX
    assert first == both[: len(first)], "none is given up yet"
    assert len(both) == 2 * len(first)
    assert sent(hand.event(LinkUp(first[0], "test")), OverlayNeighbour) == [(first[0], OverlayNeighbour(False))]
    hand.wait(hand.settings.neighbour_timeout_ms // 2)
    assert len(hand.wished()) <= 1 + ATTEMPTS_MAX


def test_who_is_alone_turns_to_many_at_once_and_joins_through_one() -> None:
    """Most of them may be dead; and one that is not is enough to tell the others of us."""
    hand = Hand()
    for name in "abcdef":
        hand.event(MemberIntroduced(node_of(name)))
    hand.wait(0)
    assert len(hand.wished()) == 6
    asked = [hand.link(name) for name in "abcdef"]
    joins = [join for effects in asked for join in sent(effects, OverlayJoin)]
    assert len(joins) == 1
    assert all(question.high for effects in asked for _, question in sent(effects, OverlayNeighbour))


def test_a_spare_member_is_looked_at_once_per_shuffle() -> None:
    """Who is there stays, and the link goes again; who is not there goes."""
    for answers in (True, False):
        hand = full()
        hand.hears("g1", OverlayShuffle(1, (node_of("g1"),), 0, (node_of("spare"),)))
        while node_of("spare") not in hand.wished():
            hand.wait(500)
        if answers:
            assert sent(hand.link("spare"), OverlayNeighbour) == []
        hand.wait(3_000)
        assert node_of("spare") not in hand.wished()
        assert (node_of("spare") in hand.passive) is answers


def test_who_is_alone_uses_the_link_of_whoever_looks_at_it() -> None:
    """All that it knew may be dead: it joins over any link that stands."""
    hand = Hand()
    hand.link("visitor")
    assert sent(hand.wait(600), OverlayJoin) == [(node_of("visitor"), OverlayJoin())]
    hand.hears("visitor", OverlayNeighbourReply(True, ()))
    assert hand.active == (node_of("visitor"),)


def test_a_lost_member_is_tried_for_ever() -> None:
    """Once per shuffle, and with priority: it may be the only way to another part of the mesh."""
    hand = full()
    hand.unlink("c1")
    hand.chosen("c3")
    for _ in range(5):
        before = len(hand.said)
        hand.wait(2 * hand.settings.shuffle_interval_ms)
        tried = [e.peer for e in events(hand.said[before:], LinkWanted) if e.addresses]
        assert node_of("c1") in tried
    while node_of("c1") not in hand.wished():
        hand.wait(500)
    assert sent(hand.link("c1"), OverlayNeighbour) == [(node_of("c1"), OverlayNeighbour(True))]


def test_a_node_that_knows_nobody_turns_to_its_last_resorts_with_a_back_off() -> None:
    """Hubs, the founder, whom it was told of, a sample of all: for ever, ever less often up to a minute."""
    hand = Hand()
    hand.event(MemberDescribed(node_of("hub"), "c", "hub", "", ("hub:1",), "test"))
    times = [hand.now for _ in range(2_000) if any(e.addresses for e in events(hand.wait(100), LinkWanted))]
    pauses = [later - sooner for sooner, later in pairwise(times)]
    assert len(times) >= 5
    assert max(pauses) <= 61_000_000
    assert pauses[-1] > pauses[0]


# --- asking and being asked --------------------------------------------------------------------------------------


def test_low_priority_is_refused_by_a_full_view_with_names_of_others() -> None:
    """Whoever is refused is told whom to try."""
    hand = full()
    hand.link("new")
    ((_, reply),) = sent(hand.hears("new", OverlayNeighbour(False)), OverlayNeighbourReply)
    assert not reply.accepted
    assert 0 < len(reply.candidates) <= CANDIDATES
    assert node_of("new") not in hand.active


def test_high_priority_is_never_refused() -> None:
    """Somebody given makes way, is told whom to try instead, and is kept as a spare member."""
    hand = full()
    hand.link("new")
    effects = hand.hears("new", OverlayNeighbour(True))

    assert node_of("new") in hand.active
    ((evicted, farewell),) = sent(effects, OverlayDisconnect)
    assert evicted == node_of("g3"), "the newest"
    assert len(farewell.candidates) >= 3
    assert evicted not in farewell.candidates
    assert evicted in hand.passive


def test_chosen_neighbours_are_never_pushed_out() -> None:
    """However many come with priority: the outbound quota."""
    hand = full()
    for number in range(50):
        hand.given(f"flood-{number}")

    assert {node_of("c1"), node_of("c2")} <= set(hand.active)
    assert len(hand.active) == 5


def test_given_neighbours_leave_room_for_chosen_ones() -> None:
    """At most active_max - outbound_min, even when the other places are free."""
    hand = Hand()
    hand.given("g1", "g2", "g3")
    hand.link("g4")
    ((_, reply),) = sent(hand.hears("g4", OverlayNeighbour(False)), OverlayNeighbourReply)
    assert not reply.accepted
    hand.given("g5")
    assert len(hand.active) == 3


def test_a_node_alone_asks_with_priority_and_others_do_not() -> None:
    """The paper's rule of priorities."""
    alone = Hand()
    alone.overlay._hood.note((node_of("a"),), node_of("x"))
    alone.wait(2_000)
    assert alone.wished() == [node_of("a")]
    assert sent(alone.link("a"), OverlayNeighbour) == [(node_of("a"), OverlayNeighbour(True))]

    hand = Hand()
    hand.given("g1")
    hand.overlay._hood.note((node_of("a"),), node_of("g1"))
    hand.wait(2_000)
    assert sent(hand.link("a"), OverlayNeighbour) == [(node_of("a"), OverlayNeighbour(False))]


def test_an_answer_that_nobody_asked_for_is_corrected_and_names_nobody() -> None:
    """Otherwise anyone could fill the passive view by answering."""
    hand = Hand()
    hand.link("stranger")
    effects = hand.hears("stranger", OverlayNeighbourReply(True, (node_of("x"), node_of("y"))))

    assert sent(effects, OverlayDisconnect) == [(node_of("stranger"), OverlayDisconnect(()))]
    assert hand.active == ()
    assert hand.passive == ()


def test_a_refusal_is_not_repeated_at_once() -> None:
    """Neither side asks the other again before the back-off is over."""
    hand = Hand()
    hand.given("g1")
    hand.overlay._hood.note((node_of("a"),), node_of("g1"))
    hand.wait(2_000)
    hand.link("a")
    hand.hears("a", OverlayNeighbourReply(False, ()))
    assert node_of("a") in hand.passive
    assert node_of("a") not in hand.wished()
    hand.wait(hand.settings.backoff_ms - 1_500)
    assert node_of("a") not in hand.wished()
    hand.wait(40_000)
    asked = [event for event in events(hand.said, LinkWanted) if event.peer == node_of("a") and event.addresses]
    assert len(asked) >= 2


def test_who_was_sent_away_is_refused_for_a_while() -> None:
    """The back-off binds both sides: an evicted peer may not come straight back, unless it is alone."""
    hand = full()
    hand.given("new")
    hand.unlink("new")
    ((_, low),) = sent(hand.hears("g3", OverlayNeighbour(False)), OverlayNeighbourReply)
    ((_, high),) = sent(hand.hears("g3", OverlayNeighbour(True)), OverlayNeighbourReply)
    assert (low.accepted, high.accepted) == (False, True)


def test_who_is_sent_away_uses_the_names_it_was_given() -> None:
    """A disconnection ends the edge and the wish, and the first candidate is dialled in the same step."""
    hand = Hand()
    hand.chosen("c1", "c2")
    effects = hand.hears("c1", OverlayDisconnect((node_of("x"),)))

    assert hand.active == (node_of("c2"),)
    assert events(effects, NeighbourDown) == [NeighbourDown(node_of("c1"), "disconnected")]
    assert node_of("c1") not in hand.wished()
    assert node_of("x") in hand.wished()


def test_an_evicted_peer_that_does_not_close_its_link_is_closed() -> None:
    """A second later; the wish is taken back, and topology closes what nobody wants."""
    hand = full()
    hand.given("new")
    hand.wait(900)
    assert node_of("g3") in hand.wished()
    hand.wait(200)
    assert node_of("g3") not in hand.wished()


def test_a_peer_that_wrongly_counts_us_is_told() -> None:
    """An edge that only one side knows heals with the first message over it."""
    hand = Hand()
    hand.link("ghost")
    for message in (
        OverlayShuffle(1, (node_of("ghost"),), 3, (node_of("x"),)),
        OverlayForwardJoin(node_of("y"), 3),
    ):
        effects = hand.hears("ghost", message)
        assert sent(effects, OverlayDisconnect) == [(node_of("ghost"), OverlayDisconnect(()))]
    assert hand.passive == ()


def test_a_question_that_comes_before_the_link_is_found_up_waits_for_it() -> None:
    """The other side's heartbeats may be quicker than ours."""
    hand = Hand()
    assert hand.hears("a", OverlayNeighbour(True)) == []
    assert len(sent(hand.link("a"), OverlayNeighbourReply)) == 1
    assert hand.active == (node_of("a"),)


# --- who may be a neighbour --------------------------------------------------------------------------------------


def test_who_is_convicted_goes_and_stays_out() -> None:
    """Out of every view at once, its link closed; priority does not help it."""
    hand = full()
    hand.event(ScoreChanged(node_of("c1"), 0, "equivocation", ignored=True))
    assert node_of("c1") not in (*hand.active, *hand.passive, *hand.wished(), *hand.overlay.report().lost)
    ((_, reply),) = sent(hand.hears("c1", OverlayNeighbour(True)), OverlayNeighbourReply)
    assert not reply.accepted

    hand.event(ScoreChanged(node_of("c1"), 900_000, "forgiven", ignored=False))
    hand.given("c1")
    assert node_of("c1") in hand.active


def test_who_left_goes() -> None:
    """As neighbour and as spare member; nobody looks for it."""
    hand = full()
    hand.hears("g1", OverlayShuffle(1, (node_of("g1"),), 0, (node_of("spare"),)))
    for name in ("c1", "spare"):
        hand.event(MemberChanged(node_of(name), "alive", "left", 1, "left"))
        assert node_of(name) not in (*hand.active, *hand.passive, *hand.wished(), *hand.overlay.report().lost)


def test_a_dead_member_is_no_spare_and_one_that_is_back_is() -> None:
    """The failure detector knows more than a view that is never used."""
    hand = full()
    hand.hears("g1", OverlayShuffle(1, (node_of("g1"),), 0, (node_of("spare"),)))
    hand.event(MemberChanged(node_of("spare"), "suspect", "dead", 1, "silent"))
    assert node_of("spare") not in hand.passive
    hand.event(MemberChanged(node_of("spare"), "dead", "alive", 2, "refuted"))
    assert node_of("spare") in hand.passive


def test_an_unknown_name_is_of_no_use() -> None:
    """No record, no address: nobody can make us dial where they like."""
    hand = Hand()
    hand.unknown.append(node_of("x"))
    hand.given("g1")
    hand.hears("g1", OverlayShuffle(1, (node_of("g1"),), 0, (node_of("x"), node_of("me"))))
    assert hand.passive == ()


# --- shuffles ----------------------------------------------------------------------------------------------------


def test_a_shuffle_travels_and_its_answer_comes_back_the_same_way() -> None:
    """Whoever passes it on keeps nothing of it."""
    hand = Hand()
    hand.given("a", "b")
    members = (node_of("o"), node_of("p"))
    effects = hand.hears("a", OverlayShuffle(7, (node_of("o"), node_of("a")), 4, members))
    path = (node_of("o"), node_of("a"), node_of("me"))
    assert sent(effects, OverlayShuffle) == [(node_of("b"), OverlayShuffle(7, path, 3, members))]
    assert hand.passive == ()

    effects = hand.hears("b", OverlayShuffleReply(7, path, (node_of("q"),)))
    back = OverlayShuffleReply(7, path[:2], (node_of("q"),))
    assert sent(effects, OverlayShuffleReply) == [(node_of("a"), back)]
    assert hand.passive == ()


def test_the_end_of_a_shuffle_answers_with_as_many_and_keeps_what_came() -> None:
    """The exchange that mixes the passive views."""
    hand = Hand()
    hand.given("a")
    hand.hears("a", OverlayShuffle(1, (node_of("a"),), 0, (node_of("p"), node_of("q"))))
    effects = hand.hears("a", OverlayShuffle(2, (node_of("a"),), 0, (node_of("r"),)))
    ((to, reply),) = sent(effects, OverlayShuffleReply)
    assert to == node_of("a")
    assert len(reply.members) == 1
    assert reply.members[0] in (node_of("p"), node_of("q"))
    assert set(hand.passive) == {node_of("p"), node_of("q"), node_of("r")}


def test_only_the_answer_to_our_own_shuffle_counts_and_only_once() -> None:
    """By nonce and by whom we asked."""
    hand = Hand()
    hand.chosen("a")
    ((_, shuffle),) = sent(hand.wait(37_000), OverlayShuffle)[:1]
    assert shuffle.members[0] == node_of("me")
    me = (node_of("me"),)
    hand.hears("a", OverlayShuffleReply(shuffle.nonce ^ 1, me, (node_of("x"),)))
    assert node_of("x") not in hand.passive
    hand.overlay._walks._question = (shuffle.nonce, node_of("a"), ())
    hand.hears("a", OverlayShuffleReply(shuffle.nonce, me, (node_of("y"),)))
    hand.hears("a", OverlayShuffleReply(shuffle.nonce, me, (node_of("z"),)))
    assert hand.passive == (node_of("y"),)


def test_a_forged_path_is_blamed_on_whom_it_came_from() -> None:
    """A shuffle's path ends with the sender and never holds us; an answer's ends with us."""
    hand = Hand()
    hand.given("a")
    for message in (
        OverlayShuffle(1, (node_of("x"),), 3, ()),
        OverlayShuffle(1, (node_of("me"), node_of("a")), 3, ()),
        OverlayShuffleReply(1, (node_of("x"),), ()),
    ):
        assert events(hand.hears("a", message), Fault) == [Fault(node_of("a"), "bad-route")]


# --- bounds ------------------------------------------------------------------------------------------------------


def test_no_source_owns_more_than_its_share_of_the_passive_view() -> None:
    """A quarter each; all whom we did not choose together, half."""
    hand = full()
    for number in range(300):
        giver = f"g{number % 3 + 1}"
        hand.hears(giver, OverlayShuffle(number, (node_of(giver),), 0, (node_of(f"sybil-{number}"),)))
    view = hand.overlay._hood.passive
    assert max(view.held_by(node_of(f"g{n}")) for n in (1, 2, 3)) <= 30 // 4
    assert len(view) == view.from_given() == 15
    assert hand.overlay.report().names_refused > 0


def test_links_that_nobody_here_wants_are_bounded() -> None:
    """As many as the view holds may stand for others' sake; beyond that the oldest is closed, and counted."""
    hand = full()
    hand.link(*(f"spare-{number}" for number in range(20)))
    effects = hand.wait(2_000)
    assert sum(drop.count for drop in events(effects, Dropped) if drop.reason == "spare-links") >= 15
    closed = [event.peer for event in events(effects, LinkWanted) if not event.addresses]
    assert node_of("spare-0") in closed
    assert not set(closed) & set(hand.active)


def test_early_questions_are_bounded() -> None:
    """Whoever never brings a link up cannot fill memory."""
    hand = Hand()
    for number in range(1_000):
        hand.hears(f"n{number}", OverlayNeighbour(True))
    assert len(hand.overlay._early) == 32


# --- on and off --------------------------------------------------------------------------------------------------


def test_an_overlay_that_does_not_run_refuses_and_keeps_quiet() -> None:
    """Another choice of links is in force; whoever asks is told so and goes elsewhere."""
    hand = Hand(runs=False)
    hand.link("a")
    ((_, reply),) = sent(hand.hears("a", OverlayJoin()), OverlayNeighbourReply)
    assert not reply.accepted
    assert hand.overlay.next_deadline() is None


def test_an_overlay_that_takes_over_keeps_some_of_the_links_that_stand() -> None:
    """It asks over them, and what it does not need it releases."""
    hand = Hand(runs=False)
    names = [f"n{number}" for number in range(8)]
    hand.link(*names)
    effects = hand.event(OverlayRuns(True, tuple(node_of(name) for name in names)))
    asked = [to for to, _ in sent(effects, OverlayNeighbour)]
    assert len(asked) == 4
    for name in names:
        if node_of(name) in asked:
            hand.hears(name, OverlayNeighbourReply(True, ()))
    hand.wait(2_000)
    assert set(hand.active) == set(asked)
    released = {event.peer for event in events(hand.said, LinkWanted) if not event.addresses}
    assert released == {node_of(name) for name in names} - set(asked)


def test_an_overlay_that_is_switched_off_releases_everything() -> None:
    """Topology decides again; nothing is left behind."""
    hand = full()
    effects = hand.event(OverlayRuns(False, ()))
    assert len(events(effects, NeighbourDown)) == 5
    assert hand.active == ()
    assert hand.wished() == []
    assert hand.overlay.next_deadline() is None


@pytest.mark.parametrize("size", [3, 5, 9])
def test_the_view_holds_what_the_settings_say(size: int) -> None:
    """And no more, whoever comes."""
    hand = Hand(OverlaySettings(active_max=size, outbound_min=1))
    hand.chosen("c1")
    hand.given(*(f"g{number}" for number in range(20)))
    assert len(hand.active) == size
