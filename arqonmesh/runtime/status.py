"""What a running node tells of itself and of its mesh: for `arqon status`, `arqon mesh status` and /status."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

import arqonmesh
from arqonmesh.api.mesh_views import MeshStatus
from arqonmesh.api.node_views import NodeStatus
from arqonmesh.ids import NodeId
from arqonmesh.runtime import views
from arqonmesh.runtime.event_story import OTHER_VERSION

if TYPE_CHECKING:
    from arqonmesh.runtime.service import Service

RECORDS_SHOWN: Final = 100
"""Entries of the flight recorder in /status, oldest first."""


def node_status(service: Service) -> NodeStatus:
    settings, plane = service.config.node, service.node.plane
    quic, bus = service.endpoint.address, service.bus.address
    http = service.http.address if service.config.listen.http else None
    telemetry = service.telemetry.server.address
    stats = service.node.bus.stats()
    return NodeStatus(
        node_id=service.key.node_id,
        cluster=settings.cluster,
        role=settings.role,
        region=settings.region,
        version=arqonmesh.__version__,
        pid=os.getpid(),
        uptime_s=time.monotonic() - service.started_s,
        mesh="" if plane is None else views.mesh_name(plane),
        quic=f"{quic[0]}:{quic[1]}",
        bus=f"ws://{bus[0]}:{bus[1]}",
        http=f"http://{http[0]}:{http[1]}" if http else "",
        telemetry=f"ws://{telemetry[0]}:{telemetry[1]}" if telemetry else "",
        telemetry_failure=service.telemetry.server.failure,
        data_dir=str(service.data_dir),
        clients=stats["clients_connected"],
        channels=stats["channels"],
        published_per_s=service.figures.rates["published"],
        delivered_per_s=service.figures.rates["delivered"],
        delivery_p50_us=service.figures.latency["p50_us"],
        delivery_p99_us=service.figures.latency["p99_us"],
        counters=_counters(service),
    )


def _counters(service: Service) -> dict[str, int]:
    """Every counter of the node by name, since the start."""
    found = dict(service.node.bus.counters)
    plane = service.node.plane
    if plane is not None:
        federation = dataclasses.asdict(plane.federation.counters)
        found |= {f"federation_{name}": value for name, value in federation.items()}
    found |= {f"refused_{reason}": count for reason, count in service.host.refusals.items()}
    found |= {f"dropped_{where}_{reason}": count for (where, reason), count in service.story.dropped.items()}
    found |= {f"auth_{name}": count for name, count in service.authenticator.counters.items()}
    found |= {name: service.bus.counters[name] for name in ("slow_dropped", "slow_episodes", "turns_cut")}
    found |= {f"join_{name}": count for name, count in service.authority.counters.items()}
    found["unsent"] = service.host.unsent
    found["certificate_rotations"] = service.certificates.rotations
    return found


def mesh_status(service: Service) -> MeshStatus:
    return views.mesh_status(service.node, service.throughput, _other_version(service))


def _other_version(service: Service) -> frozenset[NodeId]:
    """Members without a link of whom either side has said of late that they speak another protocol version."""
    plane, links = service.node.plane, service.endpoint.links()
    if plane is None:
        return frozenset()
    refusing = {dial.peer for dial in service.endpoint.dials() if f"{OTHER_VERSION}:" in dial.last_error}
    refused = service.story.of_other_versions
    found = set()
    if refusing or refused:
        for member in plane.admission.members():
            listens = plane.topology.addresses_of(member.node)
            if member.node in refusing or any(address in refused for address in listens):
                found.add(member.node)
    return frozenset(found.difference(links))


def everything(service: Service) -> dict[str, object]:
    """For /status."""
    mesh = mesh_status(service)
    records = [entry._asdict() for entry in list(service.story.recorder)[-RECORDS_SHOWN:]]
    built: dict[str, object] = msgspec.to_builtins(
        {
            "node": node_status(service),
            "mesh": mesh,
            "bus": service.figures.told(),
            "telemetry": {**service.telemetry.server.health(), **service.telemetry.server.hub.counters},
            "now_us": service.host.now(),
            "recorder": records,
        }
    )
    return built
