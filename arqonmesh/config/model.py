"""The settings of one node: one frozen struct per subsystem, each field with its unit and its effect.

`config/load.py` reads them from arqon.yaml with `ARQON_*` over it (`ARQON_BUS__CLIENTS_MAX=100`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct, field

T = TypeVar("T")
Positive = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0)]
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]
RegionPattern = Annotated[str, Meta(min_length=1, max_length=64)]
FieldName = Annotated[str, Meta(min_length=1, max_length=64)]
Hot = Annotated[T, Meta(extra={"hot": True})]
"""A running node takes a new value at once (`arqon config reload`, SIGHUP); everything else takes a restart."""
Secret = Annotated[T, Meta(extra={"secret": True})]
"""Never shown."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: unknown keys are errors."""


class NodeSettings(Settings, frozen=True):
    """Who this node is."""

    cluster: str
    """The trust domain and bus that this node belongs to: 1 to 63 characters of a-z, 0-9, '.', '_', '-'."""
    role: Literal["hub", "spoke", "leader"] = "hub"
    """A hub is dialled by every other member; a spoke dials hubs; a leader is a hub that speaks for its region."""
    region: Annotated[str, Meta(max_length=64)] = ""
    """Free text such as `eu`; told to the other members, shown on screens."""
    priority: Literal["auto", "high", "normal"] = "auto"
    """How large a share of a busy processor to ask the kernel for: `high` is a nice value of -10, where the process may
    have it (root, or `LimitNICE` of its unit); `auto` is that for hubs and leaders, on whose heartbeats everyone waits,
    unless they were started with a nice value or a scheduling policy of somebody's choice. Between units or containers
    their weight counts, not this."""


class ListenSettings(Settings, frozen=True):
    """Where this node listens, HOST:PORT each; port 0 takes a free one."""

    quic: str = "0.0.0.0:9130"
    """UDP address for links to other nodes, dialling and listening."""
    bus: str = "127.0.0.1:9100"
    """TCP address of the WebSocket bus for applications."""
    http: str = "127.0.0.1:9180"
    """TCP address of /health, /version, /metrics and /status; empty: no HTTP."""
    telemetry: str = "127.0.0.1:9101"
    """TCP address of the WebSocket server for telemetry; empty: none."""
    advertise: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    """Addresses told to other members for dialling; empty: `quic`, on the default route where it names no host."""


class LinkSettings(Settings, frozen=True):
    """Links between nodes."""

    auto: Literal["hubs", "full", "overlay", "none"] = "hubs"
    """Which members are dialled without being asked: hubs and leaders, everyone, a few random ones that change as
    nodes come and go (see `overlay`), or nobody. Beside these a leader of a region dials the leaders of others (see
    `regions`), and a node a mate of its cluster that it does not reach otherwise; with `none` neither does, and all
    links are those that `arqon link add` made here or that others dialled."""
    auto_max: Positive = 8
    """At most so many members are dialled without being asked, under `hubs` and `full`."""
    full_max: Positive = 200
    """With more members than this, `full` becomes `overlay` by itself; with less than three quarters of it, `full`
    again."""
    heartbeat_ms: Positive = 100
    """Time between heartbeats; stretched to 2 x smoothed RTT on slow links. Less notices sooner and sends more."""
    heartbeats_per_s_max: Positive = 250
    """Heartbeats a second over all links together: a node with more than 25 links asks for slower ones (at 64 links
    every 256 ms), and its peers follow. More notices sooner on large hubs and costs processor time on both ends."""
    misses: Annotated[int, Meta(ge=2, le=20)] = 3
    """Missed heartbeats after which a link is down."""
    reconnect_min_ms: Positive = 200
    """First pause between dials of a link that is down."""
    reconnect_max_ms: Positive = 1_000
    """The pause doubles from min up to this, with full jitter on its upper half, for ever. A dial that nobody answers
    costs a few datagrams; more spares a hub to which thousands return at once, and finds a healed path later."""
    handshake_ms: Annotated[int, Meta(ge=1_000, le=120_000)] = 20_000
    """From the first datagram of a connection to the link or the join. An answer takes seconds where many nodes share
    a starved machine; less frees the place of a stranger that falls silent sooner."""
    max_datagram_size: Annotated[int, Meta(ge=1_200, le=16_000)] = 1_200
    """QUIC packet size. 1,200 fits every path; larger only where both ends and the path carry it."""


