"""While every link of ours owes an answer, silence says nothing about others."""

from __future__ import annotations

from arqonmesh.config.model import LifeguardSettings, MembershipSettings
from arqonmesh.core.events import (
    Applied,
    LinkDown,
    LinkMeasured,
    LinkSilent,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    Persisted,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Emit, Instant, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.core.membership.hearing import Hearing
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Ack, Ping, PingReq
from arqonmesh.wire.statement import Adjacency, Kind, Links, NodeRecord
from tests.core.toy import env_of, key_of, node_of

HUB = node_of("hub")


def spoke(settings: MembershipSettings | None = None) -> tuple[Membership, Instant]:
    """Of a star of six, linked to the hub alone, which has said that it is linked to everyone."""
    others = ("hub", "b", "c", "d", "e")
    core = Membership(env_of("a"), settings or MembershipSettings())
    core.start(0, {})
    core.on_event(0, Persisted(1))
    for name in others:
        core.on_event(0, MemberAdmitted(node_of(name), key_of(name), name, "hub"))
        record = NodeRecord(b"", name, "hub", "", (), 1, False, "", ())
        core.on_event(0, Applied(node_of(name), Kind.NODE, "", record, b"", ours=False))
    star = tuple(Adjacency(node_of(name), "up", "quic", 1_000, 0) for name in others[1:])
    core.on_event(0, Applied(HUB, Kind.LINKS, "", Links(star), b"", ours=False))
    core.on_event(0, LinkUp(HUB, "quic"))
    return core, 0


def unanswered(core: Membership, now: Instant, for_us: int) -> tuple[list[tuple[Instant, Send]], list[MemberChanged]]:
    """Let time pass in which nobody says anything: what leaves, and who is judged."""
    sent: list[tuple[Instant, Send]] = []
    judged: list[MemberChanged] = []
    until = now + for_us
    while (due := core.next_deadline()) is not None and due <= until:
        now = max(now, due)
        for effect in core.on_timer(now):
            if isinstance(effect, Send):
                sent.append((now, effect))
            elif isinstance(effect, Emit) and isinstance(effect.event, MemberChanged):
                judged.append(effect.event)
    return sent, judged


def asked(sent: list[tuple[Instant, Send]]) -> list[NodeId]:
    return [effect.to for _, effect in sent if isinstance(effect.message, PingReq)]


def test_who_hears_nothing_from_anywhere_asks_nobody_and_judges_nobody() -> None:
    """The hub stands still: what a spoke would ask others about others would only wait in its inbox."""
    core, now = spoke()
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    sent, judged = unanswered(core, now, 3 * SECOND)
    assert asked(sent) == []
    assert judged == []


def test_probes_go_on_where_they_were_when_the_link_answers_again() -> None:
    """Time in which nothing could be heard is no part of a probe; then others are asked as ever."""
    core, now = spoke()
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    unanswered(core, now, SECOND)
    now += SECOND
    core.on_event(now, LinkMeasured(HUB, MILLISECOND, 0, 0))
    sent, _ = unanswered(core, now, SECOND)
    assert asked(sent)


def test_one_link_that_answers_is_enough_to_hear_by() -> None:
    """A member that is silent while another link works is asked after as ever."""
    core, now = spoke()
    core.on_event(now, LinkUp(node_of("b"), "quic"))
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    sent, _ = unanswered(core, now, 3 * SECOND)
    assert asked(sent)


def pinged(sent: list[tuple[Instant, Send]]) -> list[tuple[NodeId, int]]:
    return [(effect.to, effect.message.seq) for _, effect in sent if isinstance(effect.message, Ping)]


def test_a_probe_waits_and_is_not_given_up() -> None:
    """The same one goes on, under its number."""
    core, now = spoke()
    sent, _ = unanswered(core, now, 1_100 * MILLISECOND)
    begun = pinged(sent)[-1]
    core.on_event(sent[-1][0], LinkSilent(HUB, 500 * MILLISECOND))
    unanswered(core, now + 1_100 * MILLISECOND, SECOND)
    core.on_event(now, LinkMeasured(HUB, MILLISECOND, 0, 0))
    later, _ = unanswered(core, now + 2_100 * MILLISECOND, SECOND)
    assert begun in pinged(later)


def test_an_answer_that_comes_all_the_same_counts() -> None:
    """The probe of the hub is over: neither is it pinged again under that number, nor is anybody asked about it."""
    core, now = spoke()
    sent: list[tuple[Instant, Send]] = []
    while not (of_hub := [seq for to, seq in pinged(sent) if to == HUB]):
        more, _ = unanswered(core, now, 300 * MILLISECOND)
        sent, now = sent + more, now + 300 * MILLISECOND
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    for seq in of_hub:
        core.on_message(now, HUB, Ack(seq))
    core.on_event(now, LinkMeasured(HUB, MILLISECOND, 0, 0))
    later, _ = unanswered(core, now, 800 * MILLISECOND)
    assert not [seq for to, seq in pinged(later) if to == HUB and seq in of_hub]


def test_nobody_is_deaf_for_ever() -> None:
    """A peer that keeps its answers back at just the right moments keeps no verdict from us for longer than seconds."""
    core, now = spoke()
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    _, judged = unanswered(core, now, 20 * SECOND)
    assert judged


def test_a_link_that_falls_or_comes_is_no_silent_one_any_more() -> None:
    """The next one is judged by itself."""
    core, now = spoke()
    core.on_event(now, LinkUp(node_of("b"), "quic"))
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    core.on_event(now, LinkDown(HUB, "gone"))
    core.on_event(now, LinkUp(HUB, "quic"))
    core.on_event(now, LinkSilent(node_of("b"), 500 * MILLISECOND))
    assert not core._hearing.deaf
    core.on_event(now, LinkDown(HUB, "gone"))
    assert core._hearing.deaf


def test_swim_as_it_was_published_asks_others_whatever_it_hears() -> None:
    """The ablation keeps to the paper."""
    core, now = spoke(MembershipSettings(lifeguard=LifeguardSettings(local_health=False, suspicion=False, buddy=False)))
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    sent, _ = unanswered(core, now, 3 * SECOND)
    assert asked(sent)


def test_who_has_no_link_is_not_deaf_but_alone() -> None:
    """That is another rule: verdicts are private then."""
    links: dict[NodeId, None] = {HUB: None}
    hearing = Hearing(links)
    assert not hearing.deaf
    hearing.silent(HUB)
    assert hearing.deaf
    links[node_of("b")] = None
    assert not hearing.deaf
    del links[node_of("b")]
    hearing.heard(HUB)
    links.clear()
    assert not hearing.deaf
