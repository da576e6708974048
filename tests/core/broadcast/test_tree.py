"""Payloads go along eager links, are announced on lazy ones, and what they prove about the tree is drawn from them."""

from __future__ import annotations

import pytest

from arqonmesh.core.broadcast.fan_out import PLAIN_ONE_IN, copies_allowed, is_plain
from arqonmesh.core.broadcast.neighbours import SERVED_BYTES_MAX
from arqonmesh.core.broadcast.resting import STAYS_US
from arqonmesh.core.broadcast.spreading import ANNOUNCE_LINKS, HAVES_ON_LINK_UP
from arqonmesh.core.broadcast.wanted import WANTED_PER_PEER_MAX, Wanted
from arqonmesh.core.events import BroadcastJudged, LinkStays, LinkUp, NeighbourUp, OverlayRuns
from arqonmesh.core.kernel import MILLISECOND, SECOND, Event, Send
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPayload, BroadcastPrune
from tests.core.broadcast.hand import BIG, RTT, Hand, arrived, name_of, payload, peer, sends


def test_a_payload_of_ours_goes_over_every_eager_link() -> None:
    """New links are eager: the first payload floods."""
    hand = Hand("a", "b", "c")
    out = sends(hand.broadcast(), BroadcastPayload)
    assert list(out) == [peer("a"), peer("b"), peer("c")]
    assert {(m.round, m.wave, m.data) for m in out.values()} == {(1, 0, BIG)}


def test_an_accepted_payload_is_passed_on_and_not_back() -> None:
    """One hop further, to everyone but who brought it."""
    hand = Hand("a", "b", "c")
    said = hand.hear("a", payload(round_=3, wave=9))
    assert arrived(said) == [BIG]
    assert {(to, m.round, m.wave) for to, m in sends(said, BroadcastPayload).items()} == {
        (peer("b"), 4, 9),
        (peer("c"), 4, 9),
    }


@pytest.mark.parametrize("verdict", ["ignore", "reject", None])
def test_without_acceptance_nothing_is_passed_on_or_served(verdict: str | None) -> None:
    """Three-valued: only "accept" spreads, and no answer is no acceptance."""
    hand = Hand("a", "b", accepts=False)
    message = payload()
    said = hand.hear("a", message)
    if verdict is not None:
        said += hand.tell(BroadcastJudged(name_of(message), verdict))
    assert sends(said, BroadcastPayload) == {}
    assert sends(hand.hear("b", BroadcastGraft(id=name_of(message))), BroadcastPayload) == {}
    assert arrived(hand.hear("b", message)) == []


def test_a_second_copy_of_one_wave_closes_a_cycle_and_is_pruned() -> None:
    """Lazy at both ends: the link carries announcements from then on."""
    hand = Hand("a", "b")
    hand.hear("a", payload())
    said = hand.hear("b", payload())
    assert list(sends(said, BroadcastPrune)) == [peer("b")]
    assert hand.core.eager == (peer("a"),)
    assert hand.core.lazy == (peer("b"),)


def test_two_waves_that_meet_prove_no_cycle() -> None:
    """A copy that left the tree enters it somewhere else; where it meets the rest the tree must not be cut."""
    hand = Hand("a", "b")
    hand.hear("a", payload(wave=0))
    assert sends(hand.hear("b", payload(wave=77)), BroadcastPrune) == {}
    assert hand.core.eager == (peer("a"), peer("b"))


def test_of_two_ways_the_shorter_one_stays() -> None:
    """The copy that came second and by fewer hops takes the place of the first."""
    hand = Hand("a", "b")
    hand.hear("a", payload(round_=5))
    said = hand.hear("b", payload(round_=3))
    assert list(sends(said, BroadcastPrune)) == [peer("a")]
    assert hand.core.eager == (peer("b"),)


def test_the_nearer_end_leaves_the_link_to_the_farther_one() -> None:
    """Or both would prune it: who hears a copy from farther out does nothing."""
    hand = Hand("a", "b")
    hand.hear("a", payload(round_=2))
    assert sends(hand.hear("b", payload(round_=5)), BroadcastPrune) == {}
    assert hand.core.eager == (peer("a"), peer("b"))


def test_prune_makes_lazy_and_graft_makes_eager() -> None:
    """Whoever says it."""
    hand = Hand("a", "b")
    hand.broadcast()
    hand.hear("b", BroadcastPrune())
    assert (hand.core.eager, hand.core.lazy) == ((peer("a"),), (peer("b"),))
    hand.hear("b", BroadcastGraft(id=b""))
    assert (hand.core.eager, hand.core.lazy) == ((peer("a"), peer("b")), ())