class OverlaySettings(Settings, frozen=True):
    """HyParView, under `links.auto: overlay`: a small active view of links and a larger passive one of spare members.
    Defaults after the paper (Leitao, Pereira, Rodrigues, DSN 2007)."""

    active_max: Annotated[int, Meta(ge=3, le=64)] = 10
    """Most links that the active view holds. It grows with the mesh: ln(members) + 1, rounded up, at least 5 (8 with
    1,000 members)."""
    passive_max: Annotated[int, Meta(ge=4, le=1_024)] = 30
    """Members known as replacements for links that fail."""
    arwl: Annotated[int, Meta(ge=1, le=16)] = 6
    """Steps of a newcomer's random walk until somebody takes it in (active random walk length)."""
    prwl: Annotated[int, Meta(ge=0, le=16)] = 3
    """Steps left at which the walk is noted in a passive view; below `arwl` (passive random walk length)."""
    shuffle_active: Annotated[int, Meta(ge=0, le=16)] = 3
    """Members of the active view in a shuffle."""
    shuffle_passive: Annotated[int, Meta(ge=0, le=32)] = 4
    """Members of the passive view in a shuffle."""
    shuffle_interval_ms: Annotated[int, Meta(ge=1_000)] = 30_000
    """Time between shuffles, and between tries to reach a member that was lost; give or take a fifth."""
    neighbour_timeout_ms: Positive = 2_000
    """How long a candidate has for the handshake, and again for its answer."""
    outbound_min: Annotated[int, Meta(ge=0, le=32)] = 2
    """Links of the active view that this node chose itself, at least; others may fill the rest, and only those make way
    for newcomers. 0: no such limit, anyone may make way, as in the paper."""
    source_percent: Annotated[int, Meta(ge=1, le=100)] = 25
    """Share of the passive view that one member may fill; all whom we did not choose together, twice that."""
    backoff_ms: Positive = 10_000
    """Time after a disconnection or refusal in which neither side asks the other again."""
    heartbeat_ms: Positive = 250
    """Heartbeats while the overlay runs, unless `links.heartbeat_ms` is slower: a link here is one of many, and a spare
    member takes its place, so it may be found broken later than the link to a hub. The same on every node."""


class LifeguardSettings(Settings, frozen=True):
    """What Lifeguard adds to SWIM, part by part. Switched off for comparisons; all off is plain SWIM."""

    local_health: bool = True
    """Probe more slowly, and judge nobody, while there are signs that this node itself is slow."""
    suspicion: bool = True
    """A lone accuser waits longer, each confirmation shortens; off: the shortest time always, and others' verdicts."""
    buddy: bool = True
    """Tell a suspect so in every ping, that it can refute at once."""


class MembershipSettings(Settings, frozen=True):
    """SWIM. Names and defaults after memberlist's LAN profile, with a shorter period."""

    probe_interval_ms: Positive = 1_000
    """Time between probes of one member. Less notices a death sooner and sends more."""
    probe_timeout_ms: Positive = 500
    """Silence after a direct probe before others are asked to probe; at most the interval."""
    indirect_checks: Annotated[int, Meta(ge=0, le=16)] = 3
    """How many others are asked."""
    suspicion_mult: Annotated[int, Meta(ge=1, le=32)] = 4
    """Shortest suspicion in units of log10(members) x probe interval, once enough others suspect too."""
    suspicion_max_mult: Annotated[int, Meta(ge=1, le=32)] = 6
    """Longest suspicion as a multiple of the shortest: how long a lone accuser waits for a refutation."""
    link_evidence_ms: Annotated[int, Meta(ge=0)] = 1_000
    """Suspicion of a member to whom, by all members' signed link records, nobody has a link any more; 0: no shorter."""
    dead_probe_interval_ms: Positive = 30_000
    """Time between pings of a random dead member, for ever: who came back is found without being asked."""
    lifeguard: LifeguardSettings = LifeguardSettings()
    partition_preset: Literal["crash", "byzantine"] = "crash"
    """Quorum over the agreed membership: a majority, or n - f with f < n/3."""


