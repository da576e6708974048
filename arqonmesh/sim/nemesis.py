"""What goes wrong, by the dice. Each seed first draws which kinds of trouble there are at all: all of them always hides
the bugs that need one of them alone (swarm testing, Groce et al., ISSTA 2012).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.simulation import Simulation

PAUSE_MAX_US: Final = 3 * SECOND


class Nemesis:
    """Acts every few hundred milliseconds until `stop`; never takes the last node."""

    def __init__(self, sim: Simulation, *, power: bool = True) -> None:
        self._sim = sim
        self._dice = sim.world.dice("nemesis")
        self._acts = False
        kinds: dict[str, Callable[[], None]] = {
            "cut": self._cut,
            "cut one way": partial(self._cut, one_way=True),
            "isolate": self._isolate,
            "heal": sim.heal,
            "kill": partial(self._down, sim.crash),
            "kill while writing": self._kill_while_writing,
            "stop": self._pause,
            "weather": self._weather,
            **({"power": partial(self._down, sim.power_off)} if power else {}),
        }
        self.kinds = {name: act for name, act in kinds.items() if name == "heal" or self._dice.random() < 0.5}

    def start(self) -> None:
        self._acts = True
        self._sim.tell("nemesis", f"wakes: {', '.join(self.kinds)}")
        self._later()

    def stop(self) -> None:
        self._acts = False
        for one in self._sim.processes.values():
            for other in self._sim.processes.values():
                if one is not other:
                    clear(self._sim.network.path(one.node_id, other.node_id))
        self._sim.tell("nemesis", "goes to sleep")

    def _later(self) -> None:
        self._sim.world.after(self._dice.randrange(50 * MILLISECOND, 1_500 * MILLISECOND), self._act)

    def _act(self) -> None:
        if self._acts:
            self.kinds[self._dice.choice(list(self.kinds))]()
            self._later()

    def _cut(self, *, one_way: bool = False) -> None:
        names = list(self._sim.processes)
        self._dice.shuffle(names)
        middle = self._dice.randrange(1, len(names))
        self._sim.cut(names[:middle], names[middle:], one_way=one_way)

    def _isolate(self) -> None:
        names = list(self._sim.processes)
        victim = names.pop(self._dice.randrange(0, len(names)))
        self._sim.cut([victim], names)

    def _down(self, how: Callable[[str], None]) -> None:
        victims = [process.name for process in self._sim.alive()]
        if len(victims) < 2:
            return
        victim = self._dice.choice(victims)
        how(victim)
        self._sim.world.after(self._dice.randrange(100 * MILLISECOND, 6 * SECOND), partial(self._up, victim))

    def _up(self, name: str) -> None:
        if not self._sim.processes[name].alive:
            self._sim.boot(name)

    def _kill_while_writing(self) -> None:
        """When this node next hands something to its disk, it dies before the disk has answered, or soon after."""
        victim = self._dice.choice(self._sim.alive())
        life, delay_us = victim.lives, self._dice.randrange(0, 4 * MILLISECOND)

        def strike() -> None:
            if victim.alive and victim.lives == life and len(self._sim.alive()) > 1 and self._acts:
                self._sim.crash(victim.name)
                self._sim.world.after(self._dice.randrange(SECOND, 3 * SECOND), partial(self._up, victim.name))

        victim.on_next_write = lambda: self._sim.world.after(delay_us, strike)

    def _pause(self) -> None:
        victim = self._dice.choice(self._sim.alive())
        if victim.paused:
            return
        life = victim.lives
        self._sim.pause(victim.name)

        def resume() -> None:
            if victim.paused and victim.lives == life:
                self._sim.resume(victim.name)

        self._sim.world.after(self._dice.randrange(20 * MILLISECOND, PAUSE_MAX_US), resume)

    def _weather(self) -> None:
        """One direction of one path becomes bad, or good again."""
        names = list(self._sim.processes)
        a, b = self._dice.sample(names, 2)
        model = self._sim.path(a, b)
        if self._dice.random() < 0.3:
            clear(model)
            self._sim.tell("network", f"{a} --> {b} is fine again")
            return
        self._sim.trouble()
        model.delay_us = self._dice.choice((500, 5_000, 40_000, 120_000))
        model.jitter_us = self._dice.choice((0, 1_000, 20_000))
        model.loss_ppm = self._dice.choice((0, 10_000, 100_000, 300_000))
        model.duplicate_ppm = self._dice.choice((0, 100_000, 500_000))
        model.reorder_ppm = self._dice.choice((0, 50_000, 300_000))
        model.bandwidth_bytes_per_s = self._dice.choice((0, 0, 1_000_000, 100_000))
        self._sim.tell("network", f"{a} --> {b} turns bad: {model}")


def clear(model: LinkModel) -> None:
    """Good weather; a cut stays a cut."""
    model.delay_us, model.jitter_us = 500, 0
    model.loss_ppm = model.duplicate_ppm = model.reorder_ppm = model.bandwidth_bytes_per_s = 0
