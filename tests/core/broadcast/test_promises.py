"""When a promise may be held against a peer: only while its link answers at both ends."""

from __future__ import annotations

from arqonmesh.core.broadcast.neighbours import PARTED_MAX, PROMISE_MIN_US
from arqonmesh.core.events import LinkMeasured, LinkSilent, LinkUp
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPayload
from tests.core.broadcast.hand import BIG, RTT, Hand, faults, name_of, payload, peer, sends

T1 = 3 * RTT


def asked(name: str = "a") -> Hand:
    """A core that has just asked this peer for what it announced."""
    hand = Hand(name)
    hand.hear(name, BroadcastHave(have=((name_of(payload()), 1, 0),)))
    assert list(sends(hand.wait(T1), BroadcastGraft)) == [peer(name)]
    return hand


def test_a_link_that_is_silent_to_its_end_breaks_no_promise() -> None:
    """Its peer is stopped, or the connection gone at its end; the link may take longer than a promise to be given up,
    and both may be due in one moment."""
    hand = asked()
    hand.wait(SECOND)
    hand.tell(LinkSilent(peer("a"), 200 * MILLISECOND))
    assert faults(hand.wait(3 * PROMISE_MIN_US)) == []
    hand.down("a")
    assert faults(hand.wait(60 * SECOND)) == []
    assert hand.core.gauges()["promises"] == 0


def test_a_silence_that_ended_is_taken_off_the_time_that_a_promise_has() -> None:
    """From the last answer before it to the first one after it; what was asked for may be the very next frame."""
    hand = asked()
    hand.wait(SECOND)
    hand.tell(LinkSilent(peer("a"), 200 * MILLISECOND))
    hand.wait(3_900 * MILLISECOND)
    hand.tell(LinkMeasured(peer("a"), RTT, 0, 0))
    assert faults(hand.wait(4_100 * MILLISECOND)) == []
    assert faults(hand.wait(200 * MILLISECOND)) == [(peer("a"), "broken-promise")]


def test_a_liar_that_falls_silent_again_and_again_is_found_out() -> None:
    """It has as much longer as it was silent; silent for good it loses the link."""
    hand = asked("liar")
    blamed_at = None
    while blamed_at is None and hand.now < 60 * SECOND:
        said = hand.wait(SECOND)
        hand.tell(LinkSilent(peer("liar"), 0))
        said += hand.wait(SECOND)
        hand.tell(LinkMeasured(peer("liar"), RTT, 0, 0))
        blamed_at = hand.now if faults(said) else None
    assert blamed_at is not None
    assert PROMISE_MIN_US < blamed_at < 4 * PROMISE_MIN_US


def test_one_silent_link_excuses_nobody_else() -> None:
    """Each promise is of one peer."""
    hand = Hand("a", "liar")
    for name in ("a", "liar"):
        hand.hear(name, BroadcastHave(have=((name_of(payload()), 1, 0),)))
    hand.wait(T1 + RTT)
    hand.tell(LinkSilent(peer("a"), 0))
    hand.wait(3 * SECOND)
    hand.tell(LinkMeasured(peer("a"), RTT, 0, 0))
    assert faults(hand.wait(PROMISE_MIN_US - 3 * SECOND)) == [(peer("liar"), "broken-promise")]
    assert faults(hand.wait(3 * SECOND)) == [(peer("a"), "broken-promise")]


def test_what_was_announced_is_sent_though_the_link_is_down_at_this_end() -> None:
    """Links fall at one end alone, too, and come up again on the connection that they had: the other end has asked
    meanwhile, and would hold it against us. As often as with a link, and for nobody who never had one."""
    hand = Hand("a", "b")
    hand.broadcast()
    graft = BroadcastGraft(id=name_of(payload(round_=0)))
    hand.down("a")
    served = sends(hand.hear("a", graft), BroadcastPayload)
    assert [message.data for message in served.values()] == [BIG]
    assert hand.core.eager == (peer("b"),)
    assert sends(hand.hear("a", graft), BroadcastPayload) != {}
    assert sends(hand.hear("a", graft), BroadcastPayload) == {}
    assert sends(hand.hear("stranger", graft), BroadcastPayload) == {}
    hand.tell(LinkUp(peer("a"), "quic"))
    assert sends(hand.hear("a", graft), BroadcastPayload) != {}


def test_of_few_peers_without_a_link_it_is_remembered_what_they_were_sent() -> None:
    """The first to part is forgotten first, and is sent nothing more until it has a link."""
    names = [f"p{number}" for number in range(PARTED_MAX + 1)]
    hand = Hand(*names)
    hand.broadcast()
    for name in names:
        hand.down(name)
    graft = BroadcastGraft(id=name_of(payload(round_=0)))
    assert sends(hand.hear(names[0], graft), BroadcastPayload) == {}
    assert sends(hand.hear(names[1], graft), BroadcastPayload) != {}