def test_lazy_links_hear_announcements_in_one_message() -> None:
    """Batched over `announce_ms`."""
    hand = Hand("a", "b", fan_out_percent=0)
    hand.broadcast(b"0" * 1_000)
    hand.hear("b", BroadcastPrune())
    first, second = payload(b"1" * 1_000), payload(b"2" * 1_000, round_=4)
    hand.hear("a", first)
    hand.hear("a", second)
    assert sends(hand.wait(4 * MILLISECOND), BroadcastHave) == {}
    out = sends(hand.wait(MILLISECOND), BroadcastHave)
    assert out[peer("b")].have == ((name_of(first), 1, 0), (name_of(second), 4, 0))


def test_a_trickle_is_announced_together_and_the_first_of_it_at_once() -> None:
    """After announcements the next ones wait for the pause."""
    hand = Hand("a", "b", fan_out_percent=0)
    hand.broadcast()
    hand.hear("b", BroadcastPrune())
    hand.wait(SECOND)
    counts = []
    for number in range(1, 5):
        hand.hear("a", payload(bytes([number]) * 1_000))
        counts += [len(m.have) for m in sends(hand.wait(120 * MILLISECOND), BroadcastHave).values()]
    assert counts == [1, 3]


def test_who_tells_that_it_has_a_payload_is_not_told_of_it() -> None:
    """Of the two ends of a lazy link one speaks: by announcement or by the payload itself."""
    hand = Hand("a", "b", "c", "d", fan_out_percent=0)
    hand.broadcast()
    for name in "bcd":
        hand.hear(name, BroadcastPrune())
    hand.wait(SECOND)
    news = payload(b"n" * 1_000)
    hand.hear("a", news)
    hand.hear("b", BroadcastHave(have=((name_of(news), 2, 0),)))
    hand.hear("c", news)
    assert list(sends(hand.wait(SECOND), BroadcastHave)) == [peer("d")]


def test_small_payloads_go_over_every_link_and_prune_nothing() -> None:
    """An announcement would cost as much."""
    hand = Hand("a", "b", "c", fan_out_percent=0)
    hand.broadcast()
    hand.hear("b", BroadcastPrune())
    small = payload(b"x" * 63)
    said = hand.hear("a", small)
    assert list(sends(said, BroadcastPayload)) == [peer("c"), peer("b")]
    said += hand.hear("c", small) + hand.wait(10 * MILLISECOND)
    assert sends(said, BroadcastPrune) == {}
    assert sends(said, BroadcastHave) == {}


def test_a_graft_is_served_as_long_as_the_payload_is_kept() -> None:
    """30 s, not longer."""
    hand = Hand("a", "b")
    message = payload()
    hand.hear("a", message)
    hand.wait(29 * SECOND)
    served = sends(hand.hear("b", BroadcastGraft(id=name_of(message))), BroadcastPayload)
    assert served[peer("b")].data == BIG
    assert served[peer("b")].round == 2
    hand.wait(3 * SECOND)
    assert sends(hand.hear("b", BroadcastGraft(id=name_of(message))), BroadcastPayload) == {}
    assert hand.core.gauges()["payload_bytes"] == 0


def test_an_id_is_known_longer_than_its_payload_is_kept() -> None:
    """90 s; then everything about it is gone."""
    hand = Hand("a", "b")
    hand.hear("a", payload())
    hand.wait(89 * SECOND)
    assert arrived(hand.hear("b", payload())) == []
    hand.wait(3 * SECOND)
    assert hand.core.gauges()["ids"] == 0
    assert hand.core.next_deadline() is None


def test_an_altered_payload_is_another_payload() -> None:
    """Its name is made of all of it, so the true one is not taken for known and still arrives."""
    hand = Hand("a", "b")
    altered = BIG[:-1] + b"!"
    assert arrived(hand.hear("a", payload(altered))) == [altered]
    assert arrived(hand.hear("b", payload())) == [BIG]


def test_bytes_of_payloads_are_bounded() -> None:
    """The oldest goes, counted."""
    hand = Hand("a", cache_bytes_max=2_500)
    ids = []
    for digit in b"123":
        message = payload(bytes([digit]) * 1_000)
        ids.append(name_of(message))
        hand.hear("a", message)
    assert hand.core.gauges()["payload_bytes"] == 2_000
    assert sends(hand.hear("a", BroadcastGraft(id=ids[0])), BroadcastPayload) == {}
    assert len(sends(hand.hear("a", BroadcastGraft(id=ids[1])), BroadcastPayload)) == 1


