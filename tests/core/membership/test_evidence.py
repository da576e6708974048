"""Lost links as evidence: who is held dead early, and above all who is not. One core on a clock moved by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Late,
    LinkDown,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    Persisted,
    Publish,
    Withdrawn,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.core.membership.evidence import Evidence
from arqonmesh.core.router import Router
from arqonmesh.wire.messages import Ack, Nack, Ping, PingReq
from arqonmesh.wire.statement import Accusation, Accusations, Adjacency, Kind, NodeRecord
from arqonmesh.wire.statement import Links as LinksRecord
from tests.core.toy import env_of, key_of, node_of

SHORT_US = 1_000 * MILLISECOND
WITNESSED_US = SHORT_US // 16
FIRST = "".join([name for name in "abcdefghijklmnopqrsuvwxyz" if node_of(name) < node_of("me")][:4])
"""Where these lost a link as well, others expect the accusation from them and not from us."""


def says(name: str, incarnation: int) -> Applied:
    body = NodeRecord(key_of(name), name, "spoke", "", (), incarnation, False, "", ())
    return Applied(node_of(name), Kind.NODE, "", body, b"", False)


def accuses(name: str, *accusations: tuple[str, int, str]) -> Applied:
    body = Accusations(tuple(Accusation(node_of(target), at, level) for target, at, level in accusations))
    return Applied(node_of(name), Kind.ACCUSATIONS, "", body, b"", False)


def lists(name: str, up: str = "", down: str = "") -> Applied:
    """`name`'s LINKS record."""
    adjacencies = [Adjacency(node_of(peer), "up" if peer in up else "down", "quic", 1_000, 0) for peer in up + down]
    return Applied(node_of(name), Kind.LINKS, "", LinksRecord(tuple(adjacencies)), b"", False)


class Bench:
    """One core `me`, linked to `linked`; everyone but the `mute` answers."""

    def __init__(self, linked: str, others: str = "", settings: MembershipSettings | None = None) -> None:
        self.core = Membership(env_of("me"), settings or MembershipSettings())
        self.core.start(0, {})
        self.core.on_event(0, Persisted(1))
        self.mute = ""
        self.nacks = True
        self.asked: list[Effect] = []
        """Requests to probe for us."""
        self.now = 0
        self.changes: list[tuple[int, str, str]] = []
        self.accused: list[tuple[int, tuple[tuple[str, str], ...]]] = []
        self.names = {node_of(name): name for name in linked + others}
        for name in linked + others:
            self.tell(MemberAdmitted(node_of(name), key_of(name), name, "spoke"))
            self.tell(says(name, 1))
        for name in linked:
            self.tell(LinkUp(node_of(name), "quic"))
        self.changes.clear()

    def tell(self, event: object) -> None:
        self.take(self.core.on_event(self.now, event))  # type: ignore[arg-type]

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, PingReq):
                self.asked.append(effect)
            if isinstance(effect, Send) and self.names[effect.to] not in self.mute:
                if isinstance(effect.message, Ping):
                    self.take(self.core.on_message(self.now, effect.to, Ack(effect.message.seq)))
                elif isinstance(effect.message, PingReq) and self.nacks:
                    self.take(self.core.on_message(self.now, effect.to, Nack(effect.message.seq)))
            elif isinstance(effect, Emit) and isinstance(effect.event, MemberChanged):
                change = effect.event
                self.changes.append((self.now, self.names[change.node], change.new))
            elif isinstance(effect, Emit) and isinstance(effect.event, Publish):
                body = effect.event.body
                if isinstance(body, Accusations):
                    said = tuple((self.names[a.target], a.level) for a in body.accusations)  # type: ignore[index]
                    self.accused.append((self.now, said))

    def run(self, for_us: int) -> None:
        until = self.now + for_us
        while (self.core.next_deadline() or 0) <= until:
            self.now = max(self.now, self.core.next_deadline() or 0)
            self.take(self.core.on_timer(self.now))
        self.now = until

    def state(self, name: str) -> str:
        return self.core.state_of(node_of(name))