class GossipSettings(Settings, frozen=True):
    """How members' signed records spread."""

    repair_interval_ms: Positive = 1_000
    """Time between root comparisons with one linked peer. Push on change does not wait for it."""
    delta_bytes_max: Positive = 60_000
    """Largest repair message; what is left over goes in the next one."""
    tombstone_horizon_s: Annotated[float, Meta(ge=3_600)] = 604_800.0
    """How long a ticket that is over is kept, and the admission of a member that has left, or is dead and has no vote;
    then whoever signed them voids them, and who comes back needs a new ticket. Longer than any outage that a member
    has to survive without one."""


class BroadcastSettings(Settings, frozen=True):
    """How payloads for every node travel (Plumtree): along a tree of links, announced on the others."""

    flood_below_bytes: Annotated[int, Meta(ge=0)] = 64
    """Payloads smaller than this are sent on every link and not announced: the announcement would cost as much."""
    announce_ms: Positive = 5
    """Announcements of one link wait so long for others to share a message with."""
    graft_min_ms: Positive = 20
    """An announced payload is asked for after 3 x the median RTT of the links, at least after this."""
    fan_out_percent: Annotated[int, Meta(ge=0, le=100)] = 20
    """Copies beside the tree on the first hops of a payload, at most so many per 100 members, and fewer where payloads
    come many a second: fewer hops for more bytes. 0 leaves all to the tree."""
    eager_max: Positive = 7
    """New links beyond so many in the tree begin outside of it; they enter it when a payload shows the need."""
    swap_hops: Annotated[int, Meta(ge=1, le=255)] = 5
    """A link of the tree is swapped for one that announced a payload so many hops shorter. The paper has 7; with 5 the
    last of 1,000 nodes is half a hop nearer, and nothing is sent more often."""
    cache_s: Seconds = 30.0
    """Payloads are kept so long for whoever asks."""
    cache_bytes_max: Positive = 16 << 20
    """Most bytes of payloads kept; beyond it the oldest goes."""
    ids_s: Seconds = 90.0
    """A payload that comes again within this time is known."""
    ids_max: Positive = 100_000
    """Most payloads that are known; beyond it the oldest is forgotten."""


class RegionSettings(Settings, frozen=True):
    """Leaders, who speak for a region and link it to the others. The same on every node of a region."""

    leaders: Annotated[int, Meta(ge=1, le=8)] = 2
    """How many lead a region, if it has that many members alive."""
    hysteresis_s: Seconds = 60.0
    """A leader makes way for a better candidate that has been there so long. More means fewer changes."""
    summary_interval_s: Seconds = 10.0
    """Least time between two summaries of its region by one leader; a change of leaders does not wait."""
    bridges_max: Positive = 16
    """Most links that a leader wants to leaders of other regions; none where `links.auto` is `none`."""


class CoordinateSettings(Settings, frozen=True):
    """Network coordinates (Vivaldi): a guess of the round trip to members that this node never met."""

    report_interval_ms: Positive = 5_000
    """Time between reports of our own coordinate, to one linked peer in turn."""
    settle_s: Seconds = 30.0
    """Our coordinate is first published to the mesh after this time."""
    publish_interval_s: Seconds = 600.0
    """Least time between two publications, each of which reaches every member; only when it has moved since."""


class UserEventSettings(Settings, frozen=True):
    """`arqon mesh event`: small signed events of one node for all."""

    rate_per_s: Hot[Positive] = 5
    """Events per second that this node may send (token bucket); every one goes to every node."""
    burst: Hot[Positive] = 20
    """Events that it may send at once after a pause."""


