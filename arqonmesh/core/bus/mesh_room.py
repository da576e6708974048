"""The reserved room `$mesh`: what the mesh tells the applications on this node. They subscribe; only the bus speaks.

    {"type": "join", "channel": "$mesh"}
    ◀ {"event": "partition", "complete": false, "phase": "partitioned", "writable": true, "reachable": 2, ...,
       "missing": [{"node": "7f2c...", "cluster": "factory", "since": "2026-01-01T00:00:00.000Z"}], "missing_more": 0,
       "missing_clusters": [{"cluster": "factory", "since": "2026-01-01T00:00:00.000Z", "members": 1}]}
    ◀ {"event": "user-event", "name": "deploy", "payload": "v7", "author": "...", ...}

The present state comes at once with the subscription, and again whenever it changes. `complete` is true when nobody is
missing and nobody has been for a while. A pattern (`*`) does not take this room: what comes from it is to be expected.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.bus.stamps import iso
from arqonmesh.core.events import PartitionChanged, UserEvent
from arqonmesh.ids import NodeId

ROOM: Final = "$mesh"
NAME: Final = "$mesh:state"
"""The one channel of the room; `$mesh` and `$mesh:*` mean it too."""
ClusterOf: TypeAlias = Callable[[NodeId], "str | None"]


def is_meant(room: str, channel: str) -> bool:
    """Whether these fields of a frame name the reserved room."""
    return room.partition(":")[0] == ROOM or channel.partition(":")[0] == ROOM


def channel_meant(name: str) -> str:
    """The one channel, as a subscription names it: `$mesh`, `$mesh:*` or `$mesh:state`. Raises Refusal."""
    room, colon, leaf = name.partition(":")
    if room == ROOM and (not colon or leaf in ("*", NAME.partition(":")[2])):
        return NAME
    raise Refusal(
        "bus.no-such-channel",
        f"there is no channel {name[:160]!r}; the room {ROOM} has {NAME} alone, which {ROOM} and {ROOM}:* mean, too",
        field="channel",
        hint='{"type": "join", "channel": "$mesh:state"}',
    )


def reserved() -> Refusal:
    return Refusal(
        "bus.reserved-room",
        "in the room $mesh only the mesh itself speaks; a client can subscribe to it, and nothing else",
        field="channel",
        hint='{"type": "join", "channel": "$mesh"}',
    )


def partition_payload(partition: PartitionChanged | None, cluster_of: ClusterOf) -> dict[str, Any]:
    """The state of the mesh as this node sees it; phase `none` while it belongs to no mesh."""
    if partition is None:
        return {"event": "partition", "complete": False, "phase": "none"}
    clusters: dict[str, dict[str, Any]] = {}
    missing: list[dict[str, Any]] = []
    for node, since_ms in partition.missing:  # longest first, so a cluster's first is its earliest
        cluster, since = cluster_of(node) or "", iso(since_ms)
        missing.append({"node": node, "cluster": cluster, "since": since})
        entry = clusters.setdefault(cluster, {"cluster": cluster, "since": since, "members": 0})
        entry["members"] += 1
    return {
        "event": "partition",
        "complete": partition.phase == "healthy" and not partition.missing,
        "phase": partition.phase,
        "state": partition.state,
        "writable": partition.writable,
        "reachable": partition.reachable,
        "members": partition.members,
        "required": partition.required,
        "votes": partition.votes,
        "voters": partition.voters,
        "preset": partition.preset,
        "missing": missing,
        "missing_more": partition.missing_more,
        "missing_clusters": list(clusters.values()),
    }


def event_payload(event: UserEvent, cluster_of: ClusterOf) -> dict[str, Any]:
    """A user event; its payload as text where it is text, else as base64 in `payload_base64`."""
    told: dict[str, Any] = {
        "event": "user-event",
        "name": event.name,
        "author": event.author,
        "cluster": cluster_of(event.author) or "",
        "sent": iso(event.sent_ms),
    }
    try:
        told["payload"] = event.payload.decode()
    except UnicodeDecodeError:
        told["payload_base64"] = base64.b64encode(event.payload).decode()
    return told
