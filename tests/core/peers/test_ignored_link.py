"""A node in front of a link whose peer it ignores: what still gets through."""

from __future__ import annotations

from arqonmesh.core.events import Dropped, MemberAdmitted, MemberChanged, PeerRuled
from arqonmesh.core.kernel import SECOND, Effect, Emit, Lane, Send
from arqonmesh.core.node import Node
from arqonmesh.sim.simulation import Simulation
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


def test_whom_a_hub_bans_comes_back_from_the_dead_for_all_though_the_hub_is_its_only_way() -> None:
    """Banned says what the hub thinks of it, and dead is a guess: the guess ends with its first word of itself, which
    nobody but the hub can hear."""
    sim = Simulation(1)
    sim.add("hub", role="hub")
    sim.add("spoke", role="spoke")
    sim.add("other", role="spoke")
    sim.found()
    sim.run_for(5 * SECOND)
    hub, spoke = sim.processes["hub"], sim.processes["spoke"]
    hub.perform(hub.running.event(hub.now(), PeerRuled(spoke.node_id, True, "because")))

    def seen() -> list[str]:
        planes = [sim.processes[name].running.plane for name in ("hub", "other")]
        return [plane.membership.state_of(spoke.node_id) for plane in planes if plane is not None]

    sim.crash("spoke")
    sim.run_for(20 * SECOND)
    assert seen() == ["dead", "dead"]
    sim.boot("spoke")
    sim.run_for(20 * SECOND)
    assert seen() == ["alive", "alive"]
    assert hub.running.plane is not None and hub.running.plane.peers.ignored(spoke.node_id)
