"""Whose turn it is to be compared with: the ring of a round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import GossipSettings
from arqonmesh.core.events import LinkUp
from arqonmesh.core.gossip.core import Gossip
from arqonmesh.core.gossip.ring import in_turn
from arqonmesh.core.kernel import Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import GossipRoot
from tests.core.toy import env_of, node_of

NAMES = [f"n{index:02}" for index in range(40)]


@given(st.integers(0, 1 << 60), st.integers(2, 40), st.integers(1, 5))
def test_in_a_round_everyone_is_asked_as_often_as_it_asks_and_no_two_ask_each_other(
    number: int, count: int, partners: int
) -> None:
    """With k next ones for each of n > 2k nodes: k asked by each, each asked k times, no pair twice."""
    nodes = [NodeId(name) for name in NAMES[:count]]
    partners = min(partners, (count - 1) // 2)
    asked = [(node, other) for node in nodes for other in in_turn(number, node, _others(nodes, node))[:partners]]
    for node in nodes:
        assert sum(to == node for _, to in asked) == partners
    assert len({frozenset(pair) for pair in asked}) == len(asked) == count * partners


@given(st.integers(0, 1 << 60), st.permutations(NAMES[:12]))
def test_the_order_is_the_rounds_alone(number: int, names: list[str]) -> None:
    """However the peers are handed over, all of them come out, in one order; without some, the rest keeps its own."""
    me, *others = (NodeId(name) for name in sorted(names))
    handed = [NodeId(name) for name in names if name != me]
    turns = in_turn(number, me, handed)
    assert turns == in_turn(number, me, others) and sorted(turns) == others
    assert in_turn(number, me, handed[:5]) == [node for node in turns if node in handed[:5]]


def test_over_the_rounds_everyone_comes_first_about_equally_often() -> None:
    """A name that stands well in one round has nothing of it in the next."""
    me, *others = (NodeId(name) for name in NAMES[:9])
    first = [in_turn(number, me, others)[0] for number in range(2_000)]
    counts = [first.count(node) for node in others]
    assert min(counts) > 180 and max(counts) < 320


def test_the_core_asks_whose_turn_it_is_by_the_wall_clocks_round() -> None:
    """Round after round; and whoever replaces a silent partner is the next one of the same ring."""
    env = env_of("hub")
    gossip = Gossip(env, GossipSettings(repair_interval_ms=10_000), lambda node: None)
    gossip.start(0, {})
    peers = [node_of(name) for name in ("ant", "bee", "cat", "dog", "eel", "fly", "gnu")]
    for peer in peers:
        gossip.on_event(0, LinkUp(peer, "quic"))
    turns = in_turn(env.wall_ms() // 10_000, env.node_id, peers)
    asked = []
    for _ in range(3):
        due = gossip.next_deadline()
        assert due is not None
        asked += [e.to for e in gossip.on_timer(due) if isinstance(e, Send) and isinstance(e.message, GossipRoot)]
    assert asked == turns[:3]


def _others(nodes: list[NodeId], me: NodeId) -> list[NodeId]:
    return [node for node in nodes if node != me]
