"""Membership cores on a pretend wire: what a mesh of them concludes about crashes, cuts, pauses and goodbyes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    Dropped,
    Fault,
    Late,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    MemberDescribed,
    MemberExpelled,
    Persisted,
    Publish,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Emit, Lane, Persist, Put, Send
from arqonmesh.core.membership.core import ACCUSATIONS_MAX, Membership
from arqonmesh.core.membership.proof import signed_ack
from arqonmesh.wire.messages import Ack, Nack, Ping, PingFor, PingReq, SignedAck
from arqonmesh.wire.statement import Accusation, Accusations, Kind, NodeRecord
from tests.core.membership.wire import Wire
from tests.core.toy import MESH, env_of, key_of, node_of

FIVE = "abcde"


def record(name: str, incarnation: int, *, leaving: bool = False) -> NodeRecord:
    return NodeRecord(
        node_key=key_of(name),
        cluster=name,
        role="hub",
        region="eu",
        addresses=(f"{name}.example:9130",),
        incarnation=incarnation,
        leaving=leaving,
        software="arqonmesh/test",
        capabilities=(),
    )


def accuses(name: str, *accusations: tuple[str, int, str]) -> Applied:
    body = Accusations(tuple(Accusation(node_of(target), at, level) for target, at, level in accusations))
    return Applied(node_of(name), Kind.ACCUSATIONS, "", body, b"", False)


def says(name: str, incarnation: int, *, leaving: bool = False) -> Applied:
    return Applied(node_of(name), Kind.NODE, "", record(name, incarnation, leaving=leaving), b"", False)


def alone(*others: str) -> Membership:
    """One core `me` with a link and these members, all alive at incarnation 1, and its own record out."""
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    core.on_event(0, Persisted(1))
    for name in others:
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), name, "hub"))
        core.on_event(0, says(name, 1))
        core.on_event(0, LinkUp(node_of(name), "quic"))
    return core


def test_a_healthy_mesh_accuses_nobody() -> None:
    """Ten minutes, sixteen members, one ping a second each: no change after the first, about two sends a second."""
    wire = Wire("abcdefghijklmnop")
    wire.run(5 * SECOND)
    settled = len(wire.changes)
    before = dict(wire.sent)
    wire.run(600 * SECOND)
    assert wire.changes[settled:] == []
    for node, sent in wire.sent.items():
        assert (sent - before[node]) / 600 < 2.2


@pytest.mark.requirement("R-MB-1")
@pytest.mark.parametrize("size", [3, 5, 9, 32])
def test_a_crash_is_detected_by_all_within_memberlists_time(size: int) -> None:
    """Suspect within two periods (our link fell), dead at every node within that plus 4 x max(1, log10 n) s + 2 s."""
    names = "abcdefghijklmnopqrstuvwxyz234567"[:size]
    wire = Wire(names)
    wire.run(10 * SECOND)
    at = wire.now
    wire.crash(names[0])
    wire.run(20 * SECOND)
    assert wire.states(names[0]) == dict.fromkeys(names[1:], "dead")
    suspected = [when - at for when, _, about in wire.seen("suspect", at) if about == names[0]]
    dead = [when - at for when, _, about in wire.seen("dead", at)]
    assert min(suspected) <= 2 * SECOND
    assert len(dead) == size - 1
    assert max(dead) <= (10 if size == 32 else 8) * SECOND
    assert {about for _, _, about in wire.seen("dead", at)} == {names[0]}


def test_a_crash_is_detected_when_no_link_fell() -> None:
    """A member that we only reach by relay is found by probing alone."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    del wire.cores[node_of("c")]
    wire.run(40 * SECOND)
    assert wire.states("c") == dict.fromkeys("abde", "dead")


