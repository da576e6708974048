"""Source routing of control messages between members that share no link.

The origin wraps a message in `Relay` with the whole path; every hop checks that the message came from the node
before it on the path and passes it to the node after. A path cannot loop, is at most MAX_HOPS long, and only the
small messages of the failure detector may travel so (a plain Ack may not: what proves life is signed when a relay
has it). What else must not be forged is signed and goes by gossip. Every hop reads what is inside, not only the
last: whoever passes on what the next one cannot take would be blamed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from arqonmesh.core.kernel import Lane, Send
from arqonmesh.errors import PeerError
from arqonmesh.ids import NodeId
from arqonmesh.wire.codec import decode_message, encode_message
from arqonmesh.wire.messages import Nack, Ping, PingFor, PingReq, Relay, SignedAck, WireMessage

RELAYABLE: Final[tuple[type[WireMessage], ...]] = (Ping, PingFor, SignedAck, PingReq, Nack)


def wrap(route: Sequence[NodeId], lane: Lane, message: WireMessage) -> Send:
    """The first hop of `message` along `route`, which begins with us and ends with its destination."""
    assert type(message) in RELAYABLE, f"{type(message).__name__} does not travel by relay"
    relay = Relay(route=tuple(route), hop=1, lane=int(lane), inner=encode_message(message))
    return Send(route[1], lane, relay)


def arrived(self_id: NodeId, link_peer: NodeId, relay: Relay) -> tuple[NodeId, WireMessage] | Send:
    """Unwrap a relay that ends here into (origin, message), or the next hop's Send.

    Raises PeerError when the path does not fit or what is inside does not travel so, DecodeError when it is no message:
    either is the link peer's fault, who passed it on.
    """
    hop, route = relay.hop, relay.route
    if hop < 1 or hop >= len(route) or route[hop] != self_id or route[hop - 1] != link_peer:
        raise PeerError("routing.bad-source-route", f"a relayed message from {link_peer} does not belong here")
    if len(set(route)) != len(route):
        raise PeerError("routing.bad-source-route", f"a relayed message from {link_peer} visits a node twice")
    message = decode_message(relay.inner)
    if type(message) not in RELAYABLE:
        raise PeerError("routing.not-relayable", f"{type(message).__name__} does not travel by relay")
    if hop < len(route) - 1:
        onward = Relay(route=route, hop=hop + 1, lane=relay.lane, inner=relay.inner)
        return Send(NodeId(route[hop + 1]), Lane(relay.lane), onward)
    return NodeId(route[0]), message