class PeerSettings(Settings, frozen=True):
    """What a link peer may do, and how faults count."""

    rate_per_s: Positive = 1_000
    """Control messages per second that one link peer may send (token bucket), checked before signatures."""
    burst: Positive = 2_000
    """Control messages it may send at once after a pause."""
    ignore_below: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Reputation, 0 to 1, below which a member is not selected, merged or relayed for."""
    half_life_s: Seconds = 1_800.0
    """Time in which half of a lost score comes back, proofs apart."""
    strategy: Literal["random", "nearest", "hybrid", "geographic"] = "hybrid"
    """Whom this node prefers: anyone; the nearest; the nearest with a random share; or its own region first and at
    least one member of each other region. `nearest` alone cuts a mesh into islands when nothing else links them."""
    random_percent: Annotated[int, Meta(ge=20, le=100)] = 20
    """Share of a hybrid choice that is random; at least 20, or far regions lose each other."""
    preferred_max: Positive = 8
    """How many members are preferred at a time."""
    rebalance_rounds: Positive = 100
    """Preferred members are chosen anew after so many rounds of `gossip.repair_interval_ms`."""
    causes_max: Positive = 100
    """Most changes of its score that are kept per member, with their causes; the oldest goes."""


class RoutingSettings(Settings, frozen=True):
    """Paths over other members, for what is meant for somebody else."""

    transit: Hot[Literal["any", "prefer-trusted", "trusted"]] = "prefer-trusted"
    """Who carries what is meant for others: everybody; not who is convicted, and who is ignored on observations only
    where no other way leads; or neither. Either still gets what is meant for itself."""


class Rules(Settings, frozen=True):
    """Channel patterns, `room:channel` with `*`. Deny wins over allow; what matches nothing is denied."""

    allow: Hot[Annotated[tuple[Pattern, ...], Meta(max_length=256)]] = ()
    """Patterns that pass."""
    deny: Hot[Annotated[tuple[Pattern, ...], Meta(max_length=256)]] = ()
    """Patterns that do not, whatever `allow` says."""


class OutboxSettings(Settings, frozen=True):
    """What is kept for a link that cannot carry it."""

    when_down: Literal["hold", "drop"] = "hold"
    """Policy for exported messages while a link is down: hold and replay, or drop; both counted."""
    messages_max: Positive = 200_000
    """Most messages held per link; beyond it the oldest goes, counted."""
    bytes_max: Positive = 64 << 20
    """Most bytes held per link; beyond it the oldest goes, counted."""
    window_bytes: Positive = 4 << 20
    """Unacknowledged bytes on an up link above which publishers are paused."""


class PinRule(Settings, frozen=True):
    """Channels whose events stay in some regions, on their way, too, and inside of a cluster."""

    channels: Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=64)]
    regions: Annotated[tuple[RegionPattern, ...], Meta(min_length=1, max_length=16)]
    """Patterns of the `node.region` that a member has to have; `@here` is this node's own."""


class ClaimRule(Settings, frozen=True):
    """Regions that only members of some clusters are believed to be in."""

    regions: Annotated[tuple[RegionPattern, ...], Meta(min_length=1, max_length=16)]
    """Patterns of the `node.region` that a member tells."""
    clusters: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(min_length=1, max_length=64)
    ]
    """Whose members may; a member's cluster is in its admission."""


class AggregateRule(Settings, frozen=True):
    """Channels whose events stay in the cluster: others get one event per window that tells what there was."""

    channels: Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=64)]
    every_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """A channel's window begins with the first event after the last window."""
    to: Annotated[str, Meta(max_length=129)] = ""
    """The channel on which aggregates leave; empty: the one that they are of. A tenant's stay its own."""
    fields: Annotated[tuple[FieldName, ...], Meta(max_length=16)] = ()
    """Fields of the payload that may be told of; empty: the first 16 that hold a number."""
    events_min: Annotated[int, Meta(ge=1, le=1_000_000)] = 3
    """A field with fewer numbers in a window is not told of: minimum and maximum of one would be the event."""


class FederationSettings(Settings, frozen=True):
    """What crosses the cluster's border. Nothing does unless a rule allows it."""

    export: Rules = Rules()
    """What leaves for other clusters."""
    import_: Rules = field(default=Rules(allow=("*",)), name="import")
    """What is let in from other clusters."""
    pin: Hot[Annotated[tuple[PinRule, ...], Meta(max_length=16)]] = ()
    """Channels whose events stay in some regions. Of several pins of a channel every one holds."""
    claim: Hot[Annotated[tuple[ClaimRule, ...], Meta(max_length=64)]] = ()
    """Who may say of itself that it is in a region that pins name; a region that no rule names anybody may."""
    aggregate: Hot[Annotated[tuple[AggregateRule, ...], Meta(max_length=64)]] = ()
    """Channels of which other clusters get aggregates only. The same on every node of the cluster."""
    packs: Hot[Annotated[tuple[Literal["gdpr", "hipaa", "financial"], ...], Meta(max_length=3)]] = ()
    """Rules that come with the program (`arqon policy packs`); starting points, and no legal advice."""
    ttl: Annotated[int, Meta(ge=1, le=16)] = 8
    """Clusters that a message may cross."""
    outbox: OutboxSettings = OutboxSettings()