def test_a_false_suspicion_is_refuted_by_its_subject_alone() -> None:
    """Someone slanders c; c raises its incarnation, on disk first, and everyone sees it alive again."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    before = wire.core("c").incarnation
    body = Accusations((Accusation(node_of("c"), before, "suspect"),))
    wire.publish(node_of("a"), Kind.ACCUSATIONS, "", body)
    wire.run(SECOND)
    assert wire.core("c").incarnation == before + 1
    assert wire.states("c") == dict.fromkeys("abde", "alive")
    assert wire.core("c").local_health <= 1
    assert wire.seen("dead") == []
    assert wire.disks[node_of("c")][("membership", "incarnation")][2] == (before + 1).to_bytes(8, "big")


def test_anothers_dead_alone_is_not_adopted() -> None:
    """A lone accuser's `dead` starts a suspicion with the shortest timeout; the refutation ends it."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    at = wire.core("c").incarnation
    body = Accusations((Accusation(node_of("c"), at, "dead"),))
    wire.publish(node_of("a"), Kind.ACCUSATIONS, "", body)
    wire.run(10 * SECOND)
    assert wire.seen("dead") == []
    assert wire.states("c") == dict.fromkeys("abde", "alive")


def test_anothers_dead_shortens_our_suspicion_to_the_minimum() -> None:
    """n = 5: 4 s instead of 24 s, and then it is our own verdict."""
    core = alone("a", "b", "c", "d")
    core.on_event(SECOND, accuses("a", ("c", 1, "dead")))
    assert core.state_of(node_of("c")) == "suspect"
    found: list[int] = []
    now = SECOND
    while not found and now < 30 * SECOND:
        now = core.next_deadline() or now
        effects = core.on_timer(now)
        for name in "abd":
            for effect in effects:
                if isinstance(effect, Send) and effect.to == node_of(name):
                    answer = Ack(effect.message.seq) if isinstance(effect.message, Ping) else None
                    if answer is not None:
                        core.on_message(now, effect.to, answer)
        found = [now for e in effects if isinstance(e, Emit) and isinstance(e.event, MemberChanged)]
    assert found == [5 * SECOND]
    assert core.state_of(node_of("c")) == "dead"


def test_leaving_is_not_failing() -> None:
    """The record says so; nobody suspects, nobody probes, nobody accuses."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    leaver = node_of("c")
    wire.perform(leaver, wire.core("c").leave(wire.now))
    wire.run(100 * MILLISECOND)
    wire.crash("c")
    wire.run(60 * SECOND)
    assert wire.states("c") == dict.fromkeys("abde", "left")
    assert wire.seen("suspect") == [] and wire.seen("dead") == []


def test_a_node_that_comes_back_is_alive_at_a_higher_incarnation() -> None:
    """Dead, then restarted from its disk: its first record outranks every accusation."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    before = wire.core("c").incarnation
    wire.crash("c")
    wire.run(20 * SECOND)
    assert wire.states("c") == dict.fromkeys("abde", "dead")
    wire.boot("c")
    wire.run(SECOND)
    assert wire.core("c").incarnation > before
    assert wire.states("c") == dict.fromkeys("abde", "alive")


@pytest.mark.parametrize("pause_s", [2, 8, 16, 32])
def test_a_paused_process_convicts_nobody(pause_s: int) -> None:
    """SIGSTOP for seconds: on waking it neither suspects nor declares anyone, and it is alive again everywhere."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    wire.freeze("c")
    wire.run(pause_s * SECOND)
    wire.thaw("c")
    woke = wire.now
    wire.run(30 * SECOND)
    assert [change for change in wire.changes if change[1] == "c" and change[0] >= woke and change[4] != "alive"] == []
    assert {about for _, _, about in wire.seen("dead")} <= {"c"}
    assert wire.states("c") == dict.fromkeys("abde", "alive")


def test_half_of_the_mesh_pausing_together_convicts_no_healthy_member() -> None:
    """Lifeguard's interval experiment in small: four of nine stopped for 8 s, three times."""
    wire = Wire("abcdefghi")
    wire.run(10 * SECOND)
    for _ in range(3):
        for name in "abcd":
            wire.freeze(name)
        wire.run(8 * SECOND)
        for name in "abcd":
            wire.thaw(name)
        wire.run(2 * SECOND)
    wire.run(20 * SECOND)
    assert [about for _, _, about in wire.seen("dead") if about not in "abcd"] == []
    for name in "abcdefghi":
        assert dict.fromkeys(wire.states(name).values()) == {"alive": None}


