"""What shortens a suspicion, from when, and what may not. One core on a clock moved by hand."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import LifeguardSettings, MembershipSettings
from arqonmesh.core.events import Late, LinkDown, LinkUp, StoodStill, Withdrawn
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.membership.timing import judges_wanted
from arqonmesh.wire.statement import Kind
from tests.core.membership.test_evidence import FIRST, SHORT_US, WITNESSED_US, Bench, accuses, lists, says
from tests.core.toy import node_of

GRACE_US = SHORT_US // 4
OTHERS = "bcdefghijklmnot"
"""With `a` and `me` 17 members: f = 5, four judges."""


def dead_at(bench: Bench, name: str) -> list[int]:
    return [when for when, who, state in bench.changes if (who, state) == (name, "dead")]


def crowd(settings: MembershipSettings | None = None) -> Bench:
    """Linked to `a` alone; `t` is silent, and was somebody's neighbour once."""
    bench = Bench("a", OTHERS, settings)
    bench.mute = OTHERS
    return bench


def judge(bench: Bench, names: str, incarnation: int = 1) -> None:
    for name in names:
        bench.tell(accuses(name, ("t", incarnation, "dead")))


@pytest.mark.parametrize(("members", "judges"), [(2, 2), (3, 2), (4, 2), (7, 3), (10, 4), (16, 4), (1_000, 4)])
def test_more_than_may_lie_have_to_say_so_two_at_least_and_four_at_most(members: int, judges: int) -> None:
    """f + 1 of n = 3f + 1; no more than four are asked to accuse, so more would never come."""
    assert judges_wanted(members) == judges


def test_a_member_that_four_hold_dead_is_dead_to_us_a_moment_later() -> None:
    """We lag behind: each of the four waited for itself."""
    bench = crowd()
    judge(bench, "bcd")
    bench.run(SECOND)
    assert bench.state("t") == "suspect"
    judge(bench, "e")
    judged_at = bench.now
    bench.run(SECOND)
    assert dead_at(bench, "t") == [judged_at + GRACE_US]
    assert bench.accused == [], "it was hearsay: we do not repeat it"


def test_suspecting_is_not_judging() -> None:
    """Four whose own time still runs say nothing that would end ours."""
    bench = crowd()
    for name in "bcde":
        bench.tell(accuses(name, ("t", 1, "suspect")))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"


def test_one_honest_neighbour_outweighs_all_who_hold_its_peer_dead() -> None:
    """Its signed record lists the link; liars may be as many as they want."""
    bench = crowd()
    bench.tell(lists("o", up="t"))
    judge(bench, "bcdefghi")
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"
    bench.tell(lists("o", down="t"))
    bench.run(SECOND)
    assert bench.state("t") == "dead"


def test_a_neighbour_that_vouches_during_the_grace_gives_the_usual_time_back() -> None:
    """Its record was on its way."""
    bench = crowd()
    judge(bench, "bcde")
    bench.run(GRACE_US - MILLISECOND)
    bench.tell(lists("o", up="t"))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"


def test_a_link_of_our_own_outweighs_them_too() -> None:
    """Whom we hear, we do not hold dead on hearsay."""
    bench = Bench("at", OTHERS.replace("t", ""))
    bench.mute = OTHERS
    judge(bench, "bcde")
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"


def test_a_refutation_within_the_grace_is_in_time() -> None:
    """Dead is soft: the next incarnation undoes it, before and after; what was said of the old one counts no more."""
    bench = crowd()
    judge(bench, "bcde")
    bench.run(GRACE_US - MILLISECOND)
    bench.tell(says("t", 2))
    assert bench.state("t") == "alive"
    judge(bench, "bcd", 2)
    bench.run(SECOND)
    assert bench.state("t") == "suspect"
    judge(bench, "e", 2)
    bench.run(SECOND)
    assert bench.state("t") == "dead"
    bench.tell(says("t", 3))
    assert bench.state("t") == "alive"


def test_who_takes_the_verdict_back_or_forked_is_not_counted() -> None:
    """Their present records count."""
    for undo in (accuses("e"), Withdrawn(node_of("e"), Kind.ACCUSATIONS, "")):
        bench = crowd()
        judge(bench, "bcde")
        bench.tell(undo)
        bench.run(SECOND)
        assert bench.state("t") == "suspect"


def test_the_dead_judge_nobody() -> None:
    """What a member said before it died is as old as its death."""
    bench = crowd()
    bench.tell(accuses("e", ("t", 1, "dead")))
    for name in "bcdf":
        bench.tell(accuses(name, ("e", 1, "dead")))
    bench.run(SECOND)
    assert bench.state("e") == "dead"
    judge(bench, "bcd")
    bench.run(SECOND)
    assert bench.state("t") == "suspect"


