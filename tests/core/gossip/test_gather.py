"""A statement that comes alone leaves at once; in a rush they leave together, and each still explains itself."""

from __future__ import annotations

from arqonmesh.core.gossip.packing import Segment
from arqonmesh.core.gossip.push import GATHER_US, HELD_BYTES_MAX, Push
from arqonmesh.core.kernel import Effect, Send
from arqonmesh.wire.messages import GossipDelta
from arqonmesh.wire.statement import decode_statement, signed_part
from tests.core.gossip.world import node_record, signed
from tests.core.toy import node_of

ANT, BEE, CAT = (node_of(name) for name in ("ant", "bee", "cat"))


def push() -> Push:
    return Push(lambda: (ANT, BEE), broadcasts=False, bytes_max=1 << 16, count_max=100)


def said(author: str, seq: int, size: int = 3) -> Segment:
    """One statement, directly after the one before."""
    return Segment(node_of(author), (1, seq - 1), [((1, seq), bytes([seq]) * size)])


def told(effects: list[Effect]) -> list[tuple[str, tuple[bytes, ...]]]:
    found: list[tuple[str, tuple[bytes, ...]]] = []
    for effect in effects:
        assert isinstance(effect, Send) and isinstance(effect.message, GossipDelta)
        found.append((effect.to, effect.message.statements))
    return found


def test_what_comes_alone_leaves_at_once_to_all_but_its_source() -> None:
    """No timer, no delay: news in a quiet mesh is as fast as its links."""
    some = push()
    assert told(some.soon(0, [said("cat", 1)], ANT)) == [(BEE, (b"\x01" * 3,))]
    assert some.due() is None
    assert told(some.soon(GATHER_US, [said("cat", 2)], None))[0][0] == ANT
    assert some.due() is None


def test_what_follows_closely_leaves_together_when_the_pause_is_over() -> None:
    """One delta for many statements, in one piece per author, from the place where the first began."""
    some = push()
    some.soon(0, [said("cat", 1)], ANT)
    assert some.soon(1, [said("cat", 2)], ANT) == [] == some.soon(2, [said("dog", 1)], BEE)
    assert some.soon(3, [said("cat", 3)], BEE) == [] and some.due() == GATHER_US
    assert some.on_timer(GATHER_US - 1) == []
    effects = some.on_timer(GATHER_US)
    both = (b"\x02" * 3, b"\x03" * 3, b"\x01" * 3)
    assert told(effects) == [(ANT, both), (BEE, both)]
    assert isinstance(effects[0], Send) and isinstance(effects[0].message, GossipDelta)
    assert effects[0].message.bases == ()  # what follows directly needs none
    assert some.due() is None and some.soon(GATHER_US + 1, [said("cat", 4)], None) == []


def test_what_came_from_one_side_alone_does_not_go_back_there() -> None:
    """Gathered from one source, it leaves to the others."""
    some = push()
    some.soon(0, [said("dog", 1)], None)
    some.soon(1, [said("cat", 1)], ANT)
    some.soon(2, [said("cat", 2)], ANT)
    assert [to for to, _ in told(some.on_timer(GATHER_US))] == [BEE]


def test_pieces_that_do_not_fit_together_are_not_joined() -> None:
    """A delta names where its author's statements begin once: what leaves a gap goes apart, the older first."""
    some = push()
    some.soon(0, [said("dog", 1)], None)
    some.soon(1, [said("cat", 1)], None)
    assert [s for _, s in told(some.soon(2, [said("cat", 3)], None))] == [(b"\x01" * 3,)] * 2
    assert [s for _, s in told(some.on_timer(2 + GATHER_US))] == [(b"\x03" * 3,)] * 2


def test_what_is_held_is_bounded() -> None:
    """Beyond the bound nothing waits."""
    some = push()
    some.soon(0, [said("dog", 1)], None)
    assert some.soon(1, [said("cat", 1, HELD_BYTES_MAX + 1)], None)
    assert some.due() is None


def test_the_signed_part_is_cut_out_of_the_statement() -> None:
    """There is one encoding: what encoding anew would give stands in it already."""
    encoded = signed("cat", 7, node_record("cat", 300), key="k" * 30)
    assert signed_part(encoded) == decode_statement(encoded).signed_bytes()
