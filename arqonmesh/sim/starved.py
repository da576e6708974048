"""Everybody is short of processor time at once: many nodes on a small machine, each kept waiting by the others.

Every 200 to 500 ms each node stands still, on its own and by its own dice: mostly for 10 to 80 ms, one time in twenty
for 0.3 to 1 s, one time in two hundred for 2 to 3 s. What came in meanwhile is then handled piece by piece, with what
comes meanwhile behind it; datagrams that waited for longer than half a second are dropped unread, as net/udp.py does.
Nobody dies. So whoever is called dead is called so wrongly, and one that never died owes its absence to its machine.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal

from arqonmesh.core.events import LinkDown, MemberChanged
from arqonmesh.core.kernel import MILLISECOND, SECOND, Event
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.machine import Crowded, Machine
from arqonmesh.sim.process import Process
from arqonmesh.sim.restart import restart
from arqonmesh.sim.sharing import no_garbage
from arqonmesh.sim.simulation import Simulation

NODES: Final = 64
HUBS: Final = 4
DURATION_US: Final = 120 * SECOND
SETTLE_US: Final = 6 * SECOND
BETWEEN_US: Final = (200 * MILLISECOND, 500 * MILLISECOND)
"""From the end of one pause to the next."""
PAUSES_US: Final = (
    (9_450, 10 * MILLISECOND, 80 * MILLISECOND),
    (500, 300 * MILLISECOND, SECOND),
    (50, 2 * SECOND, 3 * SECOND),
)
"""How many in ten thousand last from, and to."""
FALSE_MAX: Final = 0
"""Deaths that may be told: none."""


class Tally:
    """What the nodes wrongly say of each other, from now on."""

    def __init__(self, sim: Simulation) -> None:
        self.said: Counter[str] = Counter()
        """By state: suspect, dead; and "link down"."""
        self.dead: list[tuple[int, str, str, str]] = []
        """(when in microseconds, who says so, of whom, why)."""
        self._sim = sim
        for process in sim.processes.values():
            process.watchers.append(self._saw)

    def _saw(self, process: Process, event: Event) -> None:
        if type(event) is LinkDown:
            self.said["link down"] += 1
        elif type(event) is MemberChanged and event.new in ("suspect", "dead"):
            self.said[event.new] += 1
            if event.new == "dead":
                about = self._sim.names[event.node]
                self.dead.append((self._sim.world.now, process.name, about, event.reason))


class Starver:
    """Lets every node of a world stand still again and again."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self._dice = {name: sim.world.dice(f"starved {name}") for name in sim.processes}
        self._on = False

    def start(self) -> None:
        self._on = True
        for process in self._sim.processes.values():
            self._next(process)

    def stop(self) -> None:
        """Nobody stops any more; who stands still ends that in its time."""
        self._on = False

    def _next(self, process: Process) -> None:
        self._sim.world.after(self._dice[process.name].randrange(*BETWEEN_US), self._pause, process)

    def _pause(self, process: Process) -> None:
        if not self._on:
            return
        if process.alive:
            process.pause()
            self._sim.world.after(self._draw_us(process.name), self._go_on, process, process.lives)
        else:
            self._next(process)

    def _draw_us(self, name: str) -> int:
        dice = self._dice[name]
        drawn = dice.randrange(0, sum(share for share, _, _ in PAUSES_US))
        for share, least_us, most_us in PAUSES_US:
            if drawn < share:
                return dice.randrange(least_us, most_us)
            drawn -= share
        raise AssertionError("one of them is drawn")

    def _go_on(self, process: Process, life: int) -> None:
        if process.paused and process.lives == life:
            process.resume()
        self._next(process)


def standing(sim: Simulation, nodes: int, hubs: int) -> None:
    """A settled mesh: every spoke linked to all hubs, and the hubs to each other; each node has a core of its own."""
    roles: tuple[Literal["hub", "spoke"], ...] = ("hub", "spoke")
    names = [f"n{number:02}" for number in range(nodes)]
    for number, name in enumerate(names):
        process = sim.add(name, role=roles[number >= hubs], kind=Crowded)
        assert isinstance(process, Crowded)
        process.machine = Machine(sim.world, cores=1)
        process.machine.stale_us = SECOND // 2
    restart(sim, [(name, hub) for n, name in enumerate(names) for hub in names[: min(n, hubs)]], settled=True)
    wait_for_convergence(sim, every_us=SECOND // 2)
    sim.run_for(SETTLE_US)
    for process in sim.processes.values():
        assert isinstance(process, Crowded)
        assert process.machine is not None
        process.machine.start()
        process.listening = False


def starve(sim: Simulation, nodes: int, hubs: int, duration_us: int) -> Tally:
    """A standing mesh without enough processor time, for so long; what was said meanwhile."""
    with no_garbage():
        standing(sim, nodes, hubs)
        tally, starver = Tally(sim), Starver(sim)
        sim.trouble()
        sim.tell("world", f"{nodes} nodes, {hubs} of them hubs, are short of processor time")
        starver.start()
        sim.run_for(duration_us)
        starver.stop()
    told = ", ".join(f"{count} times {state}" for state, count in sorted(tally.said.items()))
    sim.tell("world", f"in {duration_us // SECOND} s they said: {told or 'nothing'}")
    return tally


def starved(sim: Simulation) -> None:
    """64 nodes, with one hub or with four, for two minutes; then enough for all again. Raises Broken."""
    tally = starve(sim, NODES, 1 if sim.world.seed % 2 else HUBS, DURATION_US)
    if len(tally.dead) > FALSE_MAX:
        at, who, about, why = tally.dead[0]
        raise Broken(
            f"running nodes were called dead {len(tally.dead)} times ({FALSE_MAX} may be); first {about} by {who}"
            f" at {at / SECOND:.3f} s: {why}"
        )
    sim.calm()
    took = wait_for_convergence(sim)
    sim.tell("world", f"all agree {took / SECOND:.1f} s after there was enough for all")