class HistorySettings(Settings, frozen=True):
    """What a channel's latecomers and those who come back can read."""

    per_channel: Hot[Annotated[int, Meta(ge=0, le=100_000)]] = 500
    """Messages kept per channel in memory."""
    durable: bool = True
    """Keep them on disk too (history.db in the data directory), and go on from there after a restart."""
    max_age_s: Hot[Seconds] = 604_800.0
    """On disk, what came longer ago than this goes."""
    max_bytes: Hot[Positive] = 1 << 30
    """On disk, beyond so many bytes over all channels the oldest goes."""
    redis_url: Secret[str] = ""
    """Keep them in Redis Streams as well, one per room:channel: redis://HOST:PORT/DB. Empty: no Redis."""
    redis_maxlen: Positive = 10_000
    """Messages kept per Redis stream, about so many (XADD MAXLEN ~)."""


class JwtSettings(Settings, frozen=True):
    """JSON Web Tokens that bus clients show. One source of keys; the key says which algorithm counts, never a token."""

    secret: Hot[Secret[str]] = ""
    """HS256: the shared secret itself, at least 32 bytes; better in `secret_file` or ARQON_BUS__AUTH__JWT__SECRET."""
    secret_file: Hot[str] = ""
    """HS256: a file with the secret, at least 32 bytes; relative to the data directory."""
    public_key_file: Hot[str] = ""
    """RS256 or EdDSA, by the key in it: a PEM file; read again when it changes."""
    jwks_file: Hot[str] = ""
    """RS256 and EdDSA: a JSON Web Key Set, keys found by `kid`; read again when it changes."""
    issuer: Hot[str] = ""
    """`iss` that a token needs to carry; empty: not looked at."""
    audience: Hot[str] = ""
    """`aud` that a token needs to carry; empty: not looked at."""
    clock_skew_s: Hot[Annotated[int, Meta(ge=0, le=600)]] = 30
    """How far the issuer's clock may be off when `exp` and `nbf` are checked."""
    expiry_required: Hot[bool] = True
    """Refuse tokens without `exp`."""
    role_claim: Hot[str] = "role"
    """The claim with the role: guest, user or admin, or a list of which the highest counts."""
    tenant_claim: Hot[str] = "tenant"
    """The claim with the tenant."""
    role_default: Hot[Literal["guest", "user", "admin"]] = "user"
    """Role of a token without one."""


class RoomRule(Settings, frozen=True):
    """The least role that each action takes in some channels; `granted`: only with a permission in the token or key."""

    rooms: Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=256)]
    join: Literal["guest", "user", "admin", "granted"] = "guest"
    publish: Literal["guest", "user", "admin", "granted"] = "user"
    history: Literal["guest", "user", "admin", "granted"] = "guest"
    presence: Literal["guest", "user", "admin", "granted"] = "guest"
    create: Literal["guest", "user", "admin", "granted"] = "user"
    delete: Literal["guest", "user", "admin", "granted"] = "admin"


class AuthSettings(Settings, frozen=True):
    """Who may use the bus, and for what. API keys (`arqon bus key new`) need no setting."""

    anonymous: Hot[Literal["auto", "off", "guest", "user", "admin"]] = "auto"
    """Role of clients that show nothing; off: they are refused. auto: `user` while the bus listens on loopback only
    and nobody set up a token, a JWT key or an API key; else off, and a bus open to the network does not start."""
    tenants: Hot[Literal["off", "allowed", "required"]] = "allowed"
    """Whether clients may be of a tenant, by `/t/TENANT` in the URL and by their token, which need to agree; tenants
    do not see each other."""
    tenants_hear_mesh: Hot[bool] = False
    """Let all clients of tenants into `$mesh`, where the mesh tells of its nodes, clusters and operators' events; else
    of them only admins, and whom a permission `join:$mesh:*` lets in."""
    expiry_notice_s: Hot[Annotated[int, Meta(ge=0)]] = 60
    """A client is told so long before its token expires; then it is closed (4401) unless it showed a newer one."""
    jwt: JwtSettings = JwtSettings()
    rooms: Hot[Annotated[tuple[RoomRule, ...], Meta(max_length=256)]] = ()
    """Rules `{rooms: [PATTERN], join, publish, history, presence, create, delete}`, each flag the least role for it:
    guest, user, admin, or granted (only with a permission in the token). The first that matches a channel counts;
    without one guests read, users publish and create, admins delete."""