def test_a_one_way_cut_between_two_members_convicts_neither() -> None:
    """Others reach both: the indirect probes answer."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    at = wire.now
    wire.sever("a", "b")
    wire.run(120 * SECOND)
    assert wire.seen("suspect", at) == []


def test_a_member_whose_sends_all_vanish_is_found_dead_and_heals() -> None:
    """It hears everyone and nobody hears it; after the heal one refutation settles it."""
    wire = Wire(FIVE)
    wire.run(10 * SECOND)
    for other in "abde":
        wire.sever("c", other)
    wire.run(60 * SECOND)
    assert wire.states("c") == dict.fromkeys("abde", "dead")
    wire.heal()
    wire.run(15 * SECOND)
    for name in FIVE:
        assert dict.fromkeys(wire.states(name).values()) == {"alive": None}, name


def test_after_a_partition_everyone_is_alive_again() -> None:
    """Two halves held each other dead; the accusations meet their subjects, who refute them."""
    wire = Wire("abcdef")
    wire.run(10 * SECOND)
    for one in "abc":
        for two in "def":
            wire.sever(one, two)
            wire.sever(two, one)
    wire.run(60 * SECOND)
    assert wire.states("d") == {"a": "dead", "b": "dead", "c": "dead", "e": "alive", "f": "alive"}
    wire.heal()
    wire.run(5 * SECOND)
    for name in "abcdef":
        assert dict.fromkeys(wire.states(name).values()) == {"alive": None}, name


def test_a_node_without_any_link_accuses_in_private_and_takes_it_back() -> None:
    """It may believe what it likes of others, but nobody hears of it, and the first link ends it."""
    core = alone()
    for name in "ab":
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), name, "hub"))
        core.on_event(0, says(name, 1))
    published: list[object] = []
    now = 0
    while now < 60 * SECOND:
        now = core.next_deadline() or now
        events = [effect.event for effect in core.on_timer(now) if isinstance(effect, Emit)]
        published += [event for event in events if isinstance(event, Publish | Fault)]
    assert published == []
    assert core.state_of(node_of("a")) == core.state_of(node_of("b")) == "dead"
    core.on_event(now, LinkUp(node_of("a"), "quic"))
    assert core.state_of(node_of("a")) == core.state_of(node_of("b")) == "alive"


def test_a_failed_probe_asks_others_and_then_suspects() -> None:
    """Pings at 0 and half the timeout, three others at the timeout, the verdict at the end of the period."""
    core = alone("a", "b", "c", "d")
    wired: list[tuple[int, Send]] = []
    now = 0
    changed: list[MemberChanged] = []
    while not changed:
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send):
                wired.append((now, effect))
            elif isinstance(effect, Emit) and isinstance(effect.event, MemberChanged):
                changed.append(effect.event)
    start, first = wired[0]
    target = first.to
    mine = [(at - start, e) for at, e in wired if at - start <= 500 * MILLISECOND]
    assert [at for at, e in mine if isinstance(e.message, Ping)] == [0, 250 * MILLISECOND, 500 * MILLISECOND]
    asked = [(at, e.to) for at, e in mine if isinstance(e.message, PingReq)]
    assert len(asked) == 3
    assert all(at == 500 * MILLISECOND and to != target for at, to in asked)
    assert all(e.lane is Lane.DATAGRAM for _, e in wired)
    assert (changed[0].node, changed[0].new) == (target, "suspect")
    assert now - start == SECOND


def signed(by: str, asker: str, seq: int) -> SignedAck:
    """`by` itself answers, under its signature."""
    return signed_ack(env_of(by).crypto, MESH, node_of(by), node_of(asker), seq)


def probing(core: Membership) -> tuple[int, str, int, list[str]]:
    """Let a probe go unanswered until others are asked: (now, target, its number, helpers), by name."""
    named = {node_of(name): name for name in "abcde"}
    now = core.next_deadline() or 0
    (ping,) = [e for e in core.on_timer(now) if isinstance(e, Send)]
    assert isinstance(ping.message, Ping)
    helpers: list[Send] = []
    while not helpers:
        now = core.next_deadline() or now
        helpers = [e for e in core.on_timer(now) if isinstance(e, Send) and isinstance(e.message, PingReq)]
    return now, named[ping.to], ping.message.seq, [named[e.to] for e in helpers]


def answering(core: Membership, now: int, until: int, *, but: str = "") -> list[MemberChanged]:
    """Let time pass while everyone `but` one answers pings; what changed."""
    changed: list[MemberChanged] = []
    while now < until:
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Emit) and isinstance(effect.event, MemberChanged):
                changed.append(effect.event)
            elif isinstance(effect, Send) and isinstance(effect.message, Ping) and effect.to != node_of(but):
                core.on_message(now, effect.to, Ack(effect.message.seq))
    return changed


def test_an_answer_through_another_counts_when_its_subject_signed_it() -> None:
    """The helper carries it; the probe is over and nobody is suspected."""
    core = alone("a", "b", "c", "d", "e")
    now, target, seq, helpers = probing(core)
    core.on_message(now, node_of(helpers[0]), Nack(seq))
    core.on_message(now, node_of(helpers[1]), signed(target, "me", seq))
    assert answering(core, now, now + 2 * SECOND) == []


@pytest.mark.requirement("R-MB-7")
@pytest.mark.parametrize("forgery", ["plain", "by the helper", "for another number", "for another asker"])
def test_nobody_can_answer_in_anothers_name(forgery: str) -> None:
    """A helper's own word, its own signature, or an old one of the target: the target is suspected all the same."""
    core = alone("a", "b", "c", "d", "e")
    now, target, seq, helpers = probing(core)
    helper = helpers[0]
    answers: dict[str, Ack | SignedAck] = {
        "plain": Ack(seq),
        "by the helper": SignedAck(node_of(target), node_of("me"), seq, signed(helper, "me", seq).signature),
        "for another number": SignedAck(node_of(target), node_of("me"), seq, signed(target, "me", seq ^ 1).signature),
        "for another asker": SignedAck(node_of(target), node_of("me"), seq, signed(target, helper, seq).signature),
    }
    effects = core.on_message(now, node_of(helper), answers[forgery])
    assert len(effects) == (forgery != "plain")
    changed = answering(core, now, now + 2 * SECOND, but=target)
    assert [(change.node, change.new) for change in changed] == [(node_of(target), "suspect")]