def test_a_node_without_a_link_takes_no_verdict_over_and_catches_up_once_linked() -> None:
    """What it heard may be of its own side only; with its first link back the verdicts count, after the grace."""
    bench = crowd()
    bench.tell(LinkDown(node_of("a"), "silent"))
    judge(bench, "bcde")
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"
    bench.tell(LinkUp(node_of("a"), "quic"))
    linked_at = bench.now
    bench.run(SECOND)
    assert dead_at(bench, "t") == [linked_at + GRACE_US]


def test_a_node_that_loses_its_last_link_during_the_grace_takes_the_usual_time() -> None:
    """It is more likely the one that is cut off."""
    bench = crowd()
    judge(bench, "bcde")
    bench.tell(LinkDown(node_of("a"), "silent"))
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"


def test_a_node_that_did_not_listen_listens_for_a_grace_first() -> None:
    """The refutation may be the next thing in its inbox."""
    bench = crowd()
    judge(bench, "bcde")
    bench.run(200 * MILLISECOND)
    bench.tell(Late(200 * MILLISECOND))
    late_at = bench.now
    bench.run(SECOND)
    assert dead_at(bench, "t") == [late_at + GRACE_US]


@pytest.mark.parametrize(
    "settings",
    [MembershipSettings(link_evidence_ms=0), MembershipSettings(lifeguard=LifeguardSettings(suspicion=False))],
)
def test_plain_swim_knows_no_judges(settings: MembershipSettings) -> None:
    """Without link evidence nothing tells the slandered from the dead; without Lifeguard one verdict is enough."""
    bench = crowd(settings)
    judge(bench, "bcde")
    bench.run(SECOND)
    assert bench.state("t") == ("suspect" if not settings.link_evidence_ms else "dead")


