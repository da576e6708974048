"""Whose silence is it: one peer's, our own, our network's, or the machines'?"""

from __future__ import annotations

import pytest

from arqonmesh.core.events import Late, LinkDown, StoodStill
from arqonmesh.core.kernel import SECOND
from arqonmesh.core.link.liveness import LULL_PATIENCE_US_MAX, Resumed
from arqonmesh.core.link.stalls import Stalls
from arqonmesh.core.lull import HALF_LIFE_US, Lull
from arqonmesh.wire.messages import WireMessage
from tests.core.link.test_links import MS, Wire
from tests.core.link.test_strain import intervals_ms, standing_still, star
from tests.core.toy import node_of

ME, B, C, D = (node_of(name) for name in "abcd")


def stood_still(stalls: Stalls, who: str, at_ms: int, for_ms: int, company: str = "", links: int = 4) -> int:
    """From `at_ms` on; what all are given from then on, if it is more than before, in milliseconds."""
    ended = (at_ms + for_ms) * MS
    if who == "a":
        return stalls.ours(ended, for_ms * MS) // MS
    silence = Resumed(at_ms * MS, for_ms * MS, 100 * MS)
    return stalls.theirs(ended, node_of(who), silence, {node_of(name): None for name in company}, links) // MS


def test_of_two_peers_silences_that_lie_apart_the_shorter_one_and_half_as_much_again_counts() -> None:
    """Who pretends to have stood still for a second achieves no more than what somebody else confirms."""
    for long_ms, short_ms in ((1_000, 400), (400, 1_000)):
        stalls = Stalls(ME, Lull())
        assert stood_still(stalls, "b", 5_000, long_ms) == 0
        assert stood_still(stalls, "c", 7_000, short_ms) == 600
    stalls = Stalls(ME, Lull())
    stood_still(stalls, "b", 5_000, 500)
    assert stood_still(stalls, "c", 7_000, 400) == 500, "never more than the longer one"


@pytest.mark.parametrize("own_ms", [400, 1_000])
def test_of_ours_and_a_peers_our_own_counts(own_ms: int) -> None:
    """Nobody can pretend it; the peer only shows that we are not the only one."""
    for order in ("ab", "ba"):
        stalls = Stalls(ME, Lull())
        told = [
            stood_still(stalls, who, at_ms, own_ms if who == "a" else 700)
            for who, at_ms in zip(order, (5_000, 7_000), strict=True)
        ]
        assert told == [0, own_ms]


