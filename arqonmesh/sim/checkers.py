"""What must hold: checked while a scenario runs (`during`) and once the world is whole again (`after`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.accounts import check_bounds
from arqonmesh.sim.broken import Broken as Broken
from arqonmesh.sim.governed import Governed
from arqonmesh.sim.simulation import Simulation

CONVERGENCE_US: Final = 60 * SECOND
"""Everything agrees this long after the last trouble, dialling back-off included."""
IN_FLIGHT_US: Final = 3 * SECOND
"""While clients talk, what they said so recently may be on its way: who waits for somebody outside of the healed quorum
answers late."""
SPLIT_GRACE_US: Final = 5 * SECOND
"""How long a side that lost its quorum may not have noticed."""


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
        writing = [side for side in sides if any(sim.observer.writable.get(name) for name in side)]
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
    if sim.witness is not None and sim.witness.breaches:
        raise Broken(f"credentials: {sim.witness.breaches[0]} ({len(sim.witness.breaches)} breaches)")
    if sim.observer.forks:
        raise Broken(f"fork: {sim.observer.forks[0]}")
    if sim.observer.false_dead:
        raise Broken(f"false verdict: {sim.observer.false_dead[0]}")
    for (accuser, party, cause), count in sim.observer.faults.items():
        if cause != "timeout":  # absence is the world's doing, and here the world is hard
            raise Broken(f"blame: {accuser} blames {party} for {cause} ({count} times), and nobody misbehaves here")


def converged(sim: Simulation, among: Sequence[str] = ()) -> str:
    """Empty when all nodes (or those `among` them) agree and nothing is on its way between them; else what is still
    missing."""
    members = {name: process for name, process in sim.processes.items() if not among or name in among}
    planes = {name: process.running.plane for name, process in members.items() if process.alive}
    in_flight = sum(at_us > sim.world.now - IN_FLIGHT_US for at_us in sim.ledger.said.values()) if among else 0
    roots: dict[bytes, str] = {}
    for name, plane in planes.items():
        assert plane is not None
        roots.setdefault(plane.gossip.root(), name)
        for other, process in members.items():
            state = plane.membership.state_of(process.node_id)
            if state != "alive":
                return f"{name} sees {other} as {state or 'unknown'!r}"
            backlog = plane.federation.backlog(process.node_id)
            if backlog > in_flight and sim.expects_link(name, other):
                return f"{name} still owes {other} {backlog} messages"
        if not sim.observer.writable.get(name):
            return f"{name} is read-only"
    if len(planes) < len(members):
        return f"{len(members) - len(planes)} nodes are down"
    if len(roots) > 1:
        return f"records differ between {' and '.join(roots.values())}"
    return ""


def wait_for_convergence(
    sim: Simulation, within_us: int = CONVERGENCE_US, *, every_us: int = SECOND // 10, among: Sequence[str] = ()
) -> int:
    """Run until `converged`; the time that it took. Raises Broken when it takes too long."""
    began = sim.world.now
    while True:
        missing = converged(sim, among)
        check_always(sim)
        if not missing:
            return sim.world.now - began
        if sim.world.now - began >= within_us:
            who = f" of the healed quorum {' '.join(among)}" if among else ""
            raise Broken(f"no convergence{who} within {within_us // SECOND} s: {missing}")
        sim.run_for(every_us)


def check_complete(sim: Simulation) -> None:
    """Everything said was heard by everyone who may hear it."""
    missing = sim.ledger.missing(sim.processes)
    if missing:
        listener, message = missing[0]
        raise Broken(f"lost: {listener} never heard {message} ({len(missing)} such)")


def watched(
    sim: Simulation,
    duration_us: int,
    *,
    every_us: int = SECOND // 4,
    governed: Governed | None = None,
    look: Callable[[], None] | None = None,
) -> None:
    """Let time pass and look at everything that must always hold; `look` is called as often."""
    two_sides = TwoSides(governed)
    until = sim.world.now + duration_us
    while sim.world.now < until:
        sim.run_for(min(every_us, until - sim.world.now))
        two_sides.look(sim)
        check_always(sim)
        check_bounds(sim)
        if look is not None:
            look()


def ending(sim: Simulation, *, complete: bool = True, look: Callable[[], None] | None = None) -> None:
    """Everything is made whole; then all agree, and what was said has been heard."""
    sim.calm()
    watched(sim, SECOND, look=look)
    sim.hush()
    took = wait_for_convergence(sim)
    sim.run_for(SECOND)
    sim.settled_us = took
    sim.tell("world", f"all agree {took / SECOND:.1f} s after the last trouble")
    check_always(sim)
    if complete:
        check_complete(sim)