def test_local_health_adds_no_more_than_half_to_what_link_records_say() -> None:
    """Others signed the loss of their links: a node in trouble need not be the last to know by seconds."""
    bench = Bench("abt")
    bench.tell(lists("a", up="t"))
    bench.run(10 * SECOND)
    for _ in range(5):
        bench.run(500 * MILLISECOND)
        bench.tell(Late(400 * MILLISECOND))
    assert bench.core.local_health >= 3
    bench.mute = "t"
    bench.tell(lists("a", down="t"))
    bench.tell(LinkDown(node_of("t"), "silent"))
    suspected_at = bench.now
    bench.run(3 * SECOND)
    assert dead_at(bench, "t") == [suspected_at + SHORT_US + SHORT_US // 2]


def test_its_short_time_counts_from_when_most_had_lost_it_should_the_last_be_slow() -> None:
    """A neighbour that got no processor for a while says last what it has been unable to see; it decides whether, and
    not when."""
    for slow_ms, left_ms in ((400, 600), (800, 500), (1_900, 500), (3_000, 1_000)):
        bench = Bench("abct")
        for name in "abc":
            bench.tell(lists(name, up="t"))
        bench.run(SECOND)
        bench.tell(LinkDown(node_of("t"), "silent"))
        bench.tell(lists("a", down="t"))
        bench.run(200 * MILLISECOND)
        bench.tell(lists("b", down="t"))
        bench.run(slow_ms * MILLISECOND)
        assert bench.state("t") == "alive"
        bench.mute = "t"
        bench.tell(lists("c", down="t"))
        bench.tell(accuses("c", ("t", 1, "suspect")))
        severed_at = bench.now
        bench.run(3 * SECOND)
        assert dead_at(bench, "t") == [severed_at + left_ms * MILLISECOND]


def test_a_neighbour_that_is_linked_again_ends_the_count_of_losses() -> None:
    """One that lost its links one after the other and got them back has lost nothing."""
    bench = Bench("abct")
    for name in "abc":
        bench.tell(lists(name, up="t"))
    bench.run(SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    for name in "ab":
        bench.tell(lists(name, down="t"))
    bench.run(300 * MILLISECOND)
    bench.tell(lists("a", up="t"))
    bench.run(300 * MILLISECOND)
    for name in "ac":
        bench.tell(lists(name, down="t"))
    bench.tell(accuses("c", ("t", 1, "suspect")))
    severed_at = bench.now
    bench.run(3 * SECOND)
    assert dead_at(bench, "t") == [severed_at + SHORT_US]


@pytest.mark.parametrize(
    ("stood_still_ms", "lasts_ms"), [(240, 1_000), (300, 1_050), (500, 2_250), (800, 4_800), (9_000, 5_000)]
)
def test_who_saw_others_stand_still_and_go_on_waits_for_longer_than_that(stood_still_ms: int, lasts_ms: int) -> None:
    """On a machine that is too busy for all, a second of silence is no death; five seconds are, even there."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.tell(StoodStill(stood_still_ms * MILLISECOND))
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    lost_at = bench.now
    bench.run(6 * SECOND)
    assert dead_at(bench, "t") == [lost_at + lasts_ms * MILLISECOND]


def test_who_is_suspected_already_is_given_as_much_when_others_are_seen_to_stand_still() -> None:
    """The first long pause on a machine that has just become busy is nobody's death either."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    lost_at = bench.now
    bench.run(800 * MILLISECOND)
    bench.tell(StoodStill(600 * MILLISECOND))
    bench.run(6 * SECOND)
    assert dead_at(bench, "t") == [lost_at + 3 * SECOND]


def spoke(*others: str) -> Bench:
    """We and these had a link to `t`, which is lost; each of them has eight links besides."""
    bench = Bench("abt", "cdefghij")
    for name in "cdefghij":
        bench.tell(lists(name, up="".join(others)))
    for name in others:
        bench.tell(lists(name, up="t"))
    bench.run(SECOND)
    bench.mute = "t"
    for name in others:
        bench.tell(lists(name, down="t"))
    bench.tell(LinkDown(node_of("t"), "silent"))
    return bench


def test_who_knows_much_less_than_two_others_waits_three_times_as_long_for_them() -> None:
    """A spoke whose hub is silent: the other hubs have seen how long everyone stands still."""
    bench = spoke("a", "b")
    lost_at = bench.now
    bench.run(SHORT_US + SHORT_US // 2)
    bench.tell(accuses("a", ("t", 1, "dead")))
    bench.run(5 * SECOND)
    assert dead_at(bench, "t") == [lost_at + 3 * SHORT_US], "one of them may lie"


def test_it_follows_them_as_soon_as_most_of_them_hold_it_dead() -> None:
    """All who lost it do: a moment later; or at once, when its own time is over."""
    for after_us, dead_us in ((SHORT_US // 2, None), (2 * SHORT_US, 2 * SHORT_US)):
        bench = spoke("a", "b")
        lost_at = bench.now
        bench.run(after_us)
        for name in "ab":
            bench.tell(accuses(name, ("t", 1, "dead")))
        bench.run(5 * SECOND)
        assert dead_at(bench, "t") == [lost_at + (dead_us or after_us + WITNESSED_US)]


def test_one_who_knows_more_keeps_nobody_waiting() -> None:
    """It may be a liar that is linked to everyone."""
    bench = spoke("a")
    lost_at = bench.now
    bench.run(3 * SECOND)
    assert dead_at(bench, "t") == [lost_at + SHORT_US]


def four_neighbours(*, lost: str) -> Bench:
    """We have no link to `t`, and `bcde` had one; these lost theirs."""
    bench = crowd()
    bench.tell(lists("a", up="bcde"))
    for name in "bcde":
        bench.tell(lists(name, up="t"))
    bench.run(SECOND)
    bench.tell(accuses("b", ("t", 1, "suspect")))
    for name in lost:
        bench.tell(lists(name, down="t"))
    return bench


def test_of_four_neighbours_three_are_enough_after_a_quarter_of_the_time() -> None:
    """The fourth may be slow, or silent on purpose."""
    bench = four_neighbours(lost="bcde")
    judge(bench, "bc")
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect", "two may lie"
    judge(bench, "d")
    told_at = bench.now
    bench.run(SECOND)
    assert dead_at(bench, "t") == [told_at + GRACE_US]


def test_three_liars_among_four_neighbours_shorten_nothing_while_the_fourth_has_its_link() -> None:
    """A healthy member is not severed."""
    bench = four_neighbours(lost="bcd")
    judge(bench, "bcd")
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"


def test_a_long_patience_outlives_the_moment_in_which_our_loss_is_fresh() -> None:
    """Its other neighbour was slow, and everyone is patient: whatever else is said of it meanwhile, we lost our link
    when it was severed, and wait no longer than that."""
    bench = Bench("abt", "cdefghij")
    for name in "ab":
        bench.tell(lists(name, up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    lost_at = bench.now
    bench.tell(lists("a", down="t"))
    bench.run(6_500 * MILLISECOND)
    bench.tell(StoodStill(4 * SECOND))
    bench.tell(lists("b", down="t"))
    severed_at = bench.now
    bench.run(3_700 * MILLISECOND)
    assert bench.now > lost_at + 10 * SECOND
    bench.tell(accuses("c", ("t", 1, "suspect")))
    bench.run(5 * SECOND)
    assert dead_at(bench, "t") == [severed_at + 5 * SECOND]


def test_witnesses_are_those_who_lost_it_when_it_was_severed_however_patient_they_are() -> None:
    """On a machine that is too busy for all their verdict may take longer than a loss stays fresh."""
    bench = Bench("ab", "cdefghijt", MembershipSettings(suspicion_mult=12))
    for state in ({"up": "t"}, {"down": "t"}):
        for name in "cd":
            bench.tell(lists(name, **state))
    bench.mute = "t"
    bench.tell(accuses("c", ("t", 1, "suspect")))
    bench.run(11 * SECOND)
    assert bench.state("t") == "suspect"
    for name in "cd":
        bench.tell(accuses(name, ("t", 1, "dead")))
    told_at = bench.now
    bench.run(SECOND)
    assert dead_at(bench, "t") == [told_at + WITNESSED_US]


def test_what_stood_still_long_ago_is_of_no_account() -> None:
    """Halved every ten seconds: half a minute after the last of it a death is known as soon as ever."""
    bench = Bench("abt")
    bench.tell(StoodStill(2 * SECOND))
    bench.run(32 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    lost_at = bench.now
    bench.run(2 * SECOND)
    assert dead_at(bench, "t") == [lost_at + SHORT_US]


def test_a_probe_of_a_severed_member_that_fails_says_nothing_about_our_own_health() -> None:
    """Its neighbours signed why it is silent; a node that probed it in vain would otherwise be the last to know."""
    bench = Bench("a", "t")
    bench.tell(lists("a", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.nacks = False
    bench.tell(lists("a", down="t"))
    bench.run(5 * SECOND)
    assert bench.state("t") == "suspect"
    assert bench.core.local_health == 0


def test_a_member_to_which_others_have_a_link_is_suspected_after_three_probes_in_vain() -> None:
    """Our probes go through them; what is late there says less than the heartbeats that they answer each other."""
    bench = Bench("a", "t")
    bench.tell(lists("a", up="t"))
    bench.mute = "t"
    bench.run(1_900 * MILLISECOND)
    bench.mute = ""
    bench.run(3 * SECOND)
    assert bench.changes == []
    bench.mute = "t"
    from_here = bench.now
    bench.run(8 * SECOND)
    (suspected_at,) = [when for when, who, state in bench.changes if (who, state) == ("t", "suspect")]
    assert suspected_at - from_here >= 4 * SECOND, "an answer in between begins the count anew"


def test_without_link_records_one_probe_in_vain_is_enough() -> None:
    """That is SWIM."""
    bench = Bench("a", "t", MembershipSettings(link_evidence_ms=0))
    bench.tell(lists("a", up="t"))
    bench.mute = "t"
    bench.run(3 * SECOND)
    assert bench.state("t") == "suspect"


def test_its_short_time_counts_from_the_loss_of_its_last_link_not_from_the_accusation() -> None:
    """An accusation may be underway for a while; the suspect has been unreachable all along."""
    bench = Bench(FIRST + "t")
    bench.run(SECOND)
    bench.mute = "t"
    for name in FIRST:
        bench.tell(lists(name, down="t"))
    bench.tell(LinkDown(node_of("t"), "silent"))
    severed_at = bench.now
    bench.run(300 * MILLISECOND)
    bench.tell(accuses(FIRST[0], ("t", 1, "suspect")))
    bench.run(SECOND)
    assert dead_at(bench, "t") == [severed_at + SHORT_US]


@pytest.mark.parametrize("between", ["nothing", "linked again", "refuted", "we were cut off"])
def test_half_of_it_is_left_at_least_and_all_of_it_after_a_sign_of_life(between: str) -> None:
    """Who was long without a known link is accused only now: there is time for its next record still."""
    bench = Bench(FIRST + "t")
    a, b = list(FIRST)[:2]
    for name in FIRST:
        bench.tell(lists(name, down="t"))
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.run(800 * MILLISECOND)
    incarnation, least_us = 1, SHORT_US
    if between == "linked again":
        for state in ({"up": "t"}, {"down": "t"}):
            for name in FIRST:
                bench.tell(lists(name, **state))
    elif between == "refuted":
        bench.tell(accuses(a, ("t", 1, "suspect")))
        bench.tell(says("t", 2))
        incarnation = 2
    elif between == "we were cut off":
        for name in FIRST:
            bench.tell(LinkDown(node_of(name), "silent"))
        for name in FIRST:
            bench.tell(LinkUp(node_of(name), "quic"))
    else:
        least_us = SHORT_US // 2
    bench.mute = "t"
    bench.tell(accuses(b, ("t", incarnation, "suspect")))
    accused_at = bench.now
    bench.run(2 * SECOND)
    assert dead_at(bench, "t") == [accused_at + least_us]