def test_a_forged_sign_of_life_does_not_prolong_a_suspicion() -> None:
    """A relay pings and answers in the suspect's name all the time: dead at the same moment as without."""
    core = alone("a", "b", "d")
    core.on_event(0, MemberAdmitted(node_of("c"), key_of("c"), "c", "spoke"))
    core.on_event(0, says("c", 1))
    core.on_event(SECOND, accuses("a", ("c", 1, "dead")))
    now = SECOND
    while core.state_of(node_of("c")) == "suspect":
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send) and isinstance(effect.message, Ping):
                if effect.to == node_of("c"):
                    core.on_message(now, node_of("c"), Ping(1, -1))
                    core.on_message(now, node_of("c"), Ack(1))
                    forged = SignedAck(node_of("c"), node_of("me"), effect.message.seq, bytes(64))
                    core.on_message(now, node_of("c"), forged)
                else:
                    core.on_message(now, effect.to, Ack(effect.message.seq))
    assert now == 5 * SECOND


def test_a_linked_asker_is_answered_plainly_and_any_other_under_our_signature() -> None:
    """A signature costs some 100 us, so it is made where other hands carry the answer."""
    core = alone("a")
    core.on_event(0, MemberAdmitted(node_of("far"), key_of("far"), "far", "spoke"))
    assert core.on_message(0, node_of("a"), Ping(7, -1)) == [Send(node_of("a"), Lane.DATAGRAM, Ack(7))]
    far, helped = node_of("far"), PingFor(9, -1, node_of("far"))
    assert core.on_message(0, far, Ping(7, -1)) == [Send(far, Lane.DATAGRAM, signed("me", "far", 7))]
    assert core.on_message(0, node_of("a"), helped) == [Send(node_of("a"), Lane.DATAGRAM, signed("me", "far", 9))]


