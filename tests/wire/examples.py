"""One message of every type, with every field at a value that shows."""

from __future__ import annotations

from typing import Final

from arqonmesh.wire.messages import (
    Ack,
    BusAck,
    BusBatch,
    GossipDelta,
    GossipDigest,
    GossipRoot,
    Heartbeat,
    HeartbeatAck,
    Hello,
    JoinAccept,
    JoinOffer,
    JoinReject,
    JoinRequest,
    Nack,
    Ping,
    PingReq,
    Relay,
    WireMessage,
)
from arqonmesh.wire.statement import (
    Accusation,
    Accusations,
    Adjacency,
    Admission,
    Body,
    Genesis,
    Invite,
    JoinPolicy,
    Kind,
    Links,
    NodeRecord,
    RegionSummary,
    Redemption,
    Statement,
)

NODE: Final = "abcdefghijklmnopqrstuvwxyz234567"
OTHER: Final = "7" * 32
ULID: Final = "01J9Z3NDEKTSV4RRFFQ69G5FAV"
KEY: Final = bytes(range(32))
SIGNATURE: Final = bytes(range(64))

MESSAGES: Final[tuple[WireMessage, ...]] = (
    Hello((1, 2), ULID, NODE, "hq", 3, 1_700_000_000_000, ("relay",), "arqonmesh/0.1.0", SIGNATURE),
    JoinOffer(ULID, "acme", NODE, "key", b"salt"),
    JoinRequest(ULID, KEY, "factory", "spoke", "eu", ULID, SIGNATURE),
    JoinAccept("spoke", (b"statement", b""), ((NODE, ("10.0.0.1:9130", "[::1]:9130")), (OTHER, ()))),
    JoinReject("closed", "the mesh takes no new members"),
    Ping(7, -1),
    Ack(7),
    PingReq(8, NODE),
    Nack(8),
    Heartbeat(2**32 - 1, 2**63 - 1),
    HeartbeatAck(0, 0),
    Relay((NODE, OTHER), 1, 1, b"inner"),
    GossipRoot(KEY),
    GossipDigest(((NODE, 1, 2), (OTHER, 3, 4)), True),
    GossipDelta((b"one", b"two"), ((NODE, 3, 4),)),
    BusBatch(1, (NODE,), 8, b"head", SIGNATURE, (b"section", b"")),
    BusAck(9),
)

BODIES: Final[dict[Kind, Body]] = {
    Kind.GENESIS: Genesis("acme", 1_700_000_000_000, KEY, "hq", "hub"),
    Kind.ADMISSION: Admission(KEY, "factory", "spoke", ULID, 1_700_000_000_001),
    Kind.JOIN_POLICY: JoinPolicy("key", b"salt", KEY),
    Kind.INVITE: Invite(KEY, "factory", "spoke", 1_700_000_000_002, 3, False),
    Kind.REDEMPTION: Redemption(ULID, NODE),
    Kind.NODE: NodeRecord(KEY, "hq", "hub", "eu", ("10.0.0.1:9130",), 4, False, "arqonmesh/0.1.0", ("relay",)),
    Kind.LINKS: Links((Adjacency(OTHER, "up", "quic", 1_500, 10_000),)),
    Kind.ACCUSATIONS: Accusations((Accusation(OTHER, 4, "suspect"),)),
    Kind.REGION_SUMMARY: RegionSummary(3, (NODE, OTHER), 9, 1, 0, ("factory", "hq"), KEY, (("arqonmesh/0.1.0", 10),)),
}

STATEMENT: Final = Statement(ULID, NODE, 5, 6, KEY, Kind.NODE, "", BODIES[Kind.NODE].encode(), SIGNATURE)
