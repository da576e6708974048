"""Links that were given up: their outboxes end, and nothing that only they hold is lost with them."""

from __future__ import annotations

import pytest

from arqonmesh.config.model import FederationSettings, OutboxSettings, Rules
from arqonmesh.core.events import Dropped
from arqonmesh.core.federation.release import GRACE_US
from arqonmesh.core.kernel import SECOND
from tests.core.federation.pretend import Member, Net

PAST_GRACE_US = GRACE_US + 3 * SECOND


def triangle(clusters: str = "abc", **outbox: int) -> tuple[Net, Member, Member, Member]:
    """Everyone linked with everyone."""
    net = Net()
    settings = FederationSettings(export=Rules(allow=("telemetry:*",)), outbox=OutboxSettings(**outbox))
    a, b, c = (net.add(name, cluster, settings) for name, cluster in zip("abc", clusters, strict=True))
    for one, other in ((a, b), (a, c), (b, c)):
        net.connect(one, other)
    net.settle()
    return net, a, b, c


def released(member: Member) -> int:
    return sum(e.count for e in member.said(Dropped) if isinstance(e, Dropped) and e.reason == "outbox-released")


def stored(member: Member, peer: Member) -> int:
    return sum(row[0] == peer.node_id for row in member.tables.get("outbox", {}).values())


def say(net: Net, member: Member, count: int, channel: str = "telemetry:x", start: int = 0) -> list[tuple[str, bytes]]:
    said = [(channel, str(number).encode()) for number in range(start, start + count)]
    for name, frame in said:
        net.publish(member, name, frame)
        net.settle(wait_us=0)
    net.settle()
    return said


@pytest.mark.parametrize("closes", ["us", "the peer"])
def test_a_link_that_was_given_up_takes_nothing_new_while_another_is_up(closes: str) -> None:
    """Whoever closed it: the other links carry everything to everyone."""
    net, a, b, c = triangle()
    net.part(*((a, b) if closes == "us" else (b, a)))
    said = say(net, a, 5)

    assert a.fed.backlog(b.node_id) == stored(a, b) == 0
    assert b.delivered == c.delivered == said


def test_a_link_that_failed_holds_for_ever() -> None:
    """Silence is no goodbye: the peer may be reachable through us alone, or not be there for anyone."""
    net, a, b, _ = triangle()
    net.cut(a, b)
    say(net, a, 5)
    net.wait(100 * GRACE_US)

    assert a.fed.backlog(b.node_id) == 5
    assert stored(a, b) > 0
    assert released(a) == 0


def test_after_the_grace_time_what_others_acknowledged_is_dropped_and_counted() -> None:
    """Rows, outbox and the row of the link: all of it is gone, so former neighbours do not pile up."""
    net, a, b, c = triangle()
    for number in range(3):  # to c it comes and is acknowledged, to b it does not: the link goes first
        net.publish(a, "telemetry:x", b"%d" % number)
    net.tick(a)
    net.part(a, b)
    net.settle()
    assert a.fed.backlog(b.node_id) == 3
    assert stored(a, b) == 1
    net.wait(GRACE_US // 2)
    assert a.fed.backlog(b.node_id) == 3

    net.wait(PAST_GRACE_US)
    assert a.fed.backlog(b.node_id) == stored(a, b) == 0
    assert released(a) == a.fed.counters.dropped == 3
    assert ("federation", f"link/{b.node_id}") not in a.tables["scalars"]
    assert ("federation", f"link/{c.node_id}") in a.tables["scalars"]
    assert len(b.delivered) == 3
    assert a.fed.next_deadline() is None


def test_a_link_that_comes_back_in_time_resumes() -> None:
    """What was held goes out, and the link is one like any other."""
    net, a, b, c = triangle()
    net.cut(b, c)
    net.publish(a, "telemetry:x", b"held")
    net.tick(a)
    net.part(a, b)
    net.settle()
    net.wait(GRACE_US // 2)
    net.connect(a, b)
    net.settle()
    assert b.delivered == [("telemetry:x", b"held")]

    net.cut(a, b)
    said = say(net, a, 2)
    net.wait(PAST_GRACE_US)
    assert a.fed.backlog(b.node_id) == 2
    assert released(a) == 0
    net.connect(a, b)
    net.settle()
    assert b.delivered[1:] == said


def test_without_another_link_a_given_up_one_holds_like_a_failed_one_and_hands_over_to_the_next() -> None:
    """The last neighbour is gone, by choice: what is said now goes to whoever comes, and from there to the old one."""
    net, a, b, c = triangle()
    net.cut(a, c)
    net.part(a, b)
    said = say(net, a, 4)
    net.wait(3 * PAST_GRACE_US)
    assert a.fed.backlog(b.node_id) == 4
    assert b.delivered == []

    d = net.add("d", "d", FederationSettings(export=Rules(allow=("telemetry:*",))))
    net.connect(b, d)
    net.connect(a, d)
    net.wait(PAST_GRACE_US)
    assert d.delivered == b.delivered == said
    assert a.fed.backlog(b.node_id) == stored(a, b) == 0


def test_what_only_the_given_up_link_may_carry_waits_for_it() -> None:
    """A channel that stays in the cluster: a link to another cluster is no way to our neighbour in our own."""
    net, a, b, c = triangle("xxz")
    net.cut(b, c)
    net.part(a, b)
    said = say(net, a, 3, "inner:x")
    net.wait(3 * PAST_GRACE_US)
    assert a.fed.backlog(b.node_id) == 3
    assert c.delivered == []
    net.connect(a, b)
    net.settle()
    assert b.delivered == said


def test_a_restart_does_not_turn_a_given_up_link_into_a_failed_one() -> None:
    """Rows of an earlier life: nobody knows who had acknowledged them, so they are handed over, and then dropped."""
    net, a, b, c = triangle()
    net.cut(a, c)
    net.cut(b, c)
    net.part(a, b)
    said = say(net, a, 3)
    while net.commit(a):
        pass
    net.crash(a)
    net.boot(a)
    assert a.fed.backlog(b.node_id) == 3
    net.connect(a, c)
    net.wait(PAST_GRACE_US)

    assert c.delivered == said
    assert a.fed.backlog(b.node_id) == stored(a, b) == 0
    assert released(a) == 3


def test_what_is_handed_over_does_not_crowd_out_what_the_heir_holds() -> None:
    """As much at a time as its window takes: nothing that waits there is pushed out."""
    net, a, b, c = triangle(window_bytes=400, messages_max=20)
    net.cut(a, c)
    net.part(a, b)
    said = say(net, a, 20)
    d = net.add("d", "d", a.settings)
    net.connect(a, d)
    for _ in range(20):
        net.wait(PAST_GRACE_US)
        assert a.fed.backlog(d.node_id) <= 20
    assert d.delivered == said
    assert a.fed.backlog(b.node_id) == stored(a, b) == 0
    assert a.fed.counters.dropped == released(a) == 20


def test_numbers_of_a_link_are_never_used_twice_though_its_outbox_was_gone() -> None:
    """A link that was forgotten and comes back goes on above all numbers that it ever had."""
    net, a, b, _ = triangle()
    say(net, a, 3)
    before = a.fed._outboxes[b.node_id].last_link_seq
    net.part(a, b)
    net.wait(PAST_GRACE_US)
    assert b.node_id not in a.fed._outboxes
    net.connect(a, b)
    say(net, a, 1, start=9)
    assert a.fed._outboxes[b.node_id].last_link_seq > before
    assert b.delivered[-1] == ("telemetry:x", b"9")