def test_probe_numbers_cannot_be_foretold() -> None:
    """Whoever could would collect signed answers from the living and show them when they are dead."""
    core = alone("a", "b", "c")
    seqs: list[int] = []
    now = 0
    while len(seqs) < 50:
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send) and isinstance(effect.message, Ping):
                seqs.append(effect.message.seq)
                core.on_message(now, effect.to, Ack(effect.message.seq))
    gaps = {(two - one) & 0xFFFF_FFFF for one, two in pairwise(seqs)}
    assert len(gaps) == 49
    assert max(seqs) > 1 << 30


def test_missing_nacks_lower_the_trust_in_ourselves() -> None:
    """Three asked, one nack: two are missing; probing slows down accordingly."""
    core = alone("a", "b", "c", "d")
    now = 0
    while core.local_health == 0:
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if (
                isinstance(effect, Send)
                and isinstance(effect.message, PingReq)
                and effect.to == min(node_of(n) for n in "abcd")
            ):
                core.on_message(now, effect.to, Nack(effect.message.seq))
    assert core.local_health in (2, 3)


def test_a_probe_for_another_is_answered_with_its_signature_or_nack() -> None:
    """Nack after 80 % of the probe timeout, so that it arrives before the asker's verdict."""
    core = alone("a", "b", "c")
    (ping,) = core.on_message(0, node_of("a"), PingReq(7, node_of("b")))
    assert ping == Send(node_of("b"), Lane.DATAGRAM, PingFor(7, -1, node_of("a")))
    assert core.on_message(1, node_of("c"), signed("c", "a", 7)) == []
    answer = signed("b", "a", 7)
    assert core.on_message(1, node_of("b"), answer) == [Send(node_of("a"), Lane.DATAGRAM, answer)]
    assert core.on_message(2, node_of("b"), answer) == []
    core.on_message(0, node_of("a"), PingReq(8, node_of("b")))
    nacks: list[int] = []
    now = 0
    while now < 400 * MILLISECOND:
        now = core.next_deadline() or now
        nacks += [now for e in core.on_timer(now) if e == Send(node_of("a"), Lane.DATAGRAM, Nack(8))]
    assert nacks == [400 * MILLISECOND]


def test_errands_are_bounded() -> None:
    """One asker's flood costs 32 of 512 entries, is counted and refused from there on; others are still served."""
    askers = tuple("acdefghijklmnopqr")
    core = alone(*askers, "b")
    served = dict.fromkeys(askers, 0)
    for asker in askers:
        for seq in range(200):
            effects = core.on_message(0, node_of(asker), PingReq(seq, node_of("b")))
            refused = Emit(Dropped("membership", "errands-full", 1, node_of(asker))) in effects
            assert refused == (Send(node_of(asker), Lane.DATAGRAM, Nack(seq)) in effects)
            served[asker] += not refused
    assert served == {**dict.fromkeys(askers[:-1], 32), "r": 0}
    now = core.next_deadline() or 0
    while now < SECOND:  # every errand has come to its end
        core.on_timer(now)
        now = core.next_deadline() or SECOND
    (effect,) = core.on_message(now, node_of("r"), PingReq(1, node_of("b")))
    assert isinstance(effect, Send) and effect.to == node_of("b")


def test_a_ping_that_carries_a_suspicion_is_refuted_at_once() -> None:
    """Lifeguard's buddy: the persisted incarnation comes first, the record after it is on disk."""
    core = alone("a")
    effects = core.on_message(0, node_of("a"), Ping(1, 1))
    assert effects[0] == Send(node_of("a"), Lane.DATAGRAM, Ack(1))
    assert isinstance(effects[1], Persist)
    assert effects[1].writes == (Put("scalars", ("membership", "incarnation", (2).to_bytes(8, "big"))),)
    assert core.on_message(0, node_of("a"), Ping(2, 1)) == [Send(node_of("a"), Lane.DATAGRAM, Ack(2))]
    (out,) = core.on_event(1, Persisted(effects[1].token))
    assert isinstance(out, Emit) and isinstance(out.event, Publish)
    assert isinstance(out.event.body, NodeRecord) and out.event.body.incarnation == 2


