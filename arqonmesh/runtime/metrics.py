"""The node's numbers at this moment, named as in observe/metrics.py. Reads what is counted anyway."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import arqonmesh
from arqonmesh.core.bus.analytics import OTHER
from arqonmesh.core.gossip.stages import BOUNDS_US, STAGES, Stages
from arqonmesh.core.histogram import BOUNDS_US as LATENCY_BOUNDS_US
from arqonmesh.core.histogram import Histogram
from arqonmesh.core.plane import Plane
from arqonmesh.observe.samples import Distribution, Sample
from arqonmesh.runtime.history_metrics import history_samples
from arqonmesh.wire.statement import Kind

if TYPE_CHECKING:
    from arqonmesh.runtime.service import Service

PARTITION_STATES = ("healthy", "degraded", "critical")
MEMBER_STATES = ("alive", "suspect", "dead", "left", "unheard")
"""Unheard: on the roster, and has not spoken yet."""
SUBJECTS_TOLD = 10
"""Subjects that were rate limited most; the others are one sum."""
_NO_DROPS = ("refused.", "link.", "intake.", "send.unsegmented")
"""What the transport counts beside its drops; refusals have a metric of their own."""
_BUS_OWN_NAMES = ("clients", "published", "delivered", "imported")
"""Bus counters that have metrics of their own, or are no events."""


def samples(
    service: Service,
    sees: Callable[[str], bool] | None = None,
    counts: Callable[[str], bool] = lambda channel: True,
) -> Iterator[Sample | Distribution]:
    """One scrape. `sees` tells of a room, named inside, whether who asks may know of it; the others are one sum then,
    and so is what rules say of channels. None: everything. `counts`: of a channel, whether its members may be."""
    yield from _node(service)
    yield from _bus(service)
    yield from _limited(service, named=sees is None)
    yield from _latency(service)
    yield from _rooms(service, sees, counts)
    yield from _telemetry(service)
    yield from _store(service)
    yield from history_samples(service.history)
    yield from _connections(service)
    plane = service.node.plane
    if plane is not None:
        yield from _mesh(plane)
        yield from _gossip(plane)
        yield from _broadcast(plane)
        yield from _overlay(plane)
        yield from _federation(plane, named=sees is None)
        yield from _links(service, plane)
        yield from _peers(plane)
    for (where, reason), count in service.story.dropped.items():
        yield Sample("arqon_dropped_total", count, (where, reason))


def _node(service: Service) -> Iterator[Sample]:
    settings = service.config.node
    what = (service.key.node_id, settings.cluster, settings.role, settings.region, arqonmesh.__version__)
    yield Sample("arqon_node_info", 1, what)
    yield Sample("arqon_node_uptime_seconds", time.monotonic() - service.started_s)
    yield Sample("arqon_loop_lag_seconds", service.lag.take_worst_us() / 1_000_000)
    yield Sample("arqon_loop_late_total", service.lag.late)
    yield Sample("arqon_certificate_rotations_total", service.certificates.rotations)
    yield Sample("arqon_certificate_expiry_timestamp_seconds", service.certificates.leaf.not_after_ms / 1_000)


def _bus(service: Service) -> Iterator[Sample]:
    stats, counters = service.node.bus.stats(), service.node.bus.counters
    yield Sample("arqon_bus_clients", stats["clients_connected"])
    yield Sample("arqon_bus_channels", stats["channels"])
    yield Sample("arqon_bus_cluster_clients", stats["cluster_clients"])
    yield Sample("arqon_bus_cluster_nodes", stats["cluster_nodes"])
    for what, count in service.node.bus.exchange.counters.items():
        yield Sample("arqon_bus_presence_rows_total", count, (what,))
    for name, counts in service.node.bus.command_counts.items():
        yield Sample("arqon_bus_commands_total", counts.answered, (name, "answered"))
        yield Sample("arqon_bus_commands_total", counts.refused, (name, "refused"))
    for name in ("published", "delivered", "imported"):
        yield Sample(f"arqon_bus_messages_{name}_total", counters[name])
    for name, count in counters.items():
        if name not in _BUS_OWN_NAMES:
            yield Sample("arqon_bus_operations_total", count, (name,))


def _limited(service: Service, *, named: bool) -> Iterator[Sample]:
    limited, told = service.node.bus.limited, 0
    for tenant, subject, count in limited.most(SUBJECTS_TOLD if named else 0):
        told += count
        yield Sample("arqon_bus_rate_limited_total", count, (tenant, subject))
    yield Sample("arqon_bus_rate_limited_total", limited.total() - told, ("", OTHER))


def _latency(service: Service) -> Iterator[Distribution]:
    yield _distribution("arqon_bus_delivery_seconds", service.bus.written)
    yield _distribution("arqon_bus_client_round_trip_seconds", service.bus.round_trips)
    for command, taken in service.node.bus.analytics.commands.items():
        yield _distribution("arqon_bus_command_seconds", taken, command)


def _distribution(name: str, histogram: Histogram, *labels: str) -> Distribution:
    """A histogram of microseconds in the seconds of Prometheus."""
    bounds = [(str(bound / 1_000_000), histogram.below(bound)) for bound in LATENCY_BOUNDS_US]
    return Distribution(name, (*bounds, ("+Inf", histogram.count)), histogram.total / 1_000_000, labels)


def _rooms(service: Service, sees: Callable[[str], bool] | None, counts: Callable[[str], bool]) -> Iterator[Sample]:
    analytics, other = service.node.bus.analytics, service.node.bus.analytics.other
    messages, size, publishers, subscribers = other.messages, other.bytes, other.span_publishers, 0
    for home, figures in analytics.rooms():
        if sees is None or sees(home):
            members = service.figures.subscribers(home, counts)
            yield from _room(home, figures.messages, figures.bytes, figures.span_publishers, members)
        else:
            unseen = service.figures.subscribers(home) or 0
            messages, size = messages + figures.messages, size + figures.bytes
            publishers, subscribers = publishers + figures.span_publishers, subscribers + unseen
    yield from _room(OTHER, messages, size, publishers, subscribers)


def _room(name: str, messages: int, size: int, publishers: int, subscribers: int | None) -> Iterator[Sample]:
    yield Sample("arqon_bus_room_messages_total", messages, (name,))
    yield Sample("arqon_bus_room_bytes_total", size, (name,))
    yield Sample("arqon_bus_room_publishers", publishers, (name,))
    if subscribers is not None:
        yield Sample("arqon_bus_room_subscribers", subscribers, (name,))


def _telemetry(service: Service) -> Iterator[Sample]:
    server = service.telemetry.server
    health = server.health()
    yield Sample("arqon_telemetry_up", health["state"] == "listening")
    yield Sample("arqon_telemetry_clients", server.client_count)
    yield Sample("arqon_telemetry_waiting_events", len(server.hub))
    for fate, count in server.hub.counters.items():
        yield Sample("arqon_telemetry_events_total", count, (fate,))
    for name, count in server.counters.items():
        if name in ("sent", "missed"):
            yield Sample("arqon_telemetry_events_total", count, (name,))
        elif name == "failures":
            yield Sample("arqon_telemetry_failures_total", count)
        else:
            yield Sample("arqon_dropped_total", count, ("telemetry", name))
    for status, count in service.http.counters.items():
        if status.isdigit():
            yield Sample("arqon_http_responses_total", count, (status,))


def _store(service: Service) -> Iterator[Sample]:
    stats = service.store.stats
    yield Sample("arqon_store_transactions_total", stats.transactions)
    yield Sample("arqon_store_commits_total", stats.syncs, ("synced",))
    yield Sample("arqon_store_commits_total", stats.commits - stats.syncs, ("unsynced",))
    yield Sample("arqon_store_rows_total", stats.rows)
    yield Sample("arqon_store_written_bytes_total", stats.bytes)
    yield Sample("arqon_store_waiting_bytes", service.store.waiting_bytes)
    yield Sample("arqon_store_pressure_total", stats.pressed)


def _connections(service: Service) -> Iterator[Sample]:
    for reason, count in service.host.refusals.items():
        yield Sample("arqon_link_refusals_total", count, (reason,))
    for reason, count in (service.endpoint.counters + service.endpoint.socket_counters).items():
        if not reason.startswith(_NO_DROPS):
            yield Sample("arqon_dropped_total", count, ("transport", reason.removeprefix("drop.")))
    if turned_away := service.http.counters["too-many"]:
        yield Sample("arqon_dropped_total", turned_away, ("http", "too-many"))


def _mesh(plane: Plane) -> Iterator[Sample]:
    counts = dict.fromkeys(MEMBER_STATES, 0)
    for member in plane.admission.members():
        counts[plane.membership.state_of(member.node) or "unheard"] += 1
    for state, count in counts.items():
        yield Sample("arqon_mesh_members", count, (state,))
    partition = plane.partition.view()
    for state in PARTITION_STATES:
        yield Sample("arqon_mesh_partition_state", partition.state == state, (state,))
    yield Sample("arqon_mesh_reachable_members", partition.reachable)
    yield Sample("arqon_mesh_required_members", partition.required)
    yield Sample("arqon_mesh_writable", partition.writable)
    yield Sample("arqon_mesh_regions", plane.regions.alive)
    yield Sample("arqon_mesh_region_leader", plane.regions.leading)


def _gossip(plane: Plane) -> Iterator[Sample | Distribution]:
    gossip = plane.gossip
    yield Sample("arqon_gossip_equal_roots", gossip.equal_roots)
    yield Sample("arqon_gossip_held_bytes", gossip.bytes_held)
    for fate, count in gossip.counters.items():
        yield Sample("arqon_gossip_statements_total", count, (fate,))
    for kind, count in gossip.kinds.items():
        yield Sample("arqon_gossip_news_total", count, (Kind(kind).name.lower(),))
    if gossip.stages is not None:
        yield from _stages(gossip.stages)


def _broadcast(plane: Plane) -> Iterator[Sample]:
    for what, count in plane.broadcast.counters.items():
        yield Sample("arqon_broadcast_total", count, (what,))
    for fate, count in plane.user_events.counters.items():
        yield Sample("arqon_user_events_total", count, (fate,))
    for what, size in plane.broadcast.gauges().items():
        yield Sample("arqon_broadcast_held", size, (what,))


def _overlay(plane: Plane) -> Iterator[Sample]:
    report = plane.overlay.report()
    if report.running:
        yield Sample("arqon_overlay_members", len(report.active), ("active",))
        yield Sample("arqon_overlay_members", report.chosen, ("chosen",))
        yield Sample("arqon_overlay_members", len(report.passive), ("passive",))
        yield Sample("arqon_overlay_members", len(report.lost), ("lost",))
        yield Sample("arqon_overlay_total", report.promotions, ("promoted",))
        yield Sample("arqon_overlay_total", report.evictions, ("evicted",))
        yield Sample("arqon_overlay_total", report.refusals, ("refused",))
        yield Sample("arqon_overlay_total", report.names_refused, ("names-refused",))


def _stages(stages: Stages) -> Iterator[Distribution]:
    for stage, counts, sum_ns in zip(STAGES, stages.counts, stages.sums_ns, strict=True):
        below, buckets = 0, []
        for bound, count in zip((*(str(bound / 1_000_000) for bound in BOUNDS_US), "+Inf"), counts, strict=True):
            below += count
            buckets.append((bound, below))
        yield Distribution("arqon_gossip_stage_seconds", tuple(buckets), sum_ns / 1_000_000_000, (stage,))


def _federation(plane: Plane, *, named: bool) -> Iterator[Sample]:
    for outcome, count in dataclasses.asdict(plane.federation.counters).items():
        yield Sample("arqon_federation_messages_total", count, (outcome,))
    for decision in plane.federation.decisions():
        verdict = "allowed" if decision.allowed else "denied"
        channel, rule = (decision.channel, decision.rule) if named else (OTHER, OTHER)
        labels = (decision.direction, channel, decision.cluster, verdict, rule)
        yield Sample("arqon_federation_decisions_total", decision.messages, labels)


def _links(service: Service, plane: Plane) -> Iterator[Sample]:
    for report in plane.links.report():
        who = (report.peer, plane.admission.cluster_of(report.peer) or "")
        yield Sample("arqon_link_up", report.state in ("up", "probing"), who)
        yield Sample("arqon_link_rtt_seconds", report.rtt_us / 1_000_000, who)
        yield Sample("arqon_link_loss_ratio", report.loss_ppm / 1_000_000, who)
        yield Sample("arqon_link_backlog_messages", plane.federation.backlog(report.peer), who)
    for peer, link in service.endpoint.links().items():
        who = (peer, plane.admission.cluster_of(peer) or "")
        yield Sample("arqon_link_unsent_bytes", link.unsent_bytes, who)
        for direction, bytes_, frames in (
            ("sent", link.bytes_sent, link.frames_sent),
            ("received", link.bytes_received, link.frames_received),
        ):
            yield Sample("arqon_link_bytes_total", bytes_, (*who, direction))
            yield Sample("arqon_link_frames_total", frames, (*who, direction))
        yield Sample("arqon_link_packets_total", link.packets_sent, (*who, "sent"))
        yield Sample("arqon_link_packets_total", link.packets_lost, (*who, "lost"))


def _peers(plane: Plane) -> Iterator[Sample]:
    ignored, probation = plane.peers.held_back()
    preference = plane.peers.preference
    yield Sample("arqon_peers_ignored", ignored)
    yield Sample("arqon_peers_probation", probation)
    yield Sample("arqon_peers_preferred", len(preference.chosen))
    yield Sample("arqon_peers_preferred_gain_ratio", preference.gain_ppm / 1_000_000)
    yield Sample("arqon_peers_rebalances", preference.times)
    yield Sample("arqon_coordinate_error_ratio", plane.coordinates.own.error)
    barred, last_resorts = plane.routing.transit.count()
    yield Sample("arqon_routing_kept_off", barred, ("never",))
    yield Sample("arqon_routing_kept_off", last_resorts, ("last-resort",))
    yield Sample("arqon_routing_last_resorts_total", plane.routing.last_resorts)