def test_a_peer_that_comes_up_is_told_what_was_spread_lately() -> None:
    """What it missed meanwhile is not lost."""
    hand = Hand("a")
    message = payload()
    hand.hear("a", message)
    out = sends(hand.tell(LinkUp(peer("late"), "quic")), BroadcastHave)
    assert out[peer("late")].have == ((name_of(message), 1, 0),)


def test_links_beyond_the_bound_begin_lazy_and_a_poor_peer_asks_its_back() -> None:
    """A full mesh does not flood its first payload hundreds of times; a spoke's only link stays in the tree."""
    hub = Hand(*"abcdefgh", eager_max=6)
    assert len(hub.core.eager) == 6
    assert len(hub.core.lazy) == 2
    spoke = Hand("hub")
    assert list(sends(spoke.hear("hub", BroadcastPrune()), BroadcastGraft)) == [peer("hub")]
    assert spoke.core.eager == (peer("hub"),)


def test_the_last_link_of_the_tree_is_asked_back_whatever_went_over_it() -> None:
    """A spoke that spoke before its hub's prune came would hear of announcements alone, and a hub makes a dozen."""
    spoke = Hand("hub")
    spoke.broadcast()
    assert list(sends(spoke.hear("hub", BroadcastPrune()), BroadcastGraft)) == [peer("hub")]
    assert spoke.core.eager == (peer("hub"),)
    other = Hand("hub", "other")
    other.broadcast()
    assert sends(other.hear("hub", BroadcastPrune()), BroadcastGraft) == {}, "a cycle, and another way is left"
    assert other.core.eager == (peer("other"),)


def test_a_prune_that_comes_before_our_end_of_the_link_is_up_is_answered_too() -> None:
    """A newcomer's hub knows of the link first and has enough of its own: the newcomer would hear of nothing."""
    newcomer = Hand()
    assert list(sends(newcomer.hear("hub", BroadcastPrune()), BroadcastGraft)) == [peer("hub")]
    newcomer.tell(LinkUp(peer("hub"), "quic"))
    assert newcomer.core.eager == (peer("hub"),)
    rich = Hand("a", "b", "c")
    assert sends(rich.hear("hub", BroadcastPrune()), BroadcastGraft) == {}


def test_a_pruned_link_is_not_asked_back_by_whom_another_feeds() -> None:
    """Somebody says prune and goes on pushing: who asked the others back for it would be pruned by them each time."""
    hand = Hand("liar", "honest")
    hand.hear("honest", payload(bytes(900)))
    hand.hear("liar", payload(bytes(901)))
    hand.hear("liar", BroadcastPrune())
    assert sends(hand.hear("honest", BroadcastPrune()), BroadcastGraft) == {}


def test_a_payload_is_announced_on_a_dozen_links_at_most() -> None:
    """However many there are."""
    hand = Hand(*(f"n{index}" for index in range(60)), eager_max=1, fan_out_percent=0)
    hand.broadcast()
    assert len(sends(hand.wait(10 * MILLISECOND), BroadcastHave)) == ANNOUNCE_LINKS


def test_on_the_first_hops_copies_go_beside_the_tree_as_waves_of_their_own() -> None:
    """After the tree was tested once, and not for every payload."""
    hand = Hand("a", "b", "c", members=1_000)
    hand.broadcast(b"0" * 1_000)
    hand.hear("b", BroadcastPrune())
    hand.hear("c", BroadcastPrune())
    hand.broadcast(b"1" * 1_000)  # settles the tree
    number = 2
    while is_plain(name_of(payload(b"%d" % number * 1_000))):
        number += 1
    out = sends(hand.broadcast(b"%d" % number * 1_000), BroadcastPayload)
    assert set(out) == {peer("a"), peer("b"), peer("c")}
    assert out[peer("a")].wave == 0
    assert len({out[peer("b")].wave, out[peer("c")].wave, 0}) == 3


def test_the_copies_beside_the_tree_are_a_share_of_the_members() -> None:
    """Summed over all nodes that the rounds can have: never above the budget."""
    for members, links in ((30, 3), (100, 5), (1_000, 5), (1_000, 8), (10_000, 5)):
        nodes, total = 1, 0
        for round_ in range(12):
            total += nodes * copies_allowed(members, links, round_, 10)
            nodes *= links - 1 if round_ else links
        assert members // 25 <= total <= members // 10
    assert copies_allowed(1_000, 5, 0, 0) == 0


def test_one_payload_in_so_many_is_plain() -> None:
    """Cycles in which two waves meet are found by those."""
    plain = sum(is_plain(name_of(payload(b"%d" % number))) for number in range(3_200))
    assert 60 < plain < 150
    assert 3_200 // PLAIN_ONE_IN == 100


