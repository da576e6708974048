"""What is remembered of payloads goes in its time, and nobody wakes for it before."""

from __future__ import annotations

from arqonmesh.core.kernel import SECOND
from tests.core.broadcast.hand import Hand


def wakeups(hand: Hand, us: int) -> int:
    """Let so much time pass; how often the core woke."""
    until, count = hand.now + us, 0
    while (due := hand.core.next_deadline()) is not None and due <= until:
        hand.now = due
        hand.wait(0)
        count += 1
    hand.now = until
    return count


def test_a_node_that_hears_nothing_more_wakes_once_per_thing_to_forget() -> None:
    """Its payload, its name, and one look ahead: not once a second for as long as a name is known."""
    hand = Hand("a", cache_s=30.0, ids_s=90.0)
    hand.broadcast()
    assert wakeups(hand, 29 * SECOND) == 1
    assert hand.core.gauges()["payloads"] == 1
    assert wakeups(hand, 2 * SECOND) == 1
    assert hand.core.gauges()["payloads"] == 0
    assert hand.core.gauges()["ids"] == 1
    assert wakeups(hand, 60 * SECOND) <= 3
    assert hand.core.gauges()["ids"] == 0
    assert hand.core.next_deadline() is None


def test_a_payload_that_comes_while_only_names_are_kept_goes_in_its_own_time() -> None:
    """The look that is planned for an old name is not too late for it."""
    hand = Hand("a", cache_s=30.0, ids_s=90.0)
    hand.broadcast()
    hand.wait(45 * SECOND)
    hand.broadcast(b"another" * 200)
    hand.wait(29 * SECOND)
    assert hand.core.gauges()["payloads"] == 1
    hand.wait(32 * SECOND)
    assert hand.core.gauges()["payloads"] == 0


def test_in_a_busy_mesh_it_is_looked_through_once_a_second_at_most() -> None:
    """Many payloads that are over their time within a moment go together."""
    hand = Hand("a", cache_s=5.0, ids_s=8.0)
    for count in range(40):
        hand.broadcast(b"%d" % count * 300)
        hand.wait(SECOND // 10)
    assert wakeups(hand, 10 * SECOND) <= 10
    assert hand.core.gauges()["ids"] == 0