@pytest.mark.parametrize("level", ["suspect", "dead"])
def test_a_recorded_accusation_of_ourselves_is_refuted_and_not_adopted(level: str) -> None:
    """No ping of the accuser reaches us; its record alone makes us speak up, and we are alive to ourselves."""
    core = alone("a")
    (effect,) = core.on_event(0, accuses("a", ("me", 1, level)))
    assert isinstance(effect, Persist)
    assert effect.writes == (Put("scalars", ("membership", "incarnation", (2).to_bytes(8, "big"))),)
    assert core.state_of(node_of("me")) in ("", "alive")


@pytest.mark.parametrize("accused", [0, 2, 5, 2**63 - 1])
def test_nobody_can_be_driven_to_exhaust_its_incarnations(accused: int) -> None:
    """An accusation of an incarnation that was never published is not answered."""
    core = alone("a")
    assert core.on_message(0, node_of("a"), Ping(1, accused)) == [Send(node_of("a"), Lane.DATAGRAM, Ack(1))]
    assert core.on_event(0, accuses("a", ("me", accused, "dead"))) == []
    assert core.incarnation == 1


def test_a_member_that_never_spoke_is_not_probed_and_not_judged() -> None:
    """Admitted, no record: unknown."""
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    core.on_event(0, Persisted(1))
    core.on_event(0, LinkUp(node_of("a"), "quic"))
    core.on_event(0, MemberAdmitted(node_of("a"), key_of("a"), "a", "spoke"))
    core.on_event(0, accuses("b", ("a", 0, "dead")))
    now = 0
    while now < 30 * SECOND:
        now = core.next_deadline() or now
        assert [e for e in core.on_timer(now) if isinstance(e, Send)] == []
    assert core.state_of(node_of("a")) == ""


def test_a_suspect_that_answers_us_is_given_its_time_again() -> None:
    """Its refutation may be held up, but it is plainly not dead; three times at most."""
    core = alone("a", "b", "c")
    core.on_event(0, accuses("a", ("c", 1, "dead")))
    now = 0
    while core.state_of(node_of("c")) == "suspect":
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send) and isinstance(effect.message, Ping):
                core.on_message(now, effect.to, Ack(effect.message.seq))
        assert now < 60 * SECOND
    assert now == 16 * SECOND


def test_lateness_postpones_what_is_pending_and_counts_once() -> None:
    """The loop and the timer tell of the same stretch of time, each by a Late event; local health falls by one."""
    core = alone("a", "b", "c", "d")
    core.on_event(0, accuses("a", ("c", 1, "suspect"), ("b", 1, "dead")))
    woke = 100 * SECOND
    for _ in range(2):
        core.on_event(woke, Late(99 * SECOND))
    effects = core.on_timer(woke)
    assert [e for e in effects if isinstance(e, Emit) and isinstance(e.event, MemberChanged)] == []
    assert core.local_health == 1
    assert core.state_of(node_of("c")) == core.state_of(node_of("b")) == "suspect"


def test_a_probe_that_was_under_way_while_we_slept_gives_no_verdict() -> None:
    """Asleep from the ping until long after its end: it is given the time again, and the answer then counts."""
    core = alone("a")
    now = core.next_deadline() or 0
    (ping,) = core.on_timer(now)
    assert isinstance(ping, Send) and isinstance(ping.message, Ping)
    now += 520 * MILLISECOND
    core.on_timer(now)
    woke = now + 30 * SECOND
    core.on_event(woke, Late(woke - (core.next_deadline() or woke)))
    effects = core.on_timer(woke)
    assert [e for e in effects if isinstance(e, Emit)] == []
    core.on_message(woke + 1, node_of("a"), Ack(ping.message.seq))
    now = woke
    while now < woke + 400 * MILLISECOND:
        now = core.next_deadline() or now
        assert [e for e in core.on_timer(now) if isinstance(e, Emit)] == []


