"""A node in front of a link whose peer it ignores: what still gets through."""

from __future__ import annotations

from arqonmesh.core.events import Dropped, MemberAdmitted, MemberChanged, PeerRuled
from arqonmesh.core.kernel import Effect, Emit, Lane, Send
from arqonmesh.core.node import Node
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import BroadcastHave, GossipDelta, Ping, Relay
from tests.core.test_node import OTHER, PEER, linked
from tests.core.toy import key_of, node_of


def ignoring() -> Node:
    node = linked()
    node.event(0, MemberAdmitted(PEER, key_of("peer"), "cluster", "hub"))
    node.event(0, MemberChanged(PEER, "", "alive", 1, "x"))
    node.event(0, PeerRuled(PEER, True, "because"))
    return node


def ignored(effects: list[Effect]) -> bool:
    return [e.event for e in effects if isinstance(e, Emit)] == [Dropped("node", "ignored-peer", 1, PEER)]


def test_nothing_is_merged_relayed_or_spread_for_an_ignored_link_peer() -> None:
    """Statements, announcements and source routes through us; all of them go on for the others."""
    relay = encode_message(Relay((PEER, node_of("me"), OTHER), 1, 0, encode_message(Ping(1, -1))))
    for message in (encode_message(GossipDelta((), ())), encode_message(BroadcastHave(((bytes(16), 1, 1),))), relay):
        assert ignored(ignoring().frame(0, PEER, Lane.CONTROL, message))
        assert not ignored(linked().frame(0, PEER, Lane.CONTROL, message))
    back = encode_message(Relay((OTHER, node_of("me"), PEER), 1, 0, encode_message(Ping(1, -1))))
    sent = [effect for effect in ignoring().frame(0, OTHER, Lane.DATAGRAM, back) if isinstance(effect, Send)]
    assert [send.to for send in sent] == [PEER]


def test_an_ignored_link_peer_is_answered_when_it_asks_whether_we_live() -> None:
    """Ignoring is no death sentence: it stays a member, and counts."""
    assert not ignored(ignoring().frame(0, PEER, Lane.DATAGRAM, encode_message(Ping(1, -1))))
