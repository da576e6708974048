"""What the tree did not bring is asked for; who announces and does not send is blamed."""

from __future__ import annotations

import pytest

from arqonmesh.core.broadcast.neighbours import ANNOUNCED_MAX, LOSSY_PPM, PROMISE_MIN_US, PROMISE_UNMEASURED_US
from arqonmesh.core.events import Dropped, Late, LinkMeasured, LinkUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Emit
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPrune
from tests.core.broadcast.hand import BIG, RTT, Hand, arrived, faults, name_of, payload, peer, sends

T1 = 3 * RTT


def have(*rounds: int, data: bytes = BIG, wave: int = 0) -> BroadcastHave:
    return BroadcastHave(have=tuple((name_of(payload(data)), round_, wave) for round_ in rounds or (1,)))


def test_an_announced_payload_is_asked_for_after_three_round_trips() -> None:
    """T1 follows the median RTT; the announcer's link enters the tree."""
    hand = Hand("a", "b")
    hand.broadcast(b"0" * 1_000)
    hand.hear("b", BroadcastPrune())
    hand.hear("b", have())
    assert sends(hand.wait(T1 - 1), BroadcastGraft) == {}
    assert sends(hand.wait(1), BroadcastGraft)[peer("b")].id == name_of(payload())
    assert peer("b") in hand.core.eager


def test_the_timer_is_never_shorter_than_its_least() -> None:
    """20 ms on a fast network."""
    hand = Hand("a", graft_min_ms=100)
    hand.hear("a", have())
    assert sends(hand.wait(100 * MILLISECOND - 1), BroadcastGraft) == {}
    assert len(sends(hand.wait(1), BroadcastGraft)) == 1


def test_a_payload_that_comes_in_time_is_not_asked_for() -> None:
    """The usual case: announcements are only a net below the tree."""
    hand = Hand("a", "b")
    hand.hear("b", have())
    hand.wait(T1 - 1)
    hand.hear("a", payload())
    assert sends(hand.wait(SECOND), BroadcastGraft) == {}
    assert hand.core.gauges()["wanted"] == 0


def test_the_next_announcer_is_asked_after_the_first_stays_silent() -> None:
    """T2, one announcer after the other; then it is given up."""
    hand = Hand("a", "b", "c")
    hand.hear("b", have())
    hand.hear("c", have())
    assert list(sends(hand.wait(T1), BroadcastGraft)) == [peer("b")]
    assert list(sends(hand.wait(RTT), BroadcastGraft)) == [peer("c")]
    assert sends(hand.wait(RTT), BroadcastGraft) == {}
    assert hand.core.gauges()["wanted"] == 0


def test_a_lost_link_passes_the_question_on_at_once() -> None:
    """And what it had promised is nobody's fault."""
    hand = Hand("a", "b", "c")
    hand.hear("b", have())
    hand.hear("c", have())
    hand.wait(T1)
    hand.down("b")
    assert list(sends(hand.wait(0), BroadcastGraft)) == [peer("c")]
    hand.hear("c", payload())
    assert faults(hand.wait(10 * SECOND)) == []


def test_who_announces_and_does_not_send_is_blamed_though_another_one_sent_it() -> None:
    """The promise is its own."""
    hand = Hand("liar", "b")
    hand.hear("liar", have())
    hand.wait(T1)
    assert arrived(hand.hear("b", payload())) == [BIG]
    assert faults(hand.wait(PROMISE_MIN_US)) == [(peer("liar"), "broken-promise")]
    assert faults(hand.wait(10 * SECOND)) == []


def test_a_link_that_was_never_measured_has_twenty_seconds_to_keep_a_promise() -> None:
    """Nobody knows how far away it is; once measured, the promise is one of round trips."""
    hand = Hand("b")
    hand.tell(LinkUp(peer("new"), "quic"))
    hand.hear("new", have())
    asked = hand.wait(SECOND)
    assert list(sends(asked, BroadcastGraft)) == [peer("new")]
    assert arrived(hand.hear("b", payload())) == [BIG]
    assert faults(hand.wait(PROMISE_UNMEASURED_US - SECOND)) == []
    assert faults(hand.wait(SECOND)) == [(peer("new"), "broken-promise")]
    assert PROMISE_UNMEASURED_US == 20 * SECOND > PROMISE_MIN_US


def test_who_sends_what_it_announced_is_not_blamed_though_it_comes_second() -> None:
    """A copy too late is a copy."""
    hand = Hand("a", "b")
    hand.hear("a", have())
    hand.wait(T1)
    hand.hear("b", payload())
    hand.hear("a", payload())
    assert faults(hand.wait(10 * SECOND)) == []


@pytest.mark.parametrize(("age_s", "announced"), [(19, 1), (21, 0)])
def test_a_new_link_is_told_only_of_what_will_still_be_there_when_it_asks(age_s: int, announced: int) -> None:
    """An announcement is a promise; payloads are kept for 30 s."""
    hand = Hand("a")
    hand.broadcast()
    hand.wait(age_s * SECOND)
    told = sends(hand.tell(LinkUp(peer("b"), "quic")), BroadcastHave)
    assert len(told) == announced


def test_on_a_link_that_loses_much_nobody_is_blamed() -> None:
    """What was promised may have been lost again and again, and so may what is in front of it in the stream."""
    hand = Hand("a")
    hand.hear("a", have())
    hand.wait(T1)
    hand.tell(LinkMeasured(peer("a"), RTT, 0, LOSSY_PPM))
    assert faults(hand.wait(60 * SECOND)) == []
    assert hand.core.counters["promises_excused"] == 1


def test_a_node_that_ran_late_itself_blames_nobody_for_it() -> None:
    """What it asked for may lie unread."""
    hand = Hand("a")
    hand.hear("a", have())
    hand.wait(T1)
    hand.tell(Late(5 * SECOND))
    assert faults(hand.wait(PROMISE_MIN_US + SECOND)) == []
    assert faults(hand.wait(5 * SECOND)) == [(peer("a"), "broken-promise")]


def test_announcements_of_one_peer_are_bounded() -> None:
    """So many within a second; the rest is dropped and counted."""
    hand = Hand("a")
    dropped = 0
    for first in range(0, 2 * ANNOUNCED_MAX, 500):
        ids = tuple((b"%016d" % number, 1, 0) for number in range(first, first + 500))
        said = hand.hear("a", BroadcastHave(have=ids))
        dropped += sum(e.event.count for e in said if isinstance(e, Emit) and isinstance(e.event, Dropped))
    assert dropped == ANNOUNCED_MAX
    assert hand.core.gauges()["wanted"] == ANNOUNCED_MAX


def test_a_much_shorter_way_takes_the_place_of_the_link_that_brought_it() -> None:
    """Only within one wave: rounds of two waves do not compare."""
    for wave, swapped in ((0, True), (5, False)):
        hand = Hand("far", "near", swap_hops=7)
        hand.broadcast(b"0" * 1_000)
        hand.hear("near", BroadcastPrune())
        hand.hear("near", have(2, wave=wave))
        said = hand.hear("far", payload(round_=10))
        assert (list(sends(said, BroadcastGraft)), list(sends(said, BroadcastPrune))) == (
            ([peer("near")], [peer("far")]) if swapped else ([], [])
        )
        assert hand.core.eager == ((peer("near"),) if swapped else (peer("far"),))


def test_a_little_shorter_way_changes_nothing() -> None:
    """Below the threshold the faster link stays."""
    hand = Hand("far", "near", swap_hops=7)
    hand.hear("near", have(4))
    said = hand.hear("far", payload(round_=10))
    assert sends(said, BroadcastPrune) == {}
