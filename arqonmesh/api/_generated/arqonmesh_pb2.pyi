from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetMeshStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MeshStatus(_message.Message):
    __slots__ = ("mesh", "self", "nodes", "links", "partition", "regions", "selection")
    MESH_FIELD_NUMBER: _ClassVar[int]
    SELF_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    mesh: Mesh
    self: str
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    links: _containers.RepeatedCompositeFieldContainer[Link]
    partition: Partition
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    selection: Selection
    def __init__(self_, mesh: _Optional[_Union[Mesh, _Mapping]] = ..., self: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping]]] = ..., partition: _Optional[_Union[Partition, _Mapping]] = ..., regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("strategy", "chosen", "clusters", "gain", "rebalances")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    GAIN_FIELD_NUMBER: _ClassVar[int]
    REBALANCES_FIELD_NUMBER: _ClassVar[int]
    strategy: str
    chosen: _containers.RepeatedScalarFieldContainer[str]
    clusters: _containers.RepeatedCompositeFieldContainer[PeerCluster]
    gain: float
    rebalances: int
    def __init__(self, strategy: _Optional[str] = ..., chosen: _Optional[_Iterable[str]] = ..., clusters: _Optional[_Iterable[_Union[PeerCluster, _Mapping]]] = ..., gain: _Optional[float] = ..., rebalances: _Optional[int] = ...) -> None: ...