def two_hubs_fell_silent() -> Bench:
    """Two hubs, h and t, linked with each other and with three others, who still list both; we have just lost both."""
    bench = Bench("abcht")
    bench.tell(lists("h", up="abct"))
    bench.tell(lists("t", up="abch"))
    for name in "abc":
        bench.tell(lists(name, up="ht"))
    bench.run(10 * SECOND)
    bench.mute = "th"
    bench.changes.clear()
    for name in "ht":
        bench.tell(LinkDown(node_of(name), "silent"))
    return bench


def test_a_member_whose_last_link_was_ours_is_accused_at_once_and_dead_a_second_later() -> None:
    """No probe is waited for: none could reach it."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.mute = "t"
    lost_at = bench.now
    bench.tell(LinkDown(node_of("t"), "silent"))
    assert bench.accused == [(lost_at, (("t", "suspect"),))]
    bench.run(3 * SECOND)
    assert bench.changes == [(lost_at, "t", "suspect"), (lost_at + SHORT_US, "t", "dead")]
    assert bench.accused[1:] == [(lost_at + SHORT_US, (("t", "dead"),))]


def test_a_member_that_another_still_has_a_link_to_keeps_the_long_suspicion() -> None:
    """A cut of one link, a slow neighbour: the others' records disagree."""
    bench = Bench("abt")
    bench.tell(lists("b", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    assert bench.state("t") == "alive"
    bench.run(4 * SECOND)
    assert bench.state("t") == "suspect"


def test_the_last_neighbour_to_say_so_makes_the_difference() -> None:
    """Suspected in the usual way; then its other neighbour loses its link as well."""
    bench = Bench("abt")
    bench.tell(lists("b", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.tell(accuses("a", ("t", 1, "suspect")))
    bench.run(200 * MILLISECOND)
    said_at = bench.now
    bench.tell(lists("b", down="t"))
    bench.run(2 * SECOND)
    assert bench.changes[-1] == (said_at + SHORT_US, "t", "dead")


def test_who_never_had_a_link_waits_for_the_neighbours_and_repeats_nothing() -> None:
    """They know how long it may be silent. Dead on others' word: our record does not say it again, or a death would
    cost a flood from every node."""
    bench = Bench("ab", "t")
    bench.tell(lists("a", up="t"))
    bench.run(500 * MILLISECOND)
    bench.mute = "t"
    at = bench.now
    bench.tell(lists("a", down="t"))
    assert bench.changes == []
    bench.tell(accuses("a", ("t", 1, "suspect")))
    bench.run(2 * SECOND)
    assert bench.changes == [(at, "t", "suspect")]
    bench.tell(accuses("a", ("t", 1, "dead")))
    told_at = bench.now
    bench.run(SECOND)
    assert bench.changes[1:] == [(told_at + WITNESSED_US, "t", "dead")]
    assert bench.accused == []


@pytest.mark.parametrize(("neighbours", "wanted"), [("a", 1), ("ab", 2), ("abc", 3), ("abcd", 4), ("abcdefgh", 4)])
def test_all_of_its_neighbours_or_more_than_may_lie_decide_for_the_others(neighbours: str, wanted: int) -> None:
    """Who had no link to it decides nothing, and of several who had one no one alone."""
    bench = Bench("m", "abcdefghijt")
    for state in ({"up": "t"}, {"down": "t"}):
        bench.mute = "t"
        for name in neighbours:
            bench.tell(lists(name, **state))
    for name in ("m", *neighbours[: wanted - 1]):
        bench.tell(accuses(name, ("t", 1, "dead")))
    bench.run(WITNESSED_US + MILLISECOND)
    assert bench.state("t") == "suspect"
    bench.tell(accuses(neighbours[wanted - 1], ("t", 1, "dead")))
    bench.run(WITNESSED_US - MILLISECOND)
    assert bench.state("t") == "suspect"
    bench.run(MILLISECOND)
    assert bench.state("t") == "dead"


def test_a_liar_among_two_neighbours_ends_nobodys_patience() -> None:
    """It called a living one dead in advance; when that one stands still for a moment, its other neighbour suspects it
    at first, and so do all who had no link to it."""
    bench = Bench("ab", "hltcdefgij")
    bench.tell(lists("a", up="hl"))
    for name in "hl":
        bench.tell(lists(name, up="ta"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(lists("l", up="a", down="t"))
    bench.tell(accuses("l", ("t", 1, "dead")))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"
    bench.tell(lists("h", up="a", down="t"))
    bench.tell(accuses("h", ("t", 1, "suspect")))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"
    bench.tell(accuses("h", ("t", 1, "dead")))
    bench.run(WITNESSED_US)
    assert bench.state("t") == "dead"


def test_who_lost_its_link_long_before_the_others_is_no_witness() -> None:
    """It has not heard of it for a while: it neither decides, nor is waited for."""
    bench = Bench("ab", "holt")
    for name in "ho":
        bench.tell(lists(name, up="t"))
    bench.tell(lists("o", down="t"))
    bench.run(11 * SECOND)
    bench.mute = "t"
    bench.tell(lists("h", down="t"))
    bench.tell(accuses("o", ("t", 1, "dead")))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"
    bench.tell(accuses("o"))
    bench.tell(accuses("h", ("t", 1, "dead")))
    bench.run(WITNESSED_US)
    assert bench.state("t") == "dead"


def test_neighbours_that_died_with_it_decide_nothing() -> None:
    """Their verdicts are as old as they are."""
    bench = Bench("b", "at")
    for name in "ab":
        bench.tell(lists(name, up="t"))
    bench.mute = "ta"
    bench.tell(lists("a", down="t"))
    bench.tell(accuses("a", ("t", 1, "dead")))
    for name in ("b", "t"):
        bench.tell(accuses(name, ("a", 1, "dead")))
    bench.run(SECOND)
    assert bench.state("a") == "dead"
    bench.tell(lists("b", down="t"))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"


def test_a_slanderer_alone_shortens_nothing() -> None:
    """It says that it lost a link, and accuses; a neighbour that still has one is believed."""
    bench = Bench("abm", "t")
    bench.tell(lists("a", up="t"))
    bench.tell(lists("m", down="t"))
    bench.tell(accuses("m", ("t", 1, "suspect")))
    bench.run(SECOND + 100 * MILLISECOND)
    assert bench.state("t") == "suspect"
    bench.tell(says("t", 2))
    assert bench.state("t") == "alive"


def test_without_any_link_record_about_it_a_suspicion_has_its_usual_length() -> None:
    """Nobody ever said to have a link to it: that is no evidence of anything."""
    bench = Bench("ab", "t")
    bench.mute = "t"
    bench.tell(accuses("a", ("t", 1, "suspect")))
    bench.run(3 * SECOND)
    assert bench.state("t") == "suspect"


def test_a_new_link_gives_the_suspicion_its_usual_length_again() -> None:
    """It came back before its second was over: there is time to refute."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.run(900 * MILLISECOND)
    bench.tell(LinkUp(node_of("t"), "quic"))
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"


def test_a_link_of_another_does_so_too() -> None:
    """It found another hub."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.run(900 * MILLISECOND)
    bench.tell(lists("b", up="t"))
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"


def test_a_dead_member_vouches_for_nobody() -> None:
    """The hub that still listed it died; its record is as old as its death."""
    bench = Bench("abht")
    bench.tell(lists("h", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "th"
    bench.tell(LinkDown(node_of("t"), "silent"))
    assert bench.state("t") == "alive"
    bench.tell(LinkDown(node_of("h"), "silent"))
    lost_at = bench.now
    bench.run(1_900 * MILLISECOND)
    assert (lost_at + SHORT_US, "h", "dead") in bench.changes
    bench.run(2 * SECOND)
    assert bench.state("t") == "dead"


def test_two_who_vouch_for_each_other_and_for_whom_nobody_else_does_are_dead_in_twice_the_time() -> None:
    """Two linked hubs died together: what each said of the other is as old as both. It may be a cut as well."""
    bench = two_hubs_fell_silent()
    for name in "abc":
        assert bench.changes == [], "somebody who is reached has a link to both"
        bench.tell(lists(name, down="ht"))
    lost_at = bench.now
    assert sorted(bench.changes) == [(lost_at, "h", "suspect"), (lost_at, "t", "suspect")]
    bench.run(3 * SECOND)
    assert sorted(bench.changes[2:]) == [(lost_at + 2 * SHORT_US, name, "dead") for name in "ht"]


def test_who_is_vouched_for_along_a_chain_that_reaches_us_is_not_severed() -> None:
    """Its neighbour's neighbour is ours."""
    bench = Bench("a", "bctdef")
    bench.tell(lists("a", up="b"))
    bench.tell(lists("b", up="c"))
    bench.tell(lists("c", up="t"))
    bench.mute = "t"
    bench.tell(lists("b", up="c", down="t"))
    bench.tell(accuses("b", ("t", 1, "dead")))
    bench.run(SECOND)
    assert bench.state("t") == "suspect"
    bench.tell(lists("b", down="ct"))
    bench.run(SECOND)
    assert bench.state("t") == "dead"


def test_half_of_the_mesh_that_vouches_for_itself_keeps_the_long_suspicion() -> None:
    """It is a cut, and we may be on the smaller side of it."""
    bench = Bench("abxyz")
    for name in "xyz":
        bench.tell(lists(name, up="xyz".replace(name, "")))
    bench.run(10 * SECOND)
    bench.mute = "xyz"
    for name in "xyz":
        bench.tell(LinkDown(node_of(name), "silent"))
    bench.run(3 * SECOND)
    assert {bench.state(name) for name in "xyz"} <= {"alive", "suspect"}


def test_a_node_that_lost_all_its_links_concludes_nothing_from_them() -> None:
    """It is more likely the one that is cut off."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.mute = "abt"
    for name in "abt":
        bench.tell(LinkDown(node_of(name), "silent"))
    assert [change for change in bench.changes if change[2] == "dead"] == []
    bench.run(4 * SECOND)
    assert {bench.state(name) for name in "ab"} == {"suspect"}
    assert bench.accused[-1][1] == (), "what it said while it lost them is taken back"


def test_only_four_of_many_neighbours_accuse_at_once() -> None:
    """The dead hub of a large star: the fifth of those who lost their links waits for what the four bring about."""
    first = FIRST
    bench = Bench(first + "t")
    bench.run(10 * SECOND)
    bench.mute = "t"
    for name in first:
        bench.tell(lists(name, down="t"))
    bench.tell(LinkDown(node_of("t"), "silent"))
    assert bench.accused == []
    at = bench.now
    bench.tell(accuses(first[0], ("t", 1, "suspect")))
    bench.run(2 * SECOND)
    assert bench.changes == [(at, "t", "suspect"), (at + SHORT_US, "t", "dead")]


def test_one_of_the_four_accuses_too_when_another_was_faster() -> None:
    """Or the others would wait for the fourth in vain, and each accuse for itself once its probe has failed."""
    bench = Bench("abt")
    bench.tell(lists("a", up="t"))
    bench.tell(lists("b", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.tell(lists("a", down="t"))
    bench.tell(accuses("a", ("t", 1, "suspect")))
    assert (bench.state("t"), bench.accused) == ("suspect", [])
    bench.tell(lists("b", down="t"))
    assert bench.accused == [(bench.now, (("t", "suspect"),))]


def test_a_probe_in_vain_of_a_severed_member_that_is_accused_already_is_told_to_nobody() -> None:
    """Nobody has a link to it, and somebody said so: n nodes whose probes fail would cost n floods."""
    bench = Bench("a", "t")
    bench.tell(lists("a", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    while not bench.asked:  # half a second more, and a probe of it has failed
        bench.run(50 * MILLISECOND)
    bench.tell(lists("a", down="t"))
    bench.tell(accuses("a", ("t", 1, "suspect")))
    bench.run(3 * SECOND)
    assert (bench.state("t"), bench.accused) == ("suspect", [])
    bench.tell(accuses("a", ("t", 1, "dead")))
    bench.run(SECOND)
    assert (bench.state("t"), bench.accused) == ("dead", [])


def test_nobody_is_asked_to_probe_a_severed_member() -> None:
    """By all records there is nobody who could reach it; who might be reached by somebody is asked for."""
    for still, asked in (("", False), ("t", True)):
        bench = Bench("abt")
        bench.tell(lists("b", up="t"))
        bench.run(10 * SECOND)
        bench.mute = "t"
        bench.asked.clear()
        bench.tell(LinkDown(node_of("t"), "silent"))
        bench.tell(lists("b", up=still, down="" if still else "t"))
        bench.run(900 * MILLISECOND)
        assert bool(bench.asked) is asked


def test_a_node_that_ran_late_waits_longer() -> None:
    """Bad local health adds half to the short time, and after a stretch that it slept through a quarter is left."""
    bench = Bench("abt")
    bench.run(10 * SECOND)
    bench.tell(Late(400 * MILLISECOND))
    assert bench.core.local_health == 1
    bench.mute = "abt"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.run(SHORT_US + SHORT_US // 2 - 100 * MILLISECOND)
    assert bench.state("t") == "suspect"
    bench.tell(Late(300 * MILLISECOND))
    bench.run(SHORT_US // 4)
    assert bench.state("t") == "suspect"
    bench.run(SHORT_US // 4)
    assert bench.state("t") == "dead"


def test_link_evidence_can_be_switched_off() -> None:
    """Plain SWIM with Lifeguard then."""
    bench = Bench("abt", settings=MembershipSettings(link_evidence_ms=0))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.run(3 * SECOND)
    assert bench.state("t") == "suspect"


def test_the_records_of_who_forked_are_no_evidence() -> None:
    """Withdrawn: it vouches for nobody, and accuses nobody."""
    bench = Bench("abt")
    bench.tell(lists("b", up="t"))
    bench.run(10 * SECOND)
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    assert bench.state("t") == "alive"
    bench.tell(Withdrawn(node_of("b"), Kind.LINKS, ""))
    assert bench.state("t") == "suspect"


def test_a_dead_member_is_pinged_for_ever_at_a_low_rate_and_told() -> None:
    """Every dead_probe_interval one of them, at random: whoever is alive after all refutes."""
    bench = Bench("abt", settings=MembershipSettings(dead_probe_interval_ms=5_000))
    bench.mute = "t"
    bench.tell(LinkDown(node_of("t"), "silent"))
    bench.run(3 * SECOND)
    assert bench.state("t") == "dead"
    pings: list[int] = []
    now, until = bench.now, bench.now + 60 * SECOND
    while now < until:
        now = bench.core.next_deadline() or now
        for effect in bench.core.on_timer(now):
            if isinstance(effect, Send) and effect.to == node_of("t"):
                assert isinstance(effect.message, Ping) and effect.message.accused == 1
                pings.append(now)
            elif isinstance(effect, Send) and isinstance(effect.message, Ping):
                bench.core.on_message(now, effect.to, Ack(effect.message.seq))
    assert len(pings) == 12


def test_refutations_are_paced() -> None:
    """An insider accuses each new incarnation by ping: four synced writes at once, then one a second."""
    bench = Bench("a")
    raised: list[int] = []
    for now in range(0, 20 * SECOND, 10 * MILLISECOND):
        before = bench.core.incarnation
        effects = bench.core.on_message(now, node_of("a"), Ping(1, before))
        if (bench.core.next_deadline() or 0) <= now:
            effects += bench.core.on_timer(now)
        if bench.core.incarnation > before:
            raised.append(now)
            bench.core.on_event(now, Persisted(bench.core.incarnation))
    assert len(raised) in (23, 24)
    assert raised[3] < 100 * MILLISECOND
    assert min(two - one for one, two in pairwise(raised[4:])) >= 990 * MILLISECOND


def test_a_member_in_another_place_on_the_roster_is_described_anew() -> None:
    """Its cluster or role was changed by whoever may: topology and screens hear of it."""
    bench = Bench("ab")
    effects = bench.core.on_event(0, MemberAdmitted(node_of("b"), key_of("b"), "elsewhere", "hub"))
    told = [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, MemberDescribed)]
    assert [(event.node, event.cluster, event.role) for event in told] == [(node_of("b"), "elsewhere", "hub")]
    assert bench.core.on_event(0, MemberAdmitted(node_of("b"), key_of("b"), "elsewhere", "hub")) == []
    assert next(m for m in bench.core.report() if m.node == node_of("b")).role == "hub"


@pytest.mark.parametrize("part", ["local_health", "suspicion", "buddy"])
def test_each_part_of_lifeguard_can_be_switched_off(part: str) -> None:
    """And only that part: for the ablation."""
    lifeguard = {"local_health": True, "suspicion": True, "buddy": True} | {part: False}
    settings = MembershipSettings(lifeguard=type(MembershipSettings().lifeguard)(**lifeguard))
    bench = Bench("abcdt", settings=settings)
    bench.run(500 * MILLISECOND)
    bench.tell(Late(400 * MILLISECOND))
    assert bench.core.local_health == (0 if part == "local_health" else 1)
    bench.tell(accuses("a", ("t", 1, "suspect")))
    pinged: list[int] = []
    now = bench.now
    while not pinged:
        now = bench.core.next_deadline() or now
        sends = [effect for effect in bench.core.on_timer(now) if isinstance(effect, Send)]
        pinged += [e.message.accused for e in sends if isinstance(e.message, Ping) and e.to == node_of("t")]
    assert pinged == [-1 if part == "buddy" else 1]
    bench.tell(accuses("a", ("t", 1, "dead")))
    bench.mute = "t"
    bench.run(3 * SECOND)
    assert bench.state("t") == ("dead" if part == "suspicion" else "suspect")


def test_a_suspicion_that_confirmations_shorten_into_the_past_is_due_now_and_nobody_was_late() -> None:
    """Suspected by one for 10 s, then all others confirm: the time was over after 4 s, so it is dead at once. How late
    we are is read from the router's deadline, which is now."""
    bench = Bench("abcd", "t")
    bench.mute = "t"
    bench.tell(accuses("a", ("t", 1, "suspect")))
    bench.run(10 * SECOND)
    assert bench.state("t") == "suspect"
    router = Router((bench.core,))
    assert (router.next_deadline() or 0) > bench.now
    for event in (accuses("b", ("t", 1, "suspect")), accuses("c", ("t", 1, "dead"))):
        bench.take(router.event(bench.now, event))
    assert router.next_deadline() == bench.now
    bench.take(router.timer(bench.now))
    assert bench.state("t") == "dead"


def test_what_comes_while_we_are_late_hides_nothing_of_it() -> None:
    """On a busy machine messages come before the timer that is a second overdue: overdue it stays."""
    bench = Bench("ab")
    due = bench.core.next_deadline()
    assert due is not None
    bench.now = due + SECOND
    bench.tell(says("b", 2))
    assert bench.core.next_deadline() == due


def test_records_heard_before_we_were_cut_off_shorten_nothing_afterwards() -> None:
    """What still waits in our inbox tells of others; without a link we are the one who is cut off."""
    bench = Bench("a", "t")
    bench.mute = "at"
    bench.tell(lists("a", down="t"))
    bench.tell(LinkDown(node_of("a"), "silent"))
    bench.tell(accuses("a", ("t", 1, "suspect")))
    bench.run(2 * SECOND)
    assert bench.state("t") == "suspect"
    bench.mute = "t"
    bench.tell(LinkUp(node_of("a"), "quic"))
    returned_at = bench.now
    bench.run(8 * SECOND)
    dead_at = [when for when, name, state in bench.changes if (name, state) == ("t", "dead")]
    assert len(dead_at) == 1
    assert dead_at[0] - returned_at <= 8 * SHORT_US, "once linked again, the records count, by our local health"


def test_whom_nobody_lists_any_more_is_forgotten() -> None:
    """Anyone may be named in a record: a member that names others in each of its own must not fill us."""
    evidence = Evidence(node_of("me"))
    for turn in range(50):
        for state in ("up", "down"):
            listed = tuple(Adjacency(node_of(f"{state}{turn}-{n}"), state, "quic", 1_000, 0) for n in range(3))
            evidence.advertised(0, node_of("a"), LinksRecord(listed))
    evidence.advertised(0, node_of("a"), LinksRecord(()))
    assert (evidence._up, evidence._lost) == ({}, {})
