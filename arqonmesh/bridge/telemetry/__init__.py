"""Telemetry: what happens on the bus, for those who watch it. A server of its own on a port of its own.

    events.py      an event on the wire, and how frames of clients are read
    filters.py     which events a client wants
    aggregate.py   counts per type and window
    hub.py         takes events, enriches them, keeps those that wait, bounded; decides when a batch leaves
    feed.py        one client's connection: bounded, limited in rate, cut off when it is stuck
    server.py      the listening socket, the clients, one timer
    activity.py    `agent_activity` of the bus's clients

Nothing here waits for anyone and nothing raises into the bus: what fails is counted, and told by `/health`.
"""

from __future__ import annotations

from arqonmesh.bridge.telemetry.activity import Activity
from arqonmesh.bridge.telemetry.events import DASHBOARD_STREAM, STREAMS, TELEMETRY_STREAM
from arqonmesh.bridge.telemetry.hub import Hub, Origin
from arqonmesh.bridge.telemetry.server import TelemetryServer

__all__ = (
    "DASHBOARD_STREAM",
    "STREAMS",
    "TELEMETRY_STREAM",
    "Activity",
    "Hub",
    "Origin",
    "TelemetryServer",
)