class SlowSettings(Settings, frozen=True):
    """Clients that read more slowly than they are sent to."""

    policy: Hot[Literal["disconnect", "drop-oldest", "drop-newest", "spill"]] = "disconnect"
    """What happens when `bus.buffer_bytes_max` wait for one client: cut it off (1008; it resumes from history), drop
    whole messages and tell it how many, or write on into a file."""
    spill_bytes_max: Hot[Positive] = 64 << 20
    """spill: most bytes on disk for one client; beyond it the client is cut off."""
    spill_total_bytes_max: Hot[Positive] = 512 << 20
    """spill: most bytes on disk for all clients together; beyond it whoever needs more is cut off."""


class RoomSettings(Settings, frozen=True):
    """A room that is there from the start and stays, with its channels."""

    room: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w.@/+~#=-]+$")]
    channels: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w.@/+~#=-]+$")], ...],
        Meta(min_length=1, max_length=256),
    ] = ("general",)


RoomName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w.@/+~#=-]+$")]
FullName: TypeAlias = Annotated[
    str, Meta(min_length=3, max_length=129, pattern=r"^[\w.@/+~#=-]{1,64}:[\w.@/+~#=-]{1,64}$")
]


class RoomNames(Settings, frozen=True):
    """What the rooms are called that the bus itself knows by name; every node of a cluster calls them the same."""

    room: RoomName = "default"
    """The room of a channel that is named without one: `explore` is `default:explore`."""
    channel: RoomName = "general"
    """The channel of a room that is named without one: the room `science` is `science:general`."""
    telemetry: Annotated[
        str, Meta(min_length=3, max_length=129, pattern=r"^[\w.@/+~#=-]{1,64}:[\w.@/+~#=-]{1,64}$")
    ] = "integriguard:telemetry-stream"
    """Where a message of type `telemetry` without an address goes; what comes there is of the telemetry stream."""
    dashboards: RoomName = "dashboard-events"
    """What comes in the room of this name, or in the channel of this name in the default room, is of the stream for
    dashboards."""


class BusSettings(Settings, frozen=True):
    """The WebSocket bus and its limits."""

    history: HistorySettings = HistorySettings()
    rooms: Annotated[tuple[RoomSettings, ...], Meta(max_length=256)] = ()
    """Rooms that are there from the start and stay: `{room: science, channels: [general, explore]}`."""
    names: RoomNames = RoomNames()
    channels_max: Hot[Positive] = 10_000
    """Most channels at one time; joining one more is refused."""
    clients_max: Hot[Positive] = 5_000
    """Most clients at one time; one more is refused."""
    frame_bytes_max: Positive = 262_144
    """Largest message that a client may send, also once it is decompressed."""
    origins: Hot[Annotated[tuple[Pattern, ...], Meta(max_length=256)]] = ()
    """Web pages that may connect, beside those of the node's own host name: origins such as
    `https://app.example.org`, in which `*` stands for anything. Programs send no origin and are always let in."""
    compression: Hot[bool] = False
    """Offer permessage-deflate (RFC 7692). It saves bytes on slow lines and costs about ten times the CPU."""
    buffer_bytes_max: Hot[Positive] = 8 << 20
    """Unsent bytes to one client above which `slow.policy` holds."""
    rate_per_s: Hot[Annotated[int, Meta(ge=0)]] = 0
    """Frames per second per subject, all its connections together (token bucket); 0 is no limit. A connection that
    stays far above it is closed (4429)."""
    rate_bytes_per_s: Hot[Annotated[int, Meta(ge=0)]] = 0
    """Bytes per second per subject (token bucket), at least `frame_bytes_max`; 0 is no limit."""
    anonymous_counted_by: Hot[Literal["connection", "address"]] = "connection"
    """What is one subject among clients that are nobody in particular (anonymous, or with `auth_token`): each
    connection by itself, or all of one IP address. Behind a load balancer all come from its address."""
    connections_per_subject_max: Hot[Annotated[int, Meta(ge=0)]] = 0
    """Most connections of one subject at a time at this node; 0 is no limit."""
    subscriptions_per_subject_max: Hot[Annotated[int, Meta(ge=0)]] = 0
    """Channels and patterns that all connections of one subject together may be in; 0 is no limit."""
    connections_per_address_max: Hot[Annotated[int, Meta(ge=0)]] = 0
    """Most connections of one IP address at a time; 0 is no limit, for nodes behind a load balancer."""
    subscriptions_max: Hot[Annotated[int, Meta(gt=0, le=100_000)]] = 256
    """Channels and patterns that one client may be in."""
    auth_token: Hot[Secret[str]] = ""
    """One bearer token for every client, as role user; more than one kind of client takes `auth`."""
    auth: AuthSettings = AuthSettings()
    slow: SlowSettings = SlowSettings()


