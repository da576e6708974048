"""One message of every type, with every field at a value that shows."""

from __future__ import annotations

from typing import Final

from arqonmesh.wire.messages import (
    Ack,
    BroadcastGraft,
    BroadcastHave,
    BroadcastPayload,
    BroadcastPrune,
    BusAck,
    BusBatch,
    CoordinateReport,
    GossipBuckets,
    GossipDelta,
    GossipDigest,
    GossipRanges,
    GossipRoot,
    Heartbeat,
    HeartbeatAck,
    Hello,
    JoinAccept,
    JoinOffer,
    JoinReject,
    JoinRequest,
    Nack,
    OverlayDisconnect,
    OverlayForwardJoin,
    OverlayJoin,
    OverlayNeighbour,
    OverlayNeighbourReply,
    OverlayShuffle,
    OverlayShuffleReply,
    Ping,
    PingFor,
    PingReq,
    PresenceDigest,
    PresenceRows,
    Relay,
    SignedAck,
    WireMessage,
)
from arqonmesh.wire.statement import (
    Accusation,
    Accusations,
    Adjacency,
    Admission,
    Body,
    Coordinate,
    Floor,
    Genesis,
    Held,
    Invite,
    JoinPolicy,
    Kind,
    Links,
    NodeRecord,
    RegionSummary,
    Statement,
    Vote,
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
    SignedAck(NODE, OTHER, 2**32 - 1, SIGNATURE),
    PingFor(9, 2**63 - 1, OTHER),
    Heartbeat(2**32 - 1, True, 2**32 - 2, 2**63 - 1, 2**32 - 1, 2**32 - 1),
    HeartbeatAck(0),
    Relay((NODE, OTHER), 1, 1, b"inner"),
    GossipRoot(KEY),
    GossipDigest(KEY, ((NODE, 1, 2, bytes(16), False), (OTHER, 3, 4, bytes(16), True)), True),
    GossipDelta((b"one", b"two"), ((NODE, 3, 4),)),
    GossipBuckets(bytes(4_096)),
    GossipRanges(NODE, ((1, 9, 1, bytes(16), ()), (2, 9, 2, b"", ((1, 10, bytes(8)), (2, 1, bytes(8)))))),
    BusBatch(1, (NODE,), 8, b"head", SIGNATURE, (b"section", b"")),
    BusAck(9),
    BroadcastPayload(1, 0xFFFF_FFFF, "event", b"data"),
    BroadcastHave(((bytes(16), 0, 0), (bytes(range(16)), 255, 7))),
    BroadcastGraft(b""),
    BroadcastPrune(),
    PresenceDigest(True, ((NODE, 3, 17),)),
    PresenceRows(NODE, 3, 15, 17, True, ((16, "arq_1", "", 1_767_225_600_000, True, ("human", "Ada")),)),
    CoordinateReport((1, -2, 3, -4, 5, 0, 10_000_000, -10_000_000), 10, 250_000, -7),
    OverlayJoin(),
    OverlayForwardJoin(NODE, 6),
    OverlayNeighbour(True),
    OverlayNeighbourReply(False, (NODE, OTHER)),
    OverlayShuffle(2**32 - 1, (NODE,), 6, (OTHER, NODE)),
    OverlayShuffleReply(7, (NODE, OTHER), (OTHER,)),
    OverlayDisconnect((OTHER,)),
)

BODIES: Final[dict[Kind, Body]] = {
    Kind.GENESIS: Genesis("acme", 1_700_000_000_000, KEY, "hq", "hub"),
    Kind.ADMISSION: Admission(KEY, "factory", "spoke", ULID, 1, 1_700_000_000_001, b"binding", SIGNATURE),
    Kind.JOIN_POLICY: JoinPolicy("key", b"salt", KEY),
    Kind.INVITE: Invite(KEY, "factory", "spoke", 1_700_000_000_002, 3, 0),
    Kind.NODE: NodeRecord(KEY, "hq", "hub", "eu", ("10.0.0.1:9130",), 4, False, "arqonmesh/0.1.0", ("relay",)),
    Kind.LINKS: Links((Adjacency(OTHER, "up", "quic", 1_500, 10_000),)),
    Kind.ACCUSATIONS: Accusations((Accusation(OTHER, 4, "suspect"),)),
    Kind.COORDINATE: Coordinate((1, -2, 3, -4, 5, 0, 10_000_000, -10_000_000), 10, 250_000, -7),
    Kind.REGION_SUMMARY: RegionSummary(3, (NODE, OTHER), 9, 1, 0, ("factory", "hq"), KEY, (("arqonmesh/0.1.0", 10),)),
    Kind.FLOOR: Floor(3, 4),
    Kind.VOTE: Vote(7, 6, True, False, KEY),
    Kind.HELD: Held(7),
}

STATEMENT: Final = Statement(ULID, NODE, 5, 6, KEY, Kind.NODE, "", BODIES[Kind.NODE].encode(), SIGNATURE)
