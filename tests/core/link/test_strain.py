"""Heartbeats where the machines have too little processor time for all."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import SECOND, Send
from arqonmesh.core.link import stalls
from arqonmesh.wire.messages import Heartbeat
from tests.core.link.test_links import MS, Wire
from tests.core.toy import node_of


def intervals_ms(wire: Wire, name: str, since: int) -> list[int]:
    """What this node's heartbeats ask for, one for each that left."""
    return [
        effect.message.every_ms
        for at, who, effect in wire.log
        if who == node_of(name) and at >= since and isinstance(effect, Send) and isinstance(effect.message, Heartbeat)
    ]


def standing_still(wire: Wire, *names: str, for_us: int) -> None:
    """These hear and say nothing for a while, one after the other, and go on."""
    for name in names:
        for other in "abc":
            if other != name:
                wire.sever(name, other)
                wire.sever(other, name)
        wire.run(wire.now + for_us)
        wire.cut.clear()
        wire.run(wire.now + SECOND)


def star() -> Wire:
    wire = Wire("a", "b", "c", delay_us=MS)
    wire.connect("b", "a")
    wire.connect("c", "a")
    wire.run(5 * SECOND)
    return wire


def test_heartbeats_slow_down_where_several_stand_still_and_recover_when_none_does() -> None:
    """Half of the longest such silence; peers follow what is asked for; a minute later all is as before."""
    wire = star()
    assert set(intervals_ms(wire, "a", SECOND)) == {100}
    standing_still(wire, "b", "c", for_us=900 * MS)
    slow = wire.now
    wire.run(slow + 3 * SECOND)
    asked = intervals_ms(wire, "a", slow)
    assert set(asked) <= {400, 300} and 400 in asked
    assert len(asked) <= 2 * (3_000 // 300) + 4
    assert len(intervals_ms(wire, "b", slow)) <= 3_000 // 300 + 2, "b follows, although it has seen no strain itself"
    wire.run(slow + 60 * SECOND)
    recovered = wire.now
    wire.run(recovered + SECOND)
    assert set(intervals_ms(wire, "a", recovered)) == {100}
    assert len(intervals_ms(wire, "b", recovered)) >= 9


def test_one_peer_that_stands_still_slows_nobody_down() -> None:
    """It may be ill, or lie: its own link alone becomes more patient."""
    wire = star()
    standing_still(wire, "b", "b", "b", for_us=900 * MS)
    assert set(intervals_ms(wire, "a", SECOND)) == {100}


def test_heartbeats_never_become_slower_than_six_tenths_of_a_second() -> None:
    """However long the machines stood still: a crash has to be noticed in two seconds even then."""
    wire = star()
    for for_us in (900 * MS, 1_400 * MS, 2_000 * MS):  # each as long as what came before lets a link bear
        standing_still(wire, "b", "c", for_us=for_us)
    asked = intervals_ms(wire, "a", wire.now - 2 * SECOND)
    assert max(asked) == 600


def crowd() -> Wire:
    """Twenty peers of one node."""
    peers = "bcdefghijklmnopqrstu"
    wire = Wire("a", *peers, delay_us=MS)
    for peer in peers:
        wire.connect(peer, "a")
    wire.run(3 * SECOND)
    return wire


def two_pretend(wire: Wire) -> set[int]:
    """Two of them say nothing for a while in turns, again and again, and go on; what the node's heartbeats ask for."""
    since = wire.now
    for _ in range(3):
        standing_still(wire, "b", "c", for_us=900 * MS)
    return set(intervals_ms(wire, "a", since))


def test_two_of_twenty_who_pretend_to_stand_still_slow_nobody_down() -> None:
    """A tenth of the links is half of what is believed whatever it says; and what two say fades."""
    assert max(two_pretend(crowd())) <= 200


def test_were_two_enough_whatever_their_share_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what the test above would see."""
    monkeypatch.setattr(stalls, "sources_wanted", lambda links: 2)
    assert max(two_pretend(crowd())) >= 400