class TelemetrySettings(Settings, frozen=True):
    """The telemetry server (`listen.telemetry`): what happens on the bus, for dashboards. The bus does not notice
    whatever happens to it."""

    clients_max: Hot[Positive] = 64
    """Most telemetry clients at one time."""
    buffer_events: Hot[Positive] = 10_000
    """Most events that wait to be sent; beyond it the oldest goes, counted."""
    buffer_bytes_max: Hot[Positive] = 1 << 20
    """Unsent bytes to one telemetry client above which it is sent nothing new; it is told how many events it missed."""
    batch_events: Hot[Positive] = 100
    """Events that wait are sent as soon as there are so many."""
    batch_ms: Hot[Positive] = 100
    """Events wait at most so long for others to be sent with."""
    window_s: Hot[Seconds] = 10.0
    """Events are counted by type over windows of this length; each ends with a `telemetry_aggregate`."""
    activity_s: Hot[Seconds] = 5.0
    """What an agent published is told once per this time, as one `agent_activity`."""
    stats_s: Hot[Seconds] = 60.0
    """Time between two `bus_stats` events."""
    ignore: Hot[Annotated[tuple[Pattern, ...], Meta(max_length=256)]] = ()
    """Types of events that are not taken, such as `debug*`."""
    rate_per_s: Hot[Annotated[int, Meta(ge=0)]] = 1_000
    """Events per second that one telemetry client may send (token bucket); 0 is no limit."""


class HttpSettings(Settings, frozen=True):
    """The HTTP endpoints (`listen.http`)."""

    cors_origins: Hot[Annotated[tuple[Pattern, ...], Meta(max_length=64)]] = ()
    """Origins whose pages may read the answers, such as `https://ops.example.org`; `*`: any."""


class CertificateSettings(Settings, frozen=True):
    """The short-lived leaf certificates that links show each other."""

    lifetime_s: Seconds = 172_800.0
    """Life of a leaf certificate; 48 h."""
    renew_after_s: Seconds = 86_400.0
    """Age at which a new leaf is made, with jitter; old and new are both valid meanwhile."""
    clock_skew_s: Seconds = 300.0
    """How far another node's clock may be off when its certificate's dates are checked."""


class LogSettings(Settings, frozen=True):
    """What is written to standard error, or to node.log under --detach."""

    level: Hot[Literal["debug", "info", "warning", "error"]] = "info"
    """Least severity that is written."""
    format: Hot[Literal["auto", "json", "console"]] = "auto"
    """JSON lines or columns for people; auto: columns on a terminal, JSON elsewhere."""


class Config(Settings, frozen=True):
    """All settings of one node, the content of arqon.yaml."""

    node: NodeSettings
    listen: ListenSettings = ListenSettings()
    links: LinkSettings = LinkSettings()
    overlay: OverlaySettings = OverlaySettings()
    membership: MembershipSettings = MembershipSettings()
    gossip: GossipSettings = GossipSettings()
    broadcast: BroadcastSettings = BroadcastSettings()
    user_events: UserEventSettings = UserEventSettings()
    regions: RegionSettings = RegionSettings()
    coordinates: CoordinateSettings = CoordinateSettings()
    peers: PeerSettings = PeerSettings()
    routing: RoutingSettings = RoutingSettings()
    federation: FederationSettings = FederationSettings()
    bus: BusSettings = BusSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    http: HttpSettings = HttpSettings()
    certificates: CertificateSettings = CertificateSettings()
    log: LogSettings = LogSettings()
