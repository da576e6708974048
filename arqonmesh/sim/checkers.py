"""What must hold: checked while a scenario runs (`during`) and once the world is whole again (`after`)."""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.governed import Governed
from arqonmesh.sim.simulation import Simulation

CONVERGENCE_US: Final = 60 * SECOND
"""Everything agrees this long after the last trouble, dialling back-off included."""
SPLIT_GRACE_US: Final = 5 * SECOND
"""How long a side that lost its quorum may not have noticed."""


class Broken(Exception):
    """A rule was broken; the sentence says which, by whom and when."""


class TwoSides:
    """At no time do two sides that do not reach each other both say that they may write, or accept governed writes.

    A side that has just been cut off needs the time of link liveness to notice; it has `SPLIT_GRACE_US`.
    """

    def __init__(self, governed: Governed | None = None) -> None:
        self._sides: list[list[str]] = []
        self._since = 0
        self._governed = governed

    def look(self, sim: Simulation) -> None:
        sides = sim.sides()
        if sides != self._sides:
            self._sides, self._since = sides, sim.world.now
        if sim.world.now - self._since < SPLIT_GRACE_US:
            return
        writing = [side for side in sides if any(sim.writable.get(name) for name in side)]
        if len(writing) > 1:
            raise Broken(f"two sides may write at {sim.world.now / SECOND:.3f} s: {writing}")
        if self._governed is not None:
            late = {name: what for at, name, what in self._governed.accepted if at >= self._since + SPLIT_GRACE_US}
            accepting = [side for side in sides if any(name in late for name in side)]
            if len(accepting) > 1:
                raise Broken(f"two sides accepted governed writes before {sim.world.now / SECOND:.3f} s: {late}")


def check_always(sim: Simulation) -> None:
    """What may be wrong at no moment, whatever goes on."""
    if sim.ledger.breaches:
        raise Broken(f"delivery: {sim.ledger.breaches[0]} ({len(sim.ledger.breaches)} breaches)")
    if sim.forks:
        raise Broken(f"fork: {sim.forks[0]}")
    if sim.false_dead:
        raise Broken(f"false verdict: {sim.false_dead[0]}")
    for (accuser, party, cause), count in sim.faults.items():
        if cause != "timeout":  # absence is the world's doing, and here the world is hard
            raise Broken(f"blame: {accuser} blames {party} for {cause} ({count} times), and nobody misbehaves here")


def converged(sim: Simulation) -> str:
    """Empty when all nodes agree and nothing is on its way; else what is still missing."""
    planes = {process.name: process.running.plane for process in sim.processes.values() if process.alive}
    roots: dict[bytes, str] = {}
    for name, plane in planes.items():
        assert plane is not None
        roots.setdefault(plane.gossip.root(), name)
        for other, process in sim.processes.items():
            state = plane.membership.state_of(process.node_id)
            if state != "alive":
                return f"{name} sees {other} as {state or 'unknown'!r}"
            backlog = plane.federation.backlog(process.node_id)
            if backlog:
                return f"{name} still owes {other} {backlog} messages"
        if not sim.writable.get(name):
            return f"{name} is read-only"
    if len(planes) < len(sim.processes):
        return f"{len(sim.processes) - len(planes)} nodes are down"
    if len(roots) > 1:
        return f"records differ between {' and '.join(roots.values())}"
    return ""


def wait_for_convergence(sim: Simulation, within_us: int = CONVERGENCE_US, *, every_us: int = SECOND // 10) -> int:
    """Run until `converged`; the time that it took. Raises Broken when it takes too long."""
    began = sim.world.now
    while True:
        missing = converged(sim)
        check_always(sim)
        if not missing:
            return sim.world.now - began
        if sim.world.now - began >= within_us:
            raise Broken(f"no convergence within {within_us // SECOND} s: {missing}")
        sim.run_for(every_us)


def check_complete(sim: Simulation) -> None:
    """Everything said was heard by everyone who may hear it."""
    missing = sim.ledger.missing(sim.processes)
    if missing:
        listener, message = missing[0]
        raise Broken(f"lost: {listener} never heard {message} ({len(missing)} such)")
