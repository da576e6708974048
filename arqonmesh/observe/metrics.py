"""The catalogue of metrics. A name that is not here cannot be exposed, and a test holds the names to promtool's rules.

Names begin with `arqon_`, carry their base unit (seconds, bytes, ratio) last, and counters end in `_total`
(https://prometheus.io/docs/practices/naming/). Labels are few and bounded: peers are bounded by the roster, channels
and rules by the federation's table of decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "gauge", text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "counter", text, labels)


def _histogram(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, "histogram", text, labels)


METRICS: Final[tuple[Metric, ...]] = (
    # the node
    _gauge("arqon_node_info", "Always 1; the labels say what this node is.",
           "node", "cluster", "role", "region", "version"),
    _gauge("arqon_node_uptime_seconds", "Time since the node started."),
    _gauge("arqon_loop_lag_seconds", "Worst lateness of the event loop since the last scrape."),
    _counter("arqon_loop_late_total", "Times that the event loop ran late by more than its threshold."),
    # the bus
    _gauge("arqon_bus_clients", "Clients connected to this node's bus."),
    _gauge("arqon_bus_channels", "Channels with at least one subscriber or a history."),
    _counter("arqon_bus_messages_published_total", "Events that this node's clients published."),
    _counter("arqon_bus_messages_delivered_total", "Frames handed to this node's clients, one per receiver."),
    _counter("arqon_bus_messages_imported_total", "Events of other nodes delivered to this node's bus."),
    _counter("arqon_bus_commands_total", "Commands of clients by outcome: answered or refused.", "command", "outcome"),
    _gauge("arqon_bus_cluster_clients", "Clients connected to any node of this cluster, as this node knows it."),
    _gauge("arqon_bus_cluster_nodes", "Nodes of this cluster whose clients this node knows, itself included."),
    _counter("arqon_bus_presence_rows_total",
             "Rows of the cluster's presence: rows_sent, rows_taken, rows_refused; full_sent counts whole tables.",
             "what"),
    _counter("arqon_bus_operations_total", "Everything else that the bus counts, by what it was.", "operation"),
    _histogram("arqon_bus_delivery_seconds",
               "From reading clients' frames to having written to all whom they concern; once per turn of the loop."),
    _histogram("arqon_bus_command_seconds", "What the bus takes to answer a command.", "command"),
    _histogram("arqon_bus_client_round_trip_seconds", "From a ping to the client's pong."),
    _counter(
        "arqon_bus_rate_limited_total",
        "Frames dropped by rate limits, of the subjects with most; the others are (other).",
        "tenant",
        "subject",
    ),
    _counter("arqon_bus_room_messages_total", "Messages by room; rooms beyond the bound are (other).", "room"),
    _counter("arqon_bus_room_bytes_total", "Bytes of these messages.", "room"),
    _gauge("arqon_bus_room_publishers", "Different publishers in the room's last ten seconds.", "room"),
    _gauge("arqon_bus_room_subscribers", "Memberships of the room's channels.", "room"),
    # telemetry and HTTP
    _gauge("arqon_telemetry_up", "1 while the telemetry server listens and sends, else 0."),
    _gauge("arqon_telemetry_clients", "Clients connected to the telemetry server."),
    _gauge("arqon_telemetry_waiting_events", "Events that wait for their batch."),
    _counter("arqon_telemetry_events_total",
             "Telemetry events by fate: taken, ignored, dropped, unreadable, drained; sent and missed per client.",
             "fate"),
    _counter("arqon_telemetry_failures_total", "Times that something of telemetry failed; the bus went on."),
    _counter("arqon_http_responses_total", "Answers of the HTTP endpoints.", "status"),
    # federation
    _counter("arqon_federation_messages_total",
             "Messages at this node's border by outcome: exported, kept_local, imported, held, replayed and others.",
             "outcome"),
    _counter("arqon_federation_decisions_total", "Messages by verdict and by the rule that gave it.",
             "direction", "channel", "cluster", "verdict", "rule"),
    # links
    _gauge("arqon_link_up", "1 while the link carries traffic, else 0.", "peer", "cluster"),
    _gauge("arqon_link_rtt_seconds", "Smoothed round-trip time of the link.", "peer", "cluster"),
    _gauge("arqon_link_loss_ratio", "Lost heartbeats of the link, 0 to 1.", "peer", "cluster"),
    _gauge("arqon_link_backlog_messages", "Messages held for the other side.", "peer", "cluster"),
    _gauge("arqon_link_unsent_bytes", "Bytes queued for the link and not yet handed to the transport.",
           "peer", "cluster"),
    _counter("arqon_link_bytes_total", "Bytes on the link by direction: sent or received.",
             "peer", "cluster", "direction"),
    _counter("arqon_link_frames_total", "Mesh messages on the link by direction: sent or received.",
             "peer", "cluster", "direction"),
    _counter("arqon_link_packets_total", "QUIC packets on the link by fate: sent or lost.", "peer", "cluster", "fate"),
    _counter("arqon_link_refusals_total", "Connections refused before they became links, by reason.", "reason"),
    # the mesh
    _gauge("arqon_mesh_members", "Members of the roster by state as this node sees it.", "state"),
    _gauge("arqon_mesh_partition_state", "1 for the state that holds: healthy, degraded or critical.", "state"),
    _gauge("arqon_mesh_reachable_members", "Members of the roster that this node can reach, itself included."),
    _gauge("arqon_mesh_required_members", "Members that make a quorum."),
    _gauge("arqon_mesh_writable", "1 on the side with a quorum, else 0."),
    _gauge("arqon_mesh_regions", "Regions that have a member alive."),
    _gauge("arqon_mesh_region_leader", "1 while this node leads its region, else 0."),
    # peers
    _gauge("arqon_peers_ignored", "Members that this node ignores."),
    _gauge("arqon_peers_probation", "Newcomers that are held to a tenth of the message rate."),
    _gauge("arqon_peers_preferred", "Members that this node prefers."),
    _gauge("arqon_peers_preferred_gain_ratio", "How much shorter the mean round trip to the preferred is than to all."),
    _gauge("arqon_peers_rebalances", "How often the preferred members were chosen anew, since the start."),
    _gauge("arqon_coordinate_error_ratio", "How far this node trusts its network coordinate: 0 certain, 1.5 a guess."),
    _gauge("arqon_routing_kept_off", "Members that carry nothing for others, or are a last resort.", "transit"),
    _counter("arqon_routing_last_resorts_total", "Messages of this node that went over a last resort."),
    # gossip
    _histogram("arqon_gossip_stage_seconds",
               "What signed statements cost: select, verify (per signature), merge, compare.", "stage"),
    _gauge("arqon_gossip_equal_roots", "Comparisons in a row that found nothing to repair: quiet as far as seen here."),
    _gauge("arqon_gossip_held_bytes", "Bytes of signed statements held."),
    _counter("arqon_gossip_statements_total", "Statements and what became of them: merged, duplicates and others.",
             "fate"),
    _counter("arqon_gossip_news_total", "Statements that became news here, ours included, by what they say.", "kind"),
    # overlay
    _gauge("arqon_overlay_members", "Members in the active view, chosen among them, spare and lost ones.", "view"),
    _counter("arqon_overlay_total", "Neighbours won and sent away, refusals heard, names beyond a share.", "what"),
    # broadcast
    _counter("arqon_broadcast_total", "Payloads for every node and what became of them; copies, announcements, grafts.",
             "what"),
    _gauge("arqon_broadcast_held", "Links in and beside the tree, ids, payloads, open wants and promises.", "what"),
    _counter("arqon_user_events_total", "User events and what became of them: sent, heard and others.", "fate"),
    # drops, wherever
    _counter("arqon_dropped_total", "What was dropped, by the place that did it and its reason.", "where", "reason"),
    # the store
    _counter("arqon_store_transactions_total", "Transactions asked for by the cores."),
    _counter("arqon_store_commits_total", "Commits by kind: synced waited for the disk, unsynced did not.", "kind"),
    _counter("arqon_store_rows_total", "Rows written; writes to one key within a commit are one row."),
    _counter("arqon_store_written_bytes_total", "Bytes of the rows handed to the store."),
    _gauge("arqon_store_waiting_bytes", "Bytes that wait to be written."),
    _counter("arqon_store_pressure_total", "Times that more waited than the mark, and producers were paused."),
    # the durable history of the bus
    _gauge("arqon_history_ok", "1 while all that was asked for is kept where it was asked for, else 0."),
    _counter("arqon_history_frames_total",
             "Events by what became of them: written; dropped, because too much waited; skipped, because of a key of "
             "Redis. Dropped of Redis counts rows of the disk that were pruned before it had them, too.",
             "backend", "fate"),
    _counter("arqon_history_commits_total", "Commits of history.db."),
    _counter("arqon_history_reads_total", "Questions to history.db."),
    _counter("arqon_history_pruned_rows_total", "Rows of history.db that went because of age or size."),
    _gauge("arqon_history_held_bytes", "Bytes in history.db, as bus.history.max_bytes counts them."),
    _gauge("arqon_history_waiting_bytes", "Bytes in memory that wait to be written.", "backend"),
    _gauge("arqon_history_redis_up", "1 while Redis takes what is written, else 0."),
    _gauge("arqon_history_redis_behind_rows", "Rows of history.db that Redis does not have yet."),
    _gauge("arqon_history_redis_lag_seconds", "For how long the oldest event that Redis lacks has been waiting."),
    _gauge("arqon_history_redis_spoiled_keys", "Keys of Redis that cannot be written, as what they hold is not ours."),
    _counter("arqon_history_redis_unions_total", "Answers put together from the disk and Redis."),
    _counter("arqon_history_redis_total",
             "Episodes: times that Redis went away or took nothing; reconnects: times that it came back; rewinds: "
             "times that it came back with less than it had.",
             "what"),
    _counter("arqon_history_redis_failures_total",
             "Failures by kind: gone, timeout, loading, auth, readonly, full, refused, key.", "kind"),
    # certificates
    _counter("arqon_certificate_rotations_total", "Leaf certificates made since the start."),
    _gauge("arqon_certificate_expiry_timestamp_seconds", "When the newest leaf certificate ends, Unix time."),
)  # fmt: skip

BY_NAME: Final[dict[str, Metric]] = {metric.name: metric for metric in METRICS}
assert len(BY_NAME) == len(METRICS), "two metrics share a name"
