"""The node's own part: which frames of a peer reach a core at all."""

from __future__ import annotations

import pytest

from arqonmesh.core.events import Dropped, Fault
from arqonmesh.core.kernel import Effect, Emit, Lane, Send
from arqonmesh.core.node import Node
from arqonmesh.wire.codec import encode_message
from arqonmesh.wire.messages import BusAck, GossipDelta, GossipRoot, Ping, Relay, WireMessage
from tests.core.toy import founder_with, node_of

PEER, OTHER = node_of("peer"), node_of("other")


def linked() -> Node:
    """A node in a mesh of its own, with a connection to a peer and one to another."""
    node = founder_with("node: {cluster: hq}\n")
    for peer in (PEER, OTHER):
        node.transport_up(0, peer, "test", outbound=True)
    return node


def faults(effects: list[Effect]) -> list[tuple[str, str]]:
    """(cause, what was dropped) of the faults among these."""
    dropped = [e.event.detail for e in effects if isinstance(e, Emit) and isinstance(e.event, Dropped)]
    return [(e.event.cause, dropped[0]) for e in effects if isinstance(e, Emit) and isinstance(e.event, Fault)]


@pytest.mark.parametrize("lane", [Lane.PRIORITY, Lane.BULK])
@pytest.mark.parametrize(
    "message", [GossipDelta((), ()), GossipRoot(bytes(32)), Ping(1, -1)], ids=lambda m: type(m).__name__
)
def test_control_cannot_walk_around_its_rate_on_a_data_lane(lane: Lane, message: WireMessage) -> None:
    """The data lanes are not under the message rate, so they carry batches and their acknowledgements alone."""
    assert faults(linked().frame(0, PEER, lane, encode_message(message))) == [("malformed", "node.wrong-lane")]
    assert faults(linked().frame(0, PEER, Lane.CONTROL, encode_message(message))) == []


def test_data_lanes_carry_data() -> None:
    """An acknowledgement is taken on the lane that federation sends it on."""
    assert faults(linked().frame(0, PEER, Lane.PRIORITY, encode_message(BusAck(1)))) == []


def test_what_is_sent_through_us_leaves_room_for_what_we_say_ourselves() -> None:
    """All that one peer may send us, meant for another: half of it goes there, the rest is dropped and counted."""
    node = linked()
    relay = encode_message(Relay((PEER, node_of("me"), OTHER), 1, 0, encode_message(Ping(1, -1))))
    burst = node.config.peers.burst
    effects = [effect for _ in range(burst) for effect in node.frame(0, PEER, Lane.DATAGRAM, relay)]

    assert sum(isinstance(effect, Send) and effect.to == OTHER for effect in effects) == burst // 2
    reasons = {
        effect.event.reason for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, Dropped)
    }
    assert reasons == {"relay-rate"}