def test_a_probe_is_given_again_only_the_time_in_which_it_was_under_way() -> None:
    """We slept for 900 ms, of which the probe saw the last 100: its verdict comes after 1.1 s, not after 1.9."""
    core = alone("a")
    first = core.next_deadline() or 0
    (ping,) = core.on_timer(first)
    assert isinstance(ping, Send) and isinstance(ping.message, Ping)
    core.on_message(first, node_of("a"), Ack(ping.message.seq))
    began = first + SECOND
    (ping,) = core.on_timer(began)
    assert isinstance(ping, Send) and isinstance(ping.message, Ping)
    core.on_event(began + 100 * MILLISECOND, Late(900 * MILLISECOND))
    now = began
    while core.state_of(node_of("a")) == "alive":
        now = core.next_deadline() or now
        core.on_timer(now)
    assert now == began + 1_100 * MILLISECOND


def test_pings_tell_a_suspect_at_which_incarnation_it_is_accused() -> None:
    """And tell others nothing."""
    core = alone("a", "b")
    core.on_event(0, says("b", 4))
    core.on_event(0, accuses("a", ("b", 4, "suspect")))
    told: dict[str, int] = {}
    now = 0
    while len(told) < 2:
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send) and isinstance(effect.message, Ping):
                told[effect.to] = effect.message.accused
                core.on_message(now, effect.to, Ack(effect.message.seq))
    assert told == {node_of("a"): -1, node_of("b"): 4}


@pytest.mark.parametrize(("accused_at", "state"), [(1, "alive"), (2, "suspect"), (3, "alive")])
def test_an_accusation_counts_against_the_incarnation_that_it_names(accused_at: int, state: str) -> None:
    """Below it is refuted; above it speaks of a record that we do not have."""
    core = alone("a", "b")
    core.on_event(0, says("b", 2))
    core.on_event(0, accuses("a", ("b", accused_at, "suspect")))
    assert core.state_of(node_of("b")) == state


def test_a_suspicion_at_a_newer_incarnation_begins_anew() -> None:
    """The member refuted, and was accused again before we heard of the first: it gets the whole time."""
    core = alone("a", "b", "c", "d")
    core.on_event(0, accuses("a", ("c", 1, "dead")))
    core.on_event(2 * SECOND, accuses("b", ("c", 2, "dead")))
    core.on_event(3 * SECOND, says("c", 2))
    assert core.state_of(node_of("c")) == "suspect"
    now = 0
    while core.state_of(node_of("c")) == "suspect":
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send) and isinstance(effect.message, Ping) and effect.to != node_of("c"):
                core.on_message(now, effect.to, Ack(effect.message.seq))
    assert now == 7 * SECOND


def test_at_most_64_accusations_are_published_and_the_rest_is_counted() -> None:
    """As many as the record carries: suspects first."""
    names = [f"n{i}" for i in range(80)]
    core = alone(*names)
    biggest = 0
    dropped = 0
    now = 0
    while now < 400 * SECOND:
        now = core.next_deadline() or now
        for effect in core.on_timer(now):
            if isinstance(effect, Send) and isinstance(effect.message, PingReq):
                core.on_message(now, effect.to, Nack(effect.message.seq))
            if isinstance(effect, Emit) and isinstance(effect.event, Publish):
                body = effect.event.body
                assert isinstance(body, Accusations)
                biggest = max(biggest, len(body.accusations))
                targets = [a.target for a in body.accusations]
                assert targets == sorted(targets)
            dropped += isinstance(effect, Emit) and isinstance(effect.event, Dropped)
    assert biggest == ACCUSATIONS_MAX
    assert dropped > 0


def test_the_dead_stay_dead_over_our_own_restart() -> None:
    """Our own record from disk reminds us, whatever order the records come in."""
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    core.on_event(0, accuses("me", ("a", 3, "dead"), ("b", 2, "suspect")))
    for name, incarnation in (("a", 3), ("b", 2)):
        core.on_event(0, says(name, incarnation))
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), name, "hub"))
    assert core.state_of(node_of("a")) == "dead"
    assert core.state_of(node_of("b")) == "alive"
    effects = core.on_event(0, Persisted(1))
    bodies = [e.event.body for e in effects if isinstance(e, Emit) and isinstance(e.event, Publish)]
    assert Accusations((Accusation(node_of("a"), 3, "dead"),)) in bodies


