"""A plan comes true: its mesh is built, its actions happen at their times, then first a core is healed, then all.

The liveness phase is what most simulators leave out: that a mesh recovers once *everything* is well again is the weaker
promise. Here a quorum is healed and the rest stays as broken as it is, and the quorum has to agree all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.events import LinkUp, Publish
from arqonmesh.core.kernel import SECOND, Event, Lane
from arqonmesh.sim.accounts import check_accounts
from arqonmesh.sim.checkers import ending, wait_for_convergence, watched
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.plan import Action, Plan, Weather
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.statement import Body

FUTURE_KIND: Final = 200
FUTURE_TAG: Final = 250
LINKS_MAX: Final = 16
CORE_CONVERGENCE_US: Final = 45 * SECOND
"""A healed quorum agrees within this time, whatever the others do."""


class Future(Body, frozen=True):
    """A statement's body that this version has no name for."""

    words: str
    more: int


class Enactment:
    """The plan's mesh in `sim`, and its actions until `stop`."""

    def __init__(self, sim: Simulation, plan: Plan) -> None:
        self.sim = sim
        self.plan = plan
        self._acts = False
        self._cuts: dict[tuple[str, str], int] = {}
        """Directions, and how many actions hold them cut."""
        self._newcomers: dict[str, None] = {}
        self._said = 0

    def build(self) -> None:
        """Machines and clocks; the mesh is founded."""
        sim, links = self.sim, LinkSettings(auto=self.plan.auto, auto_max=LINKS_MAX)
        for machine in self.plan.machines:
            process = sim.add(
                machine.name,
                cluster=machine.cluster,
                role=machine.role,
                links=links,
                talks_every_us=self.plan.talk_every_us,
            )
            process.wall_offset_ms = machine.wall_offset_ms
            process.drift(machine.drift_ppm)
            process.disk.tears = machine.torn_writes
        sim.found()

    def start(self) -> None:
        sim = self.sim
        self._acts = True
        if self.plan.faults:
            sim.tell("plan", f"this world has: {', '.join(self.plan.faults)}")
        if self.plan.climate is not None:
            sim.trouble()
            sim.tell("network", f"all paths turn: {self.plan.climate}")
            self._climate(partial(set_weather, self.plan.climate))
        for action in self.plan.actions:
            sim.world.after(action.at_us, self._act, action)

    def look(self) -> None:
        """Newcomers are owed what is said from the moment on at which everyone knows them."""
        sim = self.sim
        planes = [process.running.plane for process in sim.alive()]
        if len(planes) < len(sim.processes):
            return
        for name in list(self._newcomers):
            process = sim.processes.get(name)
            if process is not None and all(
                plane is not None and plane.membership.state_of(process.node_id) == "alive" for plane in planes
            ):
                del self._newcomers[name]
                sim.ledger.owed_from[name] = sim.world.now

    def stop(self) -> None:
        """No action begins or ends any more; what is broken stays so."""
        self._acts = False

    def heal_core(self) -> tuple[str, ...]:
        """The members of the core are up, and whole among themselves; the others stay as they are. The core."""
        sim = self.sim
        core = tuple(name for name in self.plan.core if name in sim.processes)
        outside = [name for name in sim.processes if name not in core]
        if not outside or 2 * len(core) <= len(sim.names):  # who was to be let in and never came may count as a member
            return ()
        sim.tell("plan", f"only {' '.join(core)} are healed; the rest stays broken")
        for a in core:
            process = sim.processes[a]
            process.disk.slowness = 1
            process.disk.on_error = process.on_next_write = None
            for b in sim.processes:
                if b in core and a != b:
                    clear_weather(self.sim.path(a, b))
                    sim.cuts.set(a, b, False)
                elif b not in core and self.plan.shut_out:
                    sim.cuts.set(a, b, True)
                    sim.cuts.set(b, a, True)
            if process.paused:
                sim.resume(a)
            if not process.alive:
                sim.boot(a)
        return core

    def heal_all(self) -> None:
        """Good weather, sound disks; `Simulation.calm` does the rest."""
        self._climate(clear_weather)
        for process in self.sim.processes.values():
            process.disk.slowness = 1
            process.disk.on_error = process.on_next_write = None

    # --- actions ------------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        if not self._acts:
            return
        handler = getattr(self, "_" + action.kind.replace("-", "_"))
        if action.kind != "join" and not all(
            name in self.sim.processes for name in (*action.nodes[:1], *(action.others if action.kind != "cut" else ()))
        ):
            return  # who left, or never came
        handler(action)

    def _later(self, action: Action, undo: Callable[[], None]) -> None:
        self.sim.world.after(action.for_us, lambda: undo() if self._acts else None)

    def _cut(self, action: Action) -> None:
        sim = self.sim
        some = [name for name in action.nodes if name in sim.processes]
        others = [name for name in action.others if name in sim.processes]
        sim.cut(some, others, one_way=action.one_way)
        pairs = [(a, b) for a in some for b in others]
        pairs += [] if action.one_way else [(b, a) for a, b in pairs]
        for pair in pairs:
            self._cuts[pair] = self._cuts.get(pair, 0) + 1

        def mend() -> None:
            sim.tell("network", f"mended: {' '.join(some)} and {' '.join(others)}")
            for pair in pairs:
                self._cuts[pair] -= 1
                if not self._cuts[pair]:
                    sim.cuts.set(*pair, False)

        self._later(action, mend)

    def _kill(self, action: Action) -> None:
        self._down(action, self.sim.crash)

    def _power(self, action: Action) -> None:
        self._down(action, self.sim.power_off)
        for name in self.sim.ledger.owed_from:  # who forgets the newcomers owes them nothing for a while
            self._newcomers[name] = None
            self.sim.ledger.owed_from[name] = 1 << 62

    def _down(self, action: Action, how: Callable[[str], None]) -> None:
        name = action.nodes[0]
        if self._may_fall(name):
            how(name)
            self._later(action, partial(self._up, name))

    def _may_fall(self, name: str) -> bool:
        return self.sim.processes[name].alive and len(self.sim.alive()) > 1

    def _up(self, name: str) -> None:
        process = self.sim.processes.get(name)
        if process is not None and not process.alive:
            self.sim.boot(name)

    def _disk_error(self, action: Action) -> None:
        if self._may_fall(action.nodes[0]):
            self.sim.disk_error(action.nodes[0])
            self._later(action, partial(self._up, action.nodes[0]))

    def _kill_writing(self, action: Action) -> None:
        """When this node next hands something to its disk, it dies before the disk has answered, or soon after."""
        process = self.sim.processes[action.nodes[0]]
        life = process.lives

        def strike() -> None:
            if self._acts and process.alive and process.lives == life and self._may_fall(process.name):
                self.sim.crash(process.name)
                self._later(action, partial(self._up, process.name))

        process.on_next_write = lambda: self.sim.world.after(action.for_us % 4_000, strike)

    def _slow_disk(self, action: Action) -> None:
        disk = self.sim.processes[action.nodes[0]].disk
        self.sim.trouble()
        self.sim.tell(action.nodes[0], f"has a disk that is {action.amount} times slower")
        disk.slowness = max(1, action.amount)
        self._later(action, lambda: setattr(disk, "slowness", 1))

    def _stop(self, action: Action) -> None:
        process = self.sim.processes[action.nodes[0]]
        if process.paused or not process.alive:
            return
        life = process.lives
        self.sim.pause(process.name)
        self._later(action, lambda: self.sim.resume(process.name) if process.paused and process.lives == life else None)

    def _weather(self, action: Action) -> None:
        a, b = action.nodes[0], action.others[0]
        weather = action.weather or Weather()
        self.sim.trouble()
        self.sim.tell("network", f"{a} --> {b} turns: {weather}")
        set_weather(weather, self.sim.path(a, b))
        before = self.plan.climate or Weather()
        self._later(action, lambda: set_weather(before, self.sim.path(a, b)))

    def _clog(self, action: Action) -> None:
        a, b = action.nodes[0], action.others[0]
        self.sim.trouble()
        self.sim.tell("network", f"{a} --> {b} stands still for {action.for_us / SECOND:.3f} s")
        self.sim.path(a, b).clog(self.sim.world.now + action.for_us)

    def _clock_step(self, action: Action) -> None:
        self.sim.tell(action.nodes[0], f"its wall clock jumps by {action.amount} ms")
        self.sim.processes[action.nodes[0]].wall_offset_ms += action.amount

    def _leave(self, action: Action) -> None:
        self.sim.leave(action.nodes[0])

    def _join(self, action: Action) -> None:
        sim, name, by = self.sim, action.nodes[0], action.others[0]
        if by not in sim.processes or name in sim.processes:
            return
        links = LinkSettings(auto=self.plan.auto, auto_max=LINKS_MAX)
        role: Literal["hub", "spoke"] = "hub" if self.plan.auto != "hubs" else "spoke"
        process = sim.add(name, role=role, links=links, talks_every_us=self.plan.talk_every_us)
        if sim.admit(by, process):
            sim.trouble()
            self._newcomers[name] = None
            if self.plan.climate is not None:
                self._climate(partial(set_weather, self.plan.climate), only=process)
            process.watchers.append(self._begin_to_talk)

    def _begin_to_talk(self, process: Process, event: Event) -> None:
        """A newcomer has something to say from its first link on: whoever joins has one."""
        talker = self.sim.talkers[process.name]
        if type(event) is LinkUp and self._acts and not talker.talking:
            self.sim.world.after(0, talker.start)

    def _next_version(self, action: Action) -> None:
        """A node of a later version among us: others keep and pass on what it signs, and skip what it sends."""
        process = self.sim.processes[action.nodes[0]]
        if not process.alive or process.paused:
            return
        self._said += 1
        self.sim.tell(process.name, "says a statement and sends a message of the next version")
        statement = Publish(FUTURE_KIND, "next", Future("what this means is not known yet", self._said))
        process.perform(process.running.publish(process.now(), (statement,)))
        assert process.endpoint is not None
        for end in list(process.endpoint.ends.values()):
            end.send(Lane.CONTROL, encode([FUTURE_TAG, self._said]))
            end.send(Lane.DATAGRAM, encode([FUTURE_TAG, self._said]))

    # --- paths --------------------------------------------------------------------------------------------

    def _climate(self, turn: Callable[[LinkModel], None], only: Process | None = None) -> None:
        for one in self.sim.processes.values():
            for other in self.sim.processes.values():
                if one is not other and only in (None, one, other):
                    turn(self.sim.network.path(one.node_id, other.node_id))


def set_weather(weather: Weather, model: LinkModel) -> None:
    """A cut stays a cut."""
    model.delay_us, model.jitter_us, model.spread = weather.delay_us, weather.jitter_us, weather.spread
    model.loss_ppm, model.duplicate_ppm = weather.loss_ppm, weather.duplicate_ppm
    model.reorder_ppm, model.bandwidth_bytes_per_s = weather.reorder_ppm, weather.bandwidth_bytes_per_s


def clear_weather(model: LinkModel) -> None:
    """Good weather; a cut stays a cut."""
    set_weather(Weather(), model)


def play_plan(sim: Simulation, plan: Plan) -> None:
    """The whole story of a plan. Raises Broken."""
    enactment = Enactment(sim, plan)
    enactment.build()
    wait_for_convergence(sim)
    sim.talk()
    enactment.start()
    watched(sim, plan.length_us, look=enactment.look)
    enactment.stop()
    core = enactment.heal_core()
    if core:
        took = wait_for_convergence(sim, CORE_CONVERGENCE_US, among=core)
        sim.tell("world", f"the healed quorum agrees after {took / SECOND:.1f} s")
    enactment.heal_all()
    ending(sim, look=enactment.look)
    check_accounts(sim)
