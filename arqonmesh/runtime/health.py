"""The node's components and how they are (`/health`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from arqonmesh.observe.health import Probes

if TYPE_CHECKING:
    from arqonmesh.runtime.service import Service


def probes_of(service: Service) -> Probes:
    """Of a service that is built, whether it runs or not."""
    probes = Probes()

    def store() -> Mapping[str, Any]:
        fatal = service.store.fatal
        return {
            "ok": fatal is None,
            "reason": "" if fatal is None else str(fatal),
            "waiting_bytes": service.store.waiting_bytes,
            "commits": service.store.stats.commits,
        }

    def bus() -> Mapping[str, Any]:
        core = service.node.bus
        return {
            "ok": not service.stopping.is_set(),
            "state": "draining" if service.stopping.is_set() else "open",
            "clients": service.bus.client_count,
            "channels": len(core.channels),
            "paused_clients": len(core.paused),
            "unsent_bytes": service.bus.unsent_bytes(),
        }

    def transport() -> Mapping[str, Any]:
        links = service.endpoint.links()
        return {
            "ok": True,
            "state": "linked" if links else "alone",
            "links": len(links),
            "wanted": len(service.endpoint.dials()),
            "refusals": sum(service.host.refusals.values()),
            "unsent_messages": service.host.unsent,
        }

    def mesh() -> Mapping[str, Any]:
        plane = service.node.plane
        if plane is None:
            return {"ok": True, "state": "none", "phase": "none", "missing": 0}
        partition = plane.partition.view()
        return {
            "ok": partition.writable,
            "state": partition.state,
            "phase": partition.phase,
            "reachable": partition.reachable,
            "required": partition.required,
            "missing": len(partition.missing) + partition.missing_more,
        }

    def gossip() -> Mapping[str, Any]:
        plane = service.node.plane
        if plane is None:
            return {"ok": True, "state": "none"}
        core = plane.gossip
        state = "quiet" if core.equal_roots else "repairing"
        return {"ok": True, "state": state, "equal_roots": core.equal_roots, "held_bytes": core.bytes_held}

    def router() -> Mapping[str, Any]:
        plane = service.node.plane
        if plane is None:
            return {"ok": True, "links_up": 0, "queued_messages": 0}
        reports = plane.links.report()
        return {
            "ok": True,
            "links_up": sum(report.state == "up" for report in reports),
            "queued_messages": sum(plane.federation.backlog(report.peer) for report in reports),
        }

    probes.add("store", store)
    probes.add("bus", bus)
    probes.add("transport", transport)
    probes.add("mesh", mesh)
    probes.add("gossip", gossip)
    probes.add("router", router)
    probes.add("history", service.history.health, critical=False)
    probes.add("telemetry", service.telemetry.server.health, critical=False)
    return probes