class PeerCluster(_message.Message):
    __slots__ = ("name", "peers", "rtt_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    peers: int
    rtt_ms: float
    def __init__(self, name: _Optional[str] = ..., peers: _Optional[int] = ..., rtt_ms: _Optional[float] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("name", "leaders", "alive", "suspect", "dead", "clusters", "software", "self", "summary")
    class SoftwareEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEADERS_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    SELF_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    name: str
    leaders: _containers.RepeatedScalarFieldContainer[str]
    alive: int
    suspect: int
    dead: int
    clusters: _containers.RepeatedScalarFieldContainer[str]
    software: _containers.ScalarMap[str, int]
    self: bool
    summary: RegionSummary
    def __init__(self_, name: _Optional[str] = ..., leaders: _Optional[_Iterable[str]] = ..., alive: _Optional[int] = ..., suspect: _Optional[int] = ..., dead: _Optional[int] = ..., clusters: _Optional[_Iterable[str]] = ..., software: _Optional[_Mapping[str, int]] = ..., self: _Optional[bool] = ..., summary: _Optional[_Union[RegionSummary, _Mapping]] = ...) -> None: ...

class RegionSummary(_message.Message):
    __slots__ = ("by", "term", "leaders", "alive", "suspect", "dead", "clusters", "software", "root")
    class SoftwareEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    BY_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADERS_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    SUSPECT_FIELD_NUMBER: _ClassVar[int]
    DEAD_FIELD_NUMBER: _ClassVar[int]
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    by: str
    term: int
    leaders: _containers.RepeatedScalarFieldContainer[str]
    alive: int
    suspect: int
    dead: int
    clusters: _containers.RepeatedScalarFieldContainer[str]
    software: _containers.ScalarMap[str, int]
    root: str
    def __init__(self, by: _Optional[str] = ..., term: _Optional[int] = ..., leaders: _Optional[_Iterable[str]] = ..., alive: _Optional[int] = ..., suspect: _Optional[int] = ..., dead: _Optional[int] = ..., clusters: _Optional[_Iterable[str]] = ..., software: _Optional[_Mapping[str, int]] = ..., root: _Optional[str] = ...) -> None: ...

class Mesh(_message.Message):
    __slots__ = ("name", "id", "health", "root")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: str
    health: str
    root: str
    def __init__(self, name: _Optional[str] = ..., id: _Optional[str] = ..., health: _Optional[str] = ..., root: _Optional[str] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "cluster", "role", "region", "state", "incarnation", "addresses", "software", "self", "ignored", "refused")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    SELF_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster: str
    role: str
    region: str
    state: str
    incarnation: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    software: str
    self: bool
    ignored: Ignored
    refused: str
    def __init__(self_, id: _Optional[str] = ..., cluster: _Optional[str] = ..., role: _Optional[str] = ..., region: _Optional[str] = ..., state: _Optional[str] = ..., incarnation: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ..., software: _Optional[str] = ..., self: _Optional[bool] = ..., ignored: _Optional[_Union[Ignored, _Mapping]] = ..., refused: _Optional[str] = ...) -> None: ...

class Ignored(_message.Message):
    __slots__ = ("cause", "at_ms", "reason")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    cause: str
    at_ms: int
    reason: str
    def __init__(self, cause: _Optional[str] = ..., at_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("a", "b", "state", "transport", "rtt_ms", "loss", "bytes_per_s", "backlog", "mine")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    MINE_FIELD_NUMBER: _ClassVar[int]
    a: str
    b: str
    state: str
    transport: str
    rtt_ms: float
    loss: float
    bytes_per_s: float
    backlog: int
    mine: bool
    def __init__(self, a: _Optional[str] = ..., b: _Optional[str] = ..., state: _Optional[str] = ..., transport: _Optional[str] = ..., rtt_ms: _Optional[float] = ..., loss: _Optional[float] = ..., bytes_per_s: _Optional[float] = ..., backlog: _Optional[int] = ..., mine: _Optional[bool] = ...) -> None: ...

class Partition(_message.Message):
    __slots__ = ("state", "writable", "reachable", "required", "members", "preset", "phase", "votes", "voters", "missing", "missing_more", "votes_ignored")
    STATE_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MISSING_MORE_FIELD_NUMBER: _ClassVar[int]
    VOTES_IGNORED_FIELD_NUMBER: _ClassVar[int]
    state: str
    writable: bool
    reachable: int
    required: int
    members: int
    preset: str
    phase: str
    votes: int
    voters: int
    missing: _containers.RepeatedCompositeFieldContainer[Missing]
    missing_more: int
    votes_ignored: int
    def __init__(self, state: _Optional[str] = ..., writable: _Optional[bool] = ..., reachable: _Optional[int] = ..., required: _Optional[int] = ..., members: _Optional[int] = ..., preset: _Optional[str] = ..., phase: _Optional[str] = ..., votes: _Optional[int] = ..., voters: _Optional[int] = ..., missing: _Optional[_Iterable[_Union[Missing, _Mapping]]] = ..., missing_more: _Optional[int] = ..., votes_ignored: _Optional[int] = ...) -> None: ...

class Missing(_message.Message):
    __slots__ = ("node", "since_ms")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    node: str
    since_ms: int
    def __init__(self, node: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class WatchMeshEventsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MeshEvent(_message.Message):
    __slots__ = ("at_ms", "kind", "text", "fields")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    kind: str
    text: str
    fields: _containers.ScalarMap[str, str]
    def __init__(self, at_ms: _Optional[int] = ..., kind: _Optional[str] = ..., text: _Optional[str] = ..., fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SeedMeshRequest(_message.Message):
    __slots__ = ("name", "policy", "key")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    name: str
    policy: str
    key: str
    def __init__(self, name: _Optional[str] = ..., policy: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class JoinMeshRequest(_message.Message):
    __slots__ = ("ticket", "address", "key")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ticket: str
    address: str
    key: str
    def __init__(self, ticket: _Optional[str] = ..., address: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class SendUserEventRequest(_message.Message):
    __slots__ = ("name", "payload")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    name: str
    payload: bytes
    def __init__(self, name: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class UserEventSent(_message.Message):
    __slots__ = ("author", "lamport")
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    LAMPORT_FIELD_NUMBER: _ClassVar[int]
    author: str
    lamport: int
    def __init__(self, author: _Optional[str] = ..., lamport: _Optional[int] = ...) -> None: ...

class LeaveMeshRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaveMeshResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AddLinkRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class DropLinkRequest(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class DropLinkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLinksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListLinksResponse(_message.Message):
    __slots__ = ("links",)
    LINKS_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[OwnLink]
    def __init__(self, links: _Optional[_Iterable[_Union[OwnLink, _Mapping]]] = ...) -> None: ...

class OwnLink(_message.Message):
    __slots__ = ("peer", "address", "state", "transport", "why", "rtt_ms", "loss", "attempt", "last_error", "next_try_in_s", "backlog", "asked_by")
    PEER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    NEXT_TRY_IN_S_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_FIELD_NUMBER: _ClassVar[int]
    ASKED_BY_FIELD_NUMBER: _ClassVar[int]
    peer: str
    address: str
    state: str
    transport: str
    why: str
    rtt_ms: float
    loss: float
    attempt: int
    last_error: str
    next_try_in_s: float
    backlog: int
    asked_by: str
    def __init__(self, peer: _Optional[str] = ..., address: _Optional[str] = ..., state: _Optional[str] = ..., transport: _Optional[str] = ..., why: _Optional[str] = ..., rtt_ms: _Optional[float] = ..., loss: _Optional[float] = ..., attempt: _Optional[int] = ..., last_error: _Optional[str] = ..., next_try_in_s: _Optional[float] = ..., backlog: _Optional[int] = ..., asked_by: _Optional[str] = ...) -> None: ...

class ListPeersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPeersResponse(_message.Message):
    __slots__ = ("peers",)
    PEERS_FIELD_NUMBER: _ClassVar[int]
    peers: _containers.RepeatedCompositeFieldContainer[Peer]
    def __init__(self, peers: _Optional[_Iterable[_Union[Peer, _Mapping]]] = ...) -> None: ...

class GetPeerRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class BanPeerRequest(_message.Message):
    __slots__ = ("prefix", "reason")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    reason: str
    def __init__(self, prefix: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ForgivePeerRequest(_message.Message):
    __slots__ = ("prefix", "reason")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    reason: str
    def __init__(self, prefix: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetMatrixRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Matrix(_message.Message):
    __slots__ = ("self", "nodes", "cells")
    SELF_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    self: str
    nodes: _containers.RepeatedCompositeFieldContainer[MatrixNode]
    cells: _containers.RepeatedCompositeFieldContainer[MatrixCell]
    def __init__(self_, self: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[MatrixNode, _Mapping]]] = ..., cells: _Optional[_Iterable[_Union[MatrixCell, _Mapping]]] = ...) -> None: ...

class MatrixNode(_message.Message):
    __slots__ = ("id", "cluster", "region", "state")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster: str
    region: str
    state: str
    def __init__(self, id: _Optional[str] = ..., cluster: _Optional[str] = ..., region: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class MatrixCell(_message.Message):
    __slots__ = ("a", "b", "rtt_ms", "loss", "measured")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    a: str
    b: str
    rtt_ms: float
    loss: float
    measured: bool
    def __init__(self, a: _Optional[str] = ..., b: _Optional[str] = ..., rtt_ms: _Optional[float] = ..., loss: _Optional[float] = ..., measured: _Optional[bool] = ...) -> None: ...

class GetRouteRequest(_message.Message):
    __slots__ = ("prefix",)
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    def __init__(self, prefix: _Optional[str] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("to", "cluster", "state", "policy", "hops", "otherwise", "link", "link_why", "shorter")
    TO_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    OTHERWISE_FIELD_NUMBER: _ClassVar[int]
    LINK_FIELD_NUMBER: _ClassVar[int]
    LINK_WHY_FIELD_NUMBER: _ClassVar[int]
    SHORTER_FIELD_NUMBER: _ClassVar[int]
    to: str
    cluster: str
    state: str
    policy: str
    hops: _containers.RepeatedCompositeFieldContainer[RouteHop]
    otherwise: _containers.RepeatedCompositeFieldContainer[RouteHop]
    link: str
    link_why: str
    shorter: _containers.RepeatedCompositeFieldContainer[RouteHop]
    def __init__(self, to: _Optional[str] = ..., cluster: _Optional[str] = ..., state: _Optional[str] = ..., policy: _Optional[str] = ..., hops: _Optional[_Iterable[_Union[RouteHop, _Mapping]]] = ..., otherwise: _Optional[_Iterable[_Union[RouteHop, _Mapping]]] = ..., link: _Optional[str] = ..., link_why: _Optional[str] = ..., shorter: _Optional[_Iterable[_Union[RouteHop, _Mapping]]] = ...) -> None: ...

class RouteHop(_message.Message):
    __slots__ = ("id", "cluster", "rtt_ms", "kept_off")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    RTT_MS_FIELD_NUMBER: _ClassVar[int]
    KEPT_OFF_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster: str
    rtt_ms: float
    kept_off: str
    def __init__(self, id: _Optional[str] = ..., cluster: _Optional[str] = ..., rtt_ms: _Optional[float] = ..., kept_off: _Optional[str] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("id", "cluster", "role", "region", "state", "score", "ignored", "standing", "latency_ms", "first_seen_ms", "last_seen_ms", "addresses", "deliveries", "causes", "inviter", "probation", "preferred", "guess_ms", "rtt_min_ms", "rtt_deviation_ms", "loss")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    STANDING_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    INVITER_FIELD_NUMBER: _ClassVar[int]
    PROBATION_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_FIELD_NUMBER: _ClassVar[int]
    GUESS_MS_FIELD_NUMBER: _ClassVar[int]
    RTT_MIN_MS_FIELD_NUMBER: _ClassVar[int]
    RTT_DEVIATION_MS_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    id: str
    cluster: str
    role: str
    region: str
    state: str
    score: float
    ignored: bool
    standing: str
    latency_ms: float
    first_seen_ms: int
    last_seen_ms: int
    addresses: _containers.RepeatedScalarFieldContainer[str]
    deliveries: int
    causes: _containers.RepeatedCompositeFieldContainer[Cause]
    inviter: str
    probation: bool
    preferred: bool
    guess_ms: float
    rtt_min_ms: float
    rtt_deviation_ms: float
    loss: float
    def __init__(self, id: _Optional[str] = ..., cluster: _Optional[str] = ..., role: _Optional[str] = ..., region: _Optional[str] = ..., state: _Optional[str] = ..., score: _Optional[float] = ..., ignored: _Optional[bool] = ..., standing: _Optional[str] = ..., latency_ms: _Optional[float] = ..., first_seen_ms: _Optional[int] = ..., last_seen_ms: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ..., deliveries: _Optional[int] = ..., causes: _Optional[_Iterable[_Union[Cause, _Mapping]]] = ..., inviter: _Optional[str] = ..., probation: _Optional[bool] = ..., preferred: _Optional[bool] = ..., guess_ms: _Optional[float] = ..., rtt_min_ms: _Optional[float] = ..., rtt_deviation_ms: _Optional[float] = ..., loss: _Optional[float] = ...) -> None: ...

class Cause(_message.Message):
    __slots__ = ("at_ms", "delta", "cause", "evidence", "score", "summary")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    delta: float
    cause: str
    evidence: str
    score: float
    summary: str
    def __init__(self, at_ms: _Optional[int] = ..., delta: _Optional[float] = ..., cause: _Optional[str] = ..., evidence: _Optional[str] = ..., score: _Optional[float] = ..., summary: _Optional[str] = ...) -> None: ...

class CreateInviteRequest(_message.Message):
    __slots__ = ("cluster", "role", "expires_s", "uses")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_S_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    cluster: str
    role: str
    expires_s: float
    uses: int
    def __init__(self, cluster: _Optional[str] = ..., role: _Optional[str] = ..., expires_s: _Optional[float] = ..., uses: _Optional[int] = ...) -> None: ...

class CreateInviteResponse(_message.Message):
    __slots__ = ("ticket", "invite")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    INVITE_FIELD_NUMBER: _ClassVar[int]
    ticket: str
    invite: Invite
    def __init__(self, ticket: _Optional[str] = ..., invite: _Optional[_Union[Invite, _Mapping]] = ...) -> None: ...

class ListInvitesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListInvitesResponse(_message.Message):
    __slots__ = ("invites",)
    INVITES_FIELD_NUMBER: _ClassVar[int]
    invites: _containers.RepeatedCompositeFieldContainer[Invite]
    def __init__(self, invites: _Optional[_Iterable[_Union[Invite, _Mapping]]] = ...) -> None: ...

class RevokeInviteRequest(_message.Message):
    __slots__ = ("ticket_id",)
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    def __init__(self, ticket_id: _Optional[str] = ...) -> None: ...

class Invite(_message.Message):
    __slots__ = ("ticket_id", "cluster", "role", "expires_ms", "uses", "used", "revoked", "inviter")
    TICKET_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_MS_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    INVITER_FIELD_NUMBER: _ClassVar[int]
    ticket_id: str
    cluster: str
    role: str
    expires_ms: int
    uses: int
    used: int
    revoked: bool
    inviter: str
    def __init__(self, ticket_id: _Optional[str] = ..., cluster: _Optional[str] = ..., role: _Optional[str] = ..., expires_ms: _Optional[int] = ..., uses: _Optional[int] = ..., used: _Optional[int] = ..., revoked: _Optional[bool] = ..., inviter: _Optional[str] = ...) -> None: ...

class GetCertificateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RotateCertificateRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("node_id", "subject", "serial", "not_before_ms", "not_after_ms", "renew_at_ms", "previous_valid_until_ms")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    RENEW_AT_MS_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VALID_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    subject: str
    serial: str
    not_before_ms: int
    not_after_ms: int
    renew_at_ms: int
    previous_valid_until_ms: int
    def __init__(self, node_id: _Optional[str] = ..., subject: _Optional[str] = ..., serial: _Optional[str] = ..., not_before_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ..., renew_at_ms: _Optional[int] = ..., previous_valid_until_ms: _Optional[int] = ...) -> None: ...

class ListBusClientsRequest(_message.Message):
    __slots__ = ("slow",)
    SLOW_FIELD_NUMBER: _ClassVar[int]
    slow: bool
    def __init__(self, slow: _Optional[bool] = ...) -> None: ...

class ListBusClientsResponse(_message.Message):
    __slots__ = ("clients", "total")
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    clients: _containers.RepeatedCompositeFieldContainer[BusClient]
    total: int
    def __init__(self, clients: _Optional[_Iterable[_Union[BusClient, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class BusClient(_message.Message):
    __slots__ = ("id", "address", "name", "kind", "subject", "role", "tenant", "via", "rooms", "subscriptions", "published", "in_per_s", "out_bytes_per_s", "queue_bytes", "dropped", "since_ms", "slow_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    ROOMS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    IN_PER_S_FIELD_NUMBER: _ClassVar[int]
    OUT_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    QUEUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    SLOW_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    name: str
    kind: str
    subject: str
    role: str
    tenant: str
    via: str
    rooms: _containers.RepeatedScalarFieldContainer[str]
    subscriptions: int
    published: int
    in_per_s: float
    out_bytes_per_s: float
    queue_bytes: int
    dropped: int
    since_ms: int
    slow_ms: int
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., role: _Optional[str] = ..., tenant: _Optional[str] = ..., via: _Optional[str] = ..., rooms: _Optional[_Iterable[str]] = ..., subscriptions: _Optional[int] = ..., published: _Optional[int] = ..., in_per_s: _Optional[float] = ..., out_bytes_per_s: _Optional[float] = ..., queue_bytes: _Optional[int] = ..., dropped: _Optional[int] = ..., since_ms: _Optional[int] = ..., slow_ms: _Optional[int] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ("channel", "target")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    channel: str
    target: str
    def __init__(self, channel: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("export_allow", "export_deny", "import_allow", "import_deny", "decisions", "rules", "verdicts", "channel")
    EXPORT_ALLOW_FIELD_NUMBER: _ClassVar[int]
    EXPORT_DENY_FIELD_NUMBER: _ClassVar[int]
    IMPORT_ALLOW_FIELD_NUMBER: _ClassVar[int]
    IMPORT_DENY_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    export_allow: _containers.RepeatedScalarFieldContainer[str]
    export_deny: _containers.RepeatedScalarFieldContainer[str]
    import_allow: _containers.RepeatedScalarFieldContainer[str]
    import_deny: _containers.RepeatedScalarFieldContainer[str]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    rules: _containers.RepeatedCompositeFieldContainer[PolicyRule]
    verdicts: _containers.RepeatedCompositeFieldContainer[PolicyVerdict]
    channel: str
    def __init__(self, export_allow: _Optional[_Iterable[str]] = ..., export_deny: _Optional[_Iterable[str]] = ..., import_allow: _Optional[_Iterable[str]] = ..., import_deny: _Optional[_Iterable[str]] = ..., decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., rules: _Optional[_Iterable[_Union[PolicyRule, _Mapping]]] = ..., verdicts: _Optional[_Iterable[_Union[PolicyVerdict, _Mapping]]] = ..., channel: _Optional[str] = ...) -> None: ...

class PolicyRule(_message.Message):
    __slots__ = ("name", "kind", "channels", "regions", "every_s", "to")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    EVERY_S_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    channels: _containers.RepeatedScalarFieldContainer[str]
    regions: _containers.RepeatedScalarFieldContainer[str]
    every_s: int
    to: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., channels: _Optional[_Iterable[str]] = ..., regions: _Optional[_Iterable[str]] = ..., every_s: _Optional[int] = ..., to: _Optional[str] = ...) -> None: ...

class PolicyVerdict(_message.Message):
    __slots__ = ("node", "cluster", "region", "linked", "allowed", "rule", "reason")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    LINKED_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    node: str
    cluster: str
    region: str
    linked: bool
    allowed: bool
    rule: str
    reason: str
    def __init__(self, node: _Optional[str] = ..., cluster: _Optional[str] = ..., region: _Optional[str] = ..., linked: _Optional[bool] = ..., allowed: _Optional[bool] = ..., rule: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("direction", "channel", "cluster", "allowed", "rule", "messages")
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    direction: str
    channel: str
    cluster: str
    allowed: bool
    rule: str
    messages: int
    def __init__(self, direction: _Optional[str] = ..., channel: _Optional[str] = ..., cluster: _Optional[str] = ..., allowed: _Optional[bool] = ..., rule: _Optional[str] = ..., messages: _Optional[int] = ...) -> None: ...

class ReloadConfigRequest(_message.Message):
    __slots__ = ("apply",)
    APPLY_FIELD_NUMBER: _ClassVar[int]
    apply: bool
    def __init__(self, apply: _Optional[bool] = ...) -> None: ...

class ConfigChanges(_message.Message):
    __slots__ = ("file", "applied", "changes", "warnings")
    FILE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    file: str
    applied: bool
    changes: _containers.RepeatedCompositeFieldContainer[ConfigChange]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, file: _Optional[str] = ..., applied: _Optional[bool] = ..., changes: _Optional[_Iterable[_Union[ConfigChange, _Mapping]]] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class ConfigChange(_message.Message):
    __slots__ = ("name", "running", "file", "origin", "hot")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    HOT_FIELD_NUMBER: _ClassVar[int]
    name: str
    running: str
    file: str
    origin: str
    hot: bool
    def __init__(self, name: _Optional[str] = ..., running: _Optional[str] = ..., file: _Optional[str] = ..., origin: _Optional[str] = ..., hot: _Optional[bool] = ...) -> None: ...

class GetNodeStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("node_id", "cluster", "role", "region", "version", "pid", "uptime_s", "mesh", "quic", "bus", "http", "data_dir", "clients", "channels", "counters", "published_per_s", "delivered_per_s", "delivery_p50_us", "delivery_p99_us", "telemetry", "telemetry_failure")
    class CountersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    MESH_FIELD_NUMBER: _ClassVar[int]
    QUIC_FIELD_NUMBER: _ClassVar[int]
    BUS_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    DATA_DIR_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_PER_S_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_PER_S_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_P50_US_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_P99_US_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FIELD_NUMBER: _ClassVar[int]
    TELEMETRY_FAILURE_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    cluster: str
    role: str
    region: str
    version: str
    pid: int
    uptime_s: float
    mesh: str
    quic: str
    bus: str
    http: str
    data_dir: str
    clients: int
    channels: int
    counters: _containers.ScalarMap[str, int]
    published_per_s: float
    delivered_per_s: float
    delivery_p50_us: int
    delivery_p99_us: int
    telemetry: str
    telemetry_failure: str
    def __init__(self, node_id: _Optional[str] = ..., cluster: _Optional[str] = ..., role: _Optional[str] = ..., region: _Optional[str] = ..., version: _Optional[str] = ..., pid: _Optional[int] = ..., uptime_s: _Optional[float] = ..., mesh: _Optional[str] = ..., quic: _Optional[str] = ..., bus: _Optional[str] = ..., http: _Optional[str] = ..., data_dir: _Optional[str] = ..., clients: _Optional[int] = ..., channels: _Optional[int] = ..., counters: _Optional[_Mapping[str, int]] = ..., published_per_s: _Optional[float] = ..., delivered_per_s: _Optional[float] = ..., delivery_p50_us: _Optional[int] = ..., delivery_p99_us: _Optional[int] = ..., telemetry: _Optional[str] = ..., telemetry_failure: _Optional[str] = ...) -> None: ...

class StopNodeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopNodeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
