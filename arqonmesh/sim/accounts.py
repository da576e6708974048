"""Books held against the world: every queue within its bound, every counter as many as there were."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from arqonmesh.core.federation.links import LINKS_MAX
from arqonmesh.core.federation.strangers import STRANGER_BYTES_MAX, STRANGERS_MAX
from arqonmesh.core.plane import Plane
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.network import LANE_BYTES_MAX
from arqonmesh.sim.process import INPUTS_MAX, Process
from arqonmesh.sim.simulation import Simulation

LOSSES: Final = ("outbox-full", "link-down")
"""Reasons of federation's drops that mean a message which someone should have heard."""


def check_bounds(sim: Simulation) -> None:
    """No queue of any node holds more than its cap. Raises Broken."""
    for process in sim.processes.values():
        for name, held, cap in queues(process):
            sim.peaks[name] = max(sim.peaks.get(name, 0), held)
            if held > cap:
                raise Broken(f"bounds: {process.name} holds {held} in {name}, whose cap is {cap}")


def queues(process: Process) -> Iterator[tuple[str, int, int]]:
    """(queue, what it holds, its cap) of one running node, all that remote input can fill."""
    yield "process.inbox", process.waiting, INPUTS_MAX
    if process.node is None or process.endpoint is None:
        return
    for end in process.endpoint.ends.values():
        yield "network.lane-bytes", end.unarrived_bytes(), LANE_BYTES_MAX
    plane = process.node.plane
    if plane is not None:
        yield from _of_plane(process, plane)


def _of_plane(process: Process, plane: Plane) -> Iterator[tuple[str, int, int]]:
    outbox = process.config.federation.outbox
    federation, gossip, broadcast = plane.federation, plane.gossip, plane.broadcast
    boxes = list(federation._outboxes.values())
    yield "federation.links", len(boxes), LINKS_MAX
    yield "federation.outbox-messages", max((box.messages for box in boxes), default=0), outbox.messages_max
    yield "federation.outbox-bytes", max((box.bytes for box in boxes), default=0), outbox.bytes_max
    yield "federation.strangers", len(federation._strangers), STRANGERS_MAX
    yield "federation.stranger-bytes", federation._strangers.bytes, STRANGER_BYTES_MAX
    yield "broadcast.ids", len(broadcast._cache), process.config.broadcast.ids_max
    yield "broadcast.payload-bytes", broadcast._cache.bytes, process.config.broadcast.cache_bytes_max
    yield "gossip.waiting-authors", len(gossip._waiting), gossip._limits.waiting_authors
    yield "gossip.waiting-bytes", gossip._waiting.bytes_held, gossip._limits.waiting_bytes


def check_accounts(sim: Simulation) -> None:
    """What nodes count is what happened; to be asked when all is calm and silent. Raises Broken."""
    for process in sim.processes.values():
        node = process.running
        said = sum(m.origin == process.name and m.life == process.lives for m in sim.ledger.said)
        _same(process, "bus published", node.bus.counters["published"], said)
        heard = sim.ledger.deliveries.get((process.name, process.lives), 0)
        _same(process, "bus delivered", node.bus.counters["delivered"], heard)
        if node.plane is not None:
            counted = node.plane.federation.counters.dropped
            told = sim.observer.dropped_of.get((process.name, process.lives, "federation"), 0)
            _same(process, "federation dropped", counted, told)
    for reason in LOSSES:
        count = sim.observer.dropped.get(("federation", reason), 0)
        if count and not sim.ledger.missing(sim.processes):
            raise Broken(f"accounts: {count} messages are counted as lost ({reason}), and none is missing")


def _same(process: Process, what: str, counted: int, true: int) -> None:
    if counted != true:
        raise Broken(f"accounts: {process.name} counts {counted} as {what}, and there were {true}")
