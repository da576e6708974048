"""While every link of ours owes an answer, silence says nothing about others."""

from __future__ import annotations

from arqonmesh.config.model import MembershipSettings
from arqonmesh.core.events import (
    Applied,
    LinkMeasured,
    LinkSilent,
    LinkUp,
    MemberAdmitted,
    MemberChanged,
    Persisted,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Effect, Emit, Instant, Send
from arqonmesh.core.membership.core import Membership
from arqonmesh.core.membership.hearing import Hearing
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import Ack, Ping, PingReq
from arqonmesh.wire.statement import Adjacency, Kind, Links, NodeRecord
from tests.core.toy import env_of, key_of, node_of

HUB = node_of("hub")


def spoke() -> tuple[Membership, Instant]:
    """Of a star of six, linked to the hub alone, which has said that it is linked to everyone."""
    others = ("hub", "b", "c", "d", "e")
    core = Membership(env_of("a"), MembershipSettings())
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


def test_an_answer_that_comes_all_the_same_counts() -> None:
    """A relayed answer may come before the link's own: the probe is over."""
    core, now = spoke()
    sent, _ = unanswered(core, now, SECOND)
    pings = [effect for _, effect in sent if isinstance(effect.message, Ping) and effect.to == HUB]
    core.on_event(now, LinkSilent(HUB, 500 * MILLISECOND))
    for ping in pings:
        assert isinstance(ping.message, Ping)
        effects: list[Effect] = core.on_message(now, HUB, Ack(ping.message.seq))
        assert not [e for e in effects if isinstance(e, Emit) and isinstance(e.event, MemberChanged)]


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