def test_a_new_life_begins_above_the_incarnation_on_disk() -> None:
    """What an earlier life signed is outranked by the first word of this one."""
    core = Membership(env_of("me"), MembershipSettings())
    (effect,) = core.start(0, {"scalars": [("membership", "incarnation", (7).to_bytes(8, "big"))]})
    assert isinstance(effect, Persist)
    assert effect.writes == (Put("scalars", ("membership", "incarnation", (8).to_bytes(8, "big"))),)
    assert core.incarnation == 8


def test_an_earlier_life_that_got_further_is_outranked() -> None:
    """Disk lost the counter; our own newest record comes back by gossip."""
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    core.on_event(0, Applied(node_of("me"), Kind.NODE, "", record("me", 9), b"", True))
    assert core.incarnation == 10


def test_a_new_description_is_published_at_the_same_incarnation() -> None:
    """Addresses may change without an accusation; the same description twice says nothing."""
    core = alone("a")
    (out,) = core.describe(("10.0.0.1:9130",), "arqonmesh/0.1.0", ("bus",))
    assert isinstance(out, Emit) and isinstance(out.event, Publish)
    body = out.event.body
    assert isinstance(body, NodeRecord)
    assert (body.addresses, body.incarnation, body.capabilities) == (("10.0.0.1:9130",), 1, ("bus",))
    assert core.describe(("10.0.0.1:9130",), "arqonmesh/0.1.0", ("bus",)) == []


def test_who_returns_after_leaving_is_described_again() -> None:
    """With the very address that it had: whoever gave up dialling it has to hear of it."""
    core = alone("a")
    core.on_event(0, says("a", 1, leaving=True))
    effects = core.on_event(0, says("a", 2))
    described = [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, MemberDescribed)]
    assert [(event.node, event.addresses) for event in described] == [(node_of("a"), ("a.example:9130",))]


def test_records_that_come_before_their_admissions_are_kept_for_a_whole_mesh() -> None:
    """At a start gossip tells all records in one breath; the admissions that they bring about are heard after them."""
    core = Membership(env_of("me"), MembershipSettings())
    core.start(0, {})
    names = [f"n{number}" for number in range(2_000)]
    for name in names:
        assert core.on_event(0, says(name, 1)) == []
    for name in names:
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), name, "hub"))
    assert {core.state_of(node_of(name)) for name in names} == {"alive"}


def test_who_has_left_is_stepped_over_by_no_pass_and_probed_again_when_it_returns() -> None:
    """Its own word takes it out of the rotation, and puts it back in."""
    core = alone("b", "c")
    core.on_event(1, says("c", 2, leaving=True))
    assert core.state_of(node_of("c")) == "left" and len(core.rotation) == 1
    assert {ping for at in range(1, 20) for ping in pinged(core, at * SECOND)} <= {node_of("b")}
    core.on_event(20 * SECOND, says("c", 3))
    assert core.state_of(node_of("c")) == "alive" and len(core.rotation) == 2


def test_who_is_put_out_is_forgotten_and_comes_back_with_its_record() -> None:
    """Told as one that has left; a probe of it that is under way says nothing; admitted again it is as good as new."""
    core = alone("b", "c")
    core.on_event(1, accuses("b", ("c", 1, "suspect")))
    [told] = [e.event for e in core.on_event(2, MemberExpelled(node_of("c"), "test")) if isinstance(e, Emit)]
    assert isinstance(told, MemberChanged) and told.new == "left"
    assert core.state_of(node_of("c")) == "" and len(core.rotation) == 1
    assert node_of("c") not in [member.node for member in core.report()]
    for at in range(1, 60):
        core.on_timer(at * SECOND)
    core.on_event(60 * SECOND, MemberAdmitted(node_of("c"), key_of("c"), "c", "hub"))
    assert core.state_of(node_of("c")) == "" and len(core.rotation) == 2
    core.on_event(60 * SECOND, says("c", 1))
    assert core.state_of(node_of("c")) in ("alive", "suspect")


def pinged(core: Membership, now: int) -> list[str]:
    """Whom a turn of the timer pings."""
    return [e.to for e in core.on_timer(now) if isinstance(e, Send) and isinstance(e.message, Ping)]
