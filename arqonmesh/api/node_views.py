"""One node as it tells itself, as plain data: its process, links, clients, rules and settings. A field that is listed
here has one of its name in arqonmesh.proto (convert.py)."""

from __future__ import annotations

from typing import Any

import msgspec


class BusClientView(msgspec.Struct, frozen=True, kw_only=True):
    """A client of this node's bus."""

    id: str
    address: str
    name: str
    kind: str
    subject: str
    role: str
    tenant: str
    via: str
    """anonymous, token, jwt, or key:PREFIX."""
    rooms: tuple[str, ...]
    """Subscriptions, oldest first, at most 32."""
    subscriptions: int
    published: int
    in_per_s: float
    """Frames, since the last look."""
    out_bytes_per_s: float
    queue_bytes: int
    """Unsent: in the transport, in memory and on disk."""
    dropped: int
    """Messages that it missed for being slow."""
    since_ms: int
    slow_ms: int
    """How long it has been too slow; 0 when it is not."""


class OwnLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `arqon link ls`: a wish, a connection, or both."""

    peer: str
    address: str
    state: str
    transport: str
    why: str
    """Why this transport, or why not up: what the last try ended with, or that the first one runs."""
    rtt_ms: float | None
    loss: float | None
    attempt: int
    last_error: str
    next_try_in_s: float | None
    backlog: int
    asked_by: str
    """"operator" (link add), "mesh" (roles) or "peer" (dialled by the other side)."""


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    node_id: str
    subject: str
    serial: str
    not_before_ms: int
    not_after_ms: int
    renew_at_ms: int
    previous_valid_until_ms: int | None


class PolicyRuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A pin, an aggregate or a denial of a compliance pack."""

    name: str
    kind: str
    channels: tuple[str, ...]
    regions: tuple[str, ...] = ()
    every_s: int = 0
    to: str = ""


class PolicyVerdictView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether events on a channel may be sent to this member. `linked`: over a link that is up."""

    node: str
    cluster: str
    region: str
    linked: bool
    allowed: bool
    rule: str
    reason: str


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    export_allow: tuple[str, ...]
    export_deny: tuple[str, ...]
    import_allow: tuple[str, ...]
    import_deny: tuple[str, ...]
    decisions: tuple[dict[str, Any], ...]
    """Counts so far: direction, channel, cluster, allowed, rule, messages."""
    rules: tuple[PolicyRuleView, ...] = ()
    verdicts: tuple[PolicyVerdictView, ...] = ()
    """For the channel that was asked about."""
    channel: str = ""
    """Its full name: `default:host` for `host`."""


class ConfigChangeView(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that is one thing in the running node and another on disk. Values as JSON; secrets masked."""

    name: str
    running: str
    file: str
    """With the node's environment over it."""
    origin: str
    """Who says so: "arqon.yaml, line 14", "environment ARQON_...", "default"."""
    hot: bool
    """The running node can take it; else a restart is needed."""


class ConfigChangesView(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon config diff` and `reload`."""

    file: str
    applied: bool
    """The hot ones are in force."""
    changes: tuple[ConfigChangeView, ...] = ()
    warnings: tuple[str, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`arqon node status`."""

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
    published_per_s: float
    """By clients of this node, over the last span of some seconds; so is what follows."""
    delivered_per_s: float
    delivery_p50_us: int
    """From the read of a client's frame to the writes that it caused; 0 before the first."""
    delivery_p99_us: int
    counters: dict[str, int]
    """published, delivered, exported, imported, kept_local, held, dropped ... since the start."""
    telemetry: str = ""
    """Where telemetry clients connect; empty while nobody listens there."""
    telemetry_failure: str = ""
    """What is wrong with it at the moment."""