def test_one_alone_confirms_nothing_however_often() -> None:
    """Nor does what somebody else did long ago."""
    stalls = Stalls(ME, Lull())
    assert [stood_still(stalls, "b", at_ms, 900) for at_ms in (1_000, 3_000, 5_000)] == [0, 0, 0]
    assert stood_still(stalls, "c", 5_900 + HALF_LIFE_US // MS, 900) == 0


@pytest.mark.parametrize(
    ("links", "sources", "believed_ms"),
    [(4, 2, 1_500), (10, 2, 1_500), (11, 2, 750), (63, 2, 0), (63, 7, 750), (63, 13, 1_500), (63, 20, 1_500)],
)
def test_what_is_believed_is_bounded_by_the_share_of_the_links_that_say_so(
    links: int, sources: int, believed_ms: int
) -> None:
    """All of it for a fifth, nothing for one; two are enough up to ten links, where they are a fifth."""
    stalls = Stalls(ME, Lull())
    names = "bcdefghijklmnopqrstu"[:sources]
    told = [stood_still(stalls, who, 1_000 + 300 * n, 1_500, links=links) for n, who in enumerate(names)]
    assert max(told) == believed_ms


def test_few_who_pretend_much_add_half_to_what_many_say() -> None:
    """Thirteen of sixty stood still for 300 ms, as on a busy machine; two say two seconds."""
    stalls = Stalls(ME, Lull())
    told = [
        stood_still(stalls, who, 1_000 + 410 * n, 2_000 if n < 2 else 300, links=63)
        for n, who in enumerate("bcdefghijklmnop")
    ]
    assert max(told) == 450


def test_nobody_pushes_out_what_others_say() -> None:
    """However often one stands still, or says so."""
    stalls = Stalls(ME, Lull())
    stood_still(stalls, "b", 1_000, 900)
    for n in range(33):
        stood_still(stalls, "c", 1_950 + 251 * n, 250)
    assert stood_still(stalls, "d", 10_950, 900) == 900


def test_never_more_than_what_links_bear() -> None:
    """A second and a half, however long two pretend."""
    stalls = Stalls(ME, Lull())
    stood_still(stalls, "b", 1_000, 4_000)
    assert stood_still(stalls, "c", 6_000, 4_000) == LULL_PATIENCE_US_MAX // MS


@pytest.mark.parametrize(("at_ms", "for_ms"), [(1_080, 500), (1_400, 580), (1_080, 900)])
def test_silences_that_began_or_ended_together_are_one_event(at_ms: int, for_ms: int) -> None:
    """That is our network, and it is so the next time, too: whoever answers first then."""
    stalls = Stalls(ME, Lull())
    assert stood_still(stalls, "b", 1_000, 900) == 0
    assert stood_still(stalls, "c", at_ms, for_ms) == 0
    assert stood_still(stalls, "c", 4_000, 900) == 0
    assert stood_still(stalls, "b", 4_050, 900) == 0
    assert stood_still(stalls, "d", 6_000, 900) == 900, "another confirms what it has no part in"


def test_who_is_silent_still_since_the_same_moment_is_of_the_same_event() -> None:
    """Its answer comes later; it says nothing new, then or the next time."""
    stalls = Stalls(ME, Lull())
    assert stood_still(stalls, "b", 1_000, 400, company="c") == 0
    assert stood_still(stalls, "c", 3_000, 900) == 0


def outage(wire: Wire, for_us: int) -> None:
    """Node a's network is gone for so long; two seconds later."""
    for other in "bc":
        wire.sever("a", other)
        wire.sever(other, "a")
    wire.run(wire.now + for_us)
    wire.cut.clear()
    wire.run(wire.now + 2 * SECOND)


def test_an_outage_of_the_own_network_is_no_strain_and_a_second_one_neither() -> None:
    """All peers are silent at once, each time."""
    wire = star()
    for for_us in (700 * MS, 500 * MS):
        outage(wire, for_us)
    assert wire.events("a", StoodStill) == []
    assert set(intervals_ms(wire, "a", SECOND)) == {100}


def test_who_answers_first_after_an_outage_confirms_nothing_of_those_who_are_silent_still() -> None:
    """One peer stood still before, and is now out of reach together with another."""
    wire = star()
    standing_still(wire, "b", for_us=700 * MS)
    for other in "bc":
        wire.sever("a", other)
        wire.sever(other, "a")
    wire.run(wire.now + 600 * MS)
    for pair in ((ME, C), (C, ME)):
        del wire.cut[pair]
    wire.run(wire.now + 300 * MS)
    wire.cut.clear()
    wire.run(wire.now + SECOND)
    assert wire.events("a", StoodStill) == []


@pytest.mark.parametrize("told", [True, False])
def test_the_own_pause_is_nobody_elses_silence(told: bool) -> None:
    """Whether the runtime tells of it first, or the answers that waited are read first: peers that crash afterwards
    are noticed as soon as ever."""
    wire = star()
    core, paused_at = wire.cores[ME], wire.now
    due, take = core.next_deadline, core.on_message
    unread: list[tuple[object, WireMessage]] = []
    core.next_deadline = lambda: None  # type: ignore[method-assign]
    core.on_message = lambda now, peer, message: unread.append((peer, message)) or []  # type: ignore[method-assign, assignment, func-returns-value]
    wire.run(paused_at + 900 * MS)
    core.next_deadline, core.on_message = due, take  # type: ignore[method-assign]
    if told:
        wire.perform(ME, core.on_event(wire.now, Late(wire.now - (due() or 0))))
    for peer, message in unread:
        wire.perform(ME, core.on_message(wire.now, peer, message))  # type: ignore[arg-type]
    wire.run(wire.now + 2 * SECOND)
    assert wire.events("a", StoodStill) == []
    crashed_at = wire.now
    for other in "ac":
        wire.sever("b", other)
        wire.sever(other, "b")
    wire.run(crashed_at + SECOND)
    lost = [at - crashed_at for at, event in wire.events("a", LinkDown) if at > crashed_at]
    assert len(lost) == 1 and lost[0] <= 400 * MS


def test_two_peers_that_stand_still_one_after_the_other_are_told_as_the_machines() -> None:
    """To whoever has patience with members: once, and again when it gets worse."""
    wire = star()
    standing_still(wire, "b", "c", for_us=900 * MS)
    ((_, told),) = wire.events("a", StoodStill)
    assert isinstance(told, StoodStill) and 700 * MS <= told.for_us <= SECOND
