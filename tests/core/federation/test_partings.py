"""For whom nothing is kept any more: who left, who was put out, who is ignored for good."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import LinkUp, MemberChanged
from arqonmesh.core.federation.partings import LOOK_EVERY_US
from tests.core.federation.pretend import Member, Net
from tests.core.federation.test_core import drops, pair


def a_minute(net: Net) -> None:
    net.now += LOOK_EVERY_US
    net.settle()


def parted() -> tuple[Net, Member, Member]:
    """One holds a message for two, and no link is up."""
    net, one, two = pair()
    net.settle()
    net.cut(one, two)
    net.publish(one, "telemetry:x", b"1")
    net.settle()
    assert one.fed.backlog(two.node_id) == 1
    return net, one, two


def test_who_left_takes_nothing_any_more() -> None:
    """The outbox of a member that left is dropped, counted, and its rows go."""
    net, one, two = pair()
    net.cut(one, two)
    net.publish(one, "telemetry:x", b"1")
    net.settle()
    net.tell(one, MemberChanged(two.node_id, "alive", "left", 1, "said so"))
    net.settle()

    assert drops(one) == [("member-left", 1)]
    assert one.tables["outbox"] == {}
    assert one.tables["scalars"] == {}


def test_a_link_to_who_left_keeps_nothing_until_it_is_back() -> None:
    """A leaver may dial once more: its link opens no outbox, which would fill for ever, until it is back."""
    net, one, two = pair()
    net.tell(one, MemberChanged(two.node_id, "alive", "left", 1, "said so"))
    net.tell(one, LinkUp(two.node_id, "quic"))
    net.publish(one, "telemetry:x", b"1")
    net.settle()
    assert one.core is not None and one.core.backlog(two.node_id) == 0
    assert one.tables["scalars"] == {}

    net.tell(one, MemberChanged(two.node_id, "left", "alive", 2, "incarnation 2"))
    net.publish(one, "telemetry:x", b"2")
    net.settle()
    assert one.tables["scalars"] != {}


def test_nothing_waits_for_a_banned_member_whose_link_is_down() -> None:
    """Its outbox goes within a minute, counted, with its rows; what is published later is not kept either."""
    net, one, two = parted()
    net.convicted[two.node_id] = None
    a_minute(net)
    net.publish(one, "telemetry:x", b"2")
    net.settle()

    assert drops(one) == [("peer-convicted", 1)]
    assert one.fed.backlog(two.node_id) == 0
    assert one.tables["outbox"] == {} and one.tables["scalars"] == {}
    assert one.fed.next_deadline() is None, "nobody is waited for"


def test_a_member_that_is_forgiven_takes_messages_again() -> None:
    """With its link it gets a new outbox."""
    net, one, two = parted()
    net.convicted[two.node_id] = None
    a_minute(net)
    del net.convicted[two.node_id]
    net.connect(one, two)
    net.publish(one, "telemetry:x", b"2")
    net.settle()

    assert two.delivered == [("telemetry:x", b"2")]


def test_a_link_that_is_up_keeps_its_outbox_whatever_is_thought_of_its_peer() -> None:
    """What is sent is acknowledged, so nothing piles up; and who is forgiven has missed nothing."""
    net, one, two = pair()
    net.convicted[two.node_id] = None
    a_minute(net)
    net.publish(one, "telemetry:x", b"1")
    net.settle()

    assert two.delivered == [("telemetry:x", b"1")]
    assert drops(one) == []


def test_who_was_put_out_while_we_were_down_is_not_held_for() -> None:
    """No event tells of it; the roster just does not name it any more. After a minute among others it is whole."""
    net, one, two = parted()
    three = net.add("three", "west")
    net.crash(one)
    net.off_the_roster[two.node_id] = None
    net.boot(one)
    net.connect(one, three)
    net.settle()
    assert one.fed.backlog(two.node_id) == 1, "the roster may still be on its way"
    a_minute(net)

    assert drops(one) == [("not-a-member", 1)]
    assert one.tables["outbox"] == {}
    assert list(one.tables["scalars"]) == [("federation", f"link/{three.node_id}")]


def test_a_roster_that_lost_a_row_costs_nothing_while_nobody_can_repair_it() -> None:
    """The uplink is down and the disk lost a row: what waits, waits for a minute among others, however long that is."""
    net, one, two = parted()
    three = net.add("three", "west")
    net.crash(one)
    net.off_the_roster[two.node_id] = None
    net.boot(one)
    for _ in range(5):
        a_minute(net)
    net.connect(one, three)
    net.settle()
    net.cut(one, three)
    a_minute(net)
    net.connect(one, three)
    net.now += LOOK_EVERY_US // 2
    net.settle()
    assert one.fed.backlog(two.node_id) == 1, "no link has been up for a minute"
    del net.off_the_roster[two.node_id]
    net.connect(one, two)
    a_minute(net)

    assert drops(one) == []
    assert two.delivered == [("telemetry:x", b"1")]


@pytest.mark.parametrize("minutes", [1, 5])
def test_a_member_that_is_only_away_is_waited_for(minutes: int) -> None:
    """However long, within the outbox's bounds."""
    net, one, two = parted()
    for _ in range(minutes):
        a_minute(net)
    net.connect(one, two)
    net.settle()

    assert two.delivered == [("telemetry:x", b"1")]
    assert drops(one) == []