def test_repeated_prunes_wait_for_what_was_under_way() -> None:
    """Copies sent before the prune arrived are not answered by another."""
    hand = Hand("a", "b")
    hand.hear("a", payload())
    hand.hear("b", payload())
    other = payload(b"2" * 1_000)
    hand.hear("a", other)
    assert sends(hand.hear("b", other), BroadcastPrune) == {}
    hand.wait(3 * RTT)
    third = payload(b"3" * 1_000)
    hand.hear("a", third)
    assert list(sends(hand.hear("b", third), BroadcastPrune)) == [peer("b")]


def test_a_graft_is_answered_to_a_neighbour_and_at_most_twice() -> None:
    """Twenty bytes of asking must not draw the same payload again and again, nor any for a stranger."""
    hand = Hand("a", "b")
    message = payload()
    hand.hear("a", message)
    served = [len(sends(hand.hear("b", BroadcastGraft(id=name_of(message))), BroadcastPayload)) for _ in range(5)]
    assert served == [1, 1, 0, 0, 0]
    assert sends(hand.hear("z", BroadcastGraft(id=name_of(message))), BroadcastPayload) == {}
    assert hand.core.counters["grafts_refused"] == 4


def test_what_one_peer_can_make_us_send_within_a_second_is_bounded() -> None:
    """In bytes; the next second it may ask again."""
    hand = Hand("a", "b", cache_bytes_max=64 << 20)
    size = 60_000
    count = SERVED_BYTES_MAX // size + 5
    known = [payload(b"%06d" % number + bytes(size - 6)) for number in range(count)]
    for message in known:
        hand.hear("a", message)
    served = [sends(hand.hear("b", BroadcastGraft(id=name_of(message))), BroadcastPayload) for message in known]
    assert sum(bool(answer) for answer in served) == SERVED_BYTES_MAX // size
    assert hand.core.counters["grafts_refused"] == 5
    hand.wait(SECOND)
    assert sends(hand.hear("b", BroadcastGraft(id=name_of(known[-1]))), BroadcastPayload)


def test_one_announcer_takes_no_more_than_its_share_of_what_is_wanted() -> None:
    """Who announces what nobody has leaves room for the others' announcements; what came or was given up counts no
    more."""
    wanted = Wanted()
    liar, other = peer("liar"), peer("other")
    told = [wanted.announced(b"%016d" % number, liar, 1, 0, 9) for number in range(WANTED_PER_PEER_MAX + 3)]
    assert told.count(False) == wanted.refused == 3
    assert wanted.announced(b"o" * 16, other, 1, 0, 9)
    assert wanted.announced(b"%016d" % 0, other, 1, 0, 9), "known already: it only adds a place to ask"
    wanted.came(b"%016d" % 0)
    assert wanted.announced(b"l" * 16, liar, 1, 0, 9)
    assert not wanted.announced(b"m" * 16, liar, 1, 0, 9)


def test_a_link_that_the_overlay_opens_for_a_moment_is_in_no_tree() -> None:
    """A look at a spare member would bring a second copy of everything, and a hole when it is gone."""
    hand = Hand("a")
    hand.tell(OverlayRuns(True, ()))
    hand.tell(LinkUp(peer("look"), "quic"))
    hand.wait(SECOND)
    assert hand.core.eager == (peer("a"),)
    assert sends(hand.hear("a", payload()), BroadcastPayload) == {}
    hand.down("look")
    hand.wait(STAYS_US)
    assert hand.core.eager == (peer("a"),)


def test_a_link_that_may_be_gone_in_a_moment_takes_no_others_place_in_the_tree() -> None:
    """However much shorter the way that it announces."""
    hand = Hand("a", swap_hops=2)
    hand.tell(OverlayRuns(True, ()))
    hand.tell(LinkUp(peer("look"), "quic"))
    message = payload(round_=9)
    hand.hear("look", BroadcastHave(have=((name_of(message), 1, 0),)))
    hand.hear("a", message)
    assert hand.core.eager == (peer("a"),)


@pytest.mark.parametrize("stays", [NeighbourUp(peer("b"), chosen=True), LinkStays(peer("b"))])
def test_a_link_that_is_known_to_stay_enters_the_tree_at_once(stays: Event) -> None:
    """A neighbour of the overlay, and what anybody else wishes for; a second time says nothing new."""
    hand = Hand("a")
    hand.tell(OverlayRuns(True, ()))
    hand.tell(LinkUp(peer("b"), "quic"))
    hand.tell(stays)
    assert list(hand.core.eager) == [peer("a"), peer("b")]
    hand.hear("b", BroadcastPrune())
    hand.broadcast()
    hand.hear("b", BroadcastPrune())
    hand.tell(stays)
    assert list(hand.core.eager) == [peer("a")]


