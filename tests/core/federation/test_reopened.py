"""A link that falls and is back on the connection that it had: its streams lost nothing, so nothing goes twice."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import LinkUp, TransportUp
from tests.core.federation.pretend import Member, Net
from tests.core.federation.test_core import drops, exporting, pair

FRAME = bytes(1_000)


def flying(when_down: str = "hold") -> tuple[Net, Member, Member, int]:
    """A window's worth is on its way from one to two, and more waits; and how many batches that are."""
    net, one, two = pair(exporting("telemetry:*", window_bytes=10_000, when_down=when_down))
    net.settle()
    for number in range(30):
        net.publish(one, "telemetry:x", b"%d" % number + FRAME)
        net.tick(one)
    sent = len(net.queues[one.node_id, two.node_id])
    assert 5 < sent < 15
    return net, one, two, sent


def everything() -> list[tuple[str, bytes]]:
    return [("telemetry:x", b"%d" % number + FRAME) for number in range(30)]


def test_what_flies_when_a_link_falls_and_is_reopened_is_sent_once() -> None:
    """However often it flaps: the window bounds what is under way, and each batch arrives once and in order."""
    net, one, two, sent = flying()
    for _ in range(5):
        net.silence(one, two)
        net.reopen(one, two)
        net.tick(one)
        assert len(net.queues[one.node_id, two.node_id]) == sent
    net.settle()

    assert two.delivered == everything()
    assert net.sent_batches == 30
    assert two.fed.counters.duplicates == 0
    assert one.fed.backlog(two.node_id) == 0
    assert one.tables["outbox"] == {}


def test_what_arrives_while_the_link_is_down_is_settled() -> None:
    """Its acknowledgement counts as ever, and nothing more flies until the link is up."""
    net, one, two, sent = flying()
    net.silence(one, two)
    net.settle()
    assert two.delivered == everything()[:sent]
    assert one.fed.backlog(two.node_id) == len(one.tables["outbox"]) == 30 - sent
    net.reopen(one, two)
    net.settle()

    assert two.delivered == everything()
    assert net.sent_batches == 30


@pytest.mark.parametrize("down", ["down", "up"])
def test_what_flew_goes_again_on_another_connection(down: str) -> None:
    """Whether the link has fallen before the new connection came, or not."""
    net, one, two, _ = flying()
    if down == "down":
        net.silence(one, two)
    for queue in net.queues.values():
        queue.clear()
    for member, other in ((one, two), (two, one)):
        net.tell(member, TransportUp(other.node_id, "test", True))
    if down == "down":
        for member, other in ((one, two), (two, one)):
            net.tell(member, LinkUp(other.node_id, "test"))
    net.settle()

    assert two.delivered == everything()
    assert one.tables.get("outbox", {}) == {}


def test_policy_drop_gives_up_what_waits_and_leaves_what_flies_to_its_connection() -> None:
    """Once the connection is gone, too, the rest is counted as well."""
    net, one, two, sent = flying("drop")
    net.silence(one, two)
    assert drops(one) == [("link-down", 30 - sent)]
    net.deliver(one, two)
    net.tick(two)
    net.commit(two)
    net.tick(two)
    net.deliver(two, one)
    net.cut(one, two)

    assert drops(one) == [("link-down", 30 - sent), ("link-down", sent - len(two.delivered))]
    assert two.delivered == everything()[: len(two.delivered)] != []
    assert one.fed.backlog(two.node_id) == 0