def test_a_peer_is_told_of_what_was_spread_before_its_link_however_much_comes_before_it_stays() -> None:
    """A link that may be gone in a moment may also be the only way: what it lacks is announced as on any other."""
    hand = Hand("a")
    hand.tell(OverlayRuns(True, ()))
    first = payload()
    hand.hear("a", first)
    told = dict.fromkeys(have[0] for have in sends(hand.tell(LinkUp(peer("b"), "quic")), BroadcastHave)[peer("b")].have)
    assert list(told) == [name_of(first)]
    later = [payload(b"%04d" % number + BIG) for number in range(HAVES_ON_LINK_UP + 44)]
    for message in later:
        for effect in hand.hear("a", message) + hand.wait(STAYS_US // 400):
            if isinstance(effect, Send) and effect.to == peer("b") and isinstance(effect.message, BroadcastHave):
                told.update(dict.fromkeys(have[0] for have in effect.message.have))
    told.update(dict.fromkeys(have[0] for have in sends(hand.wait(STAYS_US), BroadcastHave)[peer("b")].have))
    assert sorted(told) == sorted(map(name_of, [first, *later]))


def test_a_peer_is_not_told_of_what_it_learns_by_other_means_when_its_link_comes_up() -> None:
    """Statements, which the two compare anyway; once the link is up, new ones are announced as all else is."""
    hand = Hand("a", eager_max=1, mended=frozenset(("st",)))
    one, other = payload(topic="st"), payload()
    hand.hear("a", one)
    hand.hear("a", other)
    [told] = sends(hand.tell(LinkUp(peer("b"), "quic")), BroadcastHave).values()
    assert [have[0] for have in told.have] == [name_of(other)]
    later = payload(BIG + b"later", topic="st")
    said = hand.hear("a", later) + hand.wait(SECOND)
    [told] = sends(said, BroadcastHave).values()
    assert [have[0] for have in told.have] == [name_of(later)]


@pytest.mark.parametrize("data", [BIG, b"small"])
def test_on_a_link_that_may_be_gone_in_a_moment_everything_is_announced_beside_a_dozen_others(data: bytes) -> None:
    """It may be the only way to its peer: the bound on announcements counts on the peer's other links."""
    for number in range(8):  # the dozen begins elsewhere for each
        hand = Hand(*(f"lazy{other}" for other in range(ANNOUNCE_LINKS + 8)), eager_max=0, fan_out_percent=0)
        hand.tell(OverlayRuns(True, ()))
        hand.tell(LinkUp(peer("look"), "quic"))
        said = hand.broadcast(b"%02d" % number + data) + hand.wait(SECOND)
        to = [effect.to for effect in said if isinstance(effect, Send)]
        assert peer("look") in to
        assert len(to) <= ANNOUNCE_LINKS + 1


def test_a_link_that_stays_enters_the_tree_though_nobody_says_so() -> None:
    """It lasts, so it is none of those that the overlay opens for a moment."""
    hand = Hand("a")
    hand.tell(OverlayRuns(True, ()))
    hand.tell(LinkUp(peer("b"), "quic"))
    hand.wait(STAYS_US - 1)
    assert peer("b") not in hand.core.eager
    hand.wait(1)
    assert peer("b") in hand.core.eager


def test_nobody_wakes_for_a_link_that_is_known_to_stay_or_is_down() -> None:
    """The wait for it ends with its rest, however that ended."""
    hand = Hand("a")
    hand.tell(OverlayRuns(True, ()))
    hand.tell(LinkUp(peer("b"), "quic"))
    hand.tell(LinkUp(peer("c"), "quic"))
    assert hand.core.next_deadline() == hand.now + STAYS_US
    hand.tell(NeighbourUp(peer("b"), chosen=True))
    hand.down("c")
    assert hand.core.next_deadline() is None


def test_the_first_payload_goes_by_the_tree_alone() -> None:
    """It proves what is redundant; a copy that begins a wave of its own would prove nothing."""
    hand = Hand("a", "b", "c", "d", eager_max=1, members=100)
    datas = (b"%04d" % number + BIG for number in range(40))
    first, second, *_ = (data for data in datas if not is_plain(name_of(payload(data))))
    assert len(sends(hand.broadcast(first), BroadcastPayload)) == 1
    assert len(sends(hand.broadcast(second), BroadcastPayload)) > 1
