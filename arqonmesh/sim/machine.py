"""One machine that runs many nodes on few cores: whoever has something to do waits for its turn.

    input ─▶ the process's queue ─▶ a core is free ─▶ handled, which takes time ─▶ next, until the slice is used up

Costs are figures, not measurements: so much for an input, so much on top for each message sent and each write. `hogs`
are processes that always want a core, as other programs do. Queues grow, timers fire late, and answers lie unread
behind what came before them; that is what a mesh of twenty nodes looks like on two cores the moment a hub dies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from arqonmesh.core.kernel import Effect, Persist, Send
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.sim.network import End
from arqonmesh.sim.process import Process
from arqonmesh.sim.world import World

SLICE_US: Final = 3_000
"""How long a process keeps a core while others wait."""


class Machine:
    """Some cores in one world; nothing takes time before `start`."""

    def __init__(
        self, world: World, *, cores: int = 2, input_us: int = 225, send_us: int = 90, write_us: int = 450
    ) -> None:
        self.started = False
        self.used_us = 0
        """Processor time that nodes have used."""
        self.input_us = input_us
        self.send_us = send_us
        self.write_us = write_us
        self.stale_us: int | None = None
        """Datagrams that wait longer than this for a process that stands still are dropped unread; None: never."""
        self._world = world
        self._free = cores
        self._waiting: deque[Crowded | None] = deque()

    def start(self, hogs: int = 0) -> None:
        self.started = True
        for _ in range(hogs):
            self.wants(None)

    def wants(self, process: Crowded | None) -> None:
        """It has something to do; None is a hog."""
        if self._free:
            self._free -= 1
            self._run(process, SLICE_US)
        else:
            self._waiting.append(process)

    def _run(self, process: Crowded | None, left_us: int) -> None:
        cost_us = SLICE_US if process is None else process.handle_next()
        self.used_us += 0 if process is None else cost_us
        self._world.after(cost_us, self._ran, process, left_us - cost_us)

    def _ran(self, process: Crowded | None, left_us: int) -> None:
        more = process is None or process.goes_on()
        if more and left_us > 0:
            self._run(process, left_us)
            return
        if more:
            self._waiting.append(process)
        if self._waiting:
            self._run(self._waiting.popleft(), SLICE_US)
        else:
            self._free += 1


class Crowded(Process):
    """A process on a machine with others. Set `machine` before it starts."""

    machine: Machine | None = None
    _cost_us = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._queue: deque[Callable[[], None]] = deque()
        self._queued = False

    def boot(self, mesh: MeshIdentity) -> None:
        super().boot(mesh)
        self.listening = self.machine is None or not self.machine.started

    def receive(self, action: Callable[[], None]) -> None:
        machine = self.machine
        if machine is None or not machine.started or self.paused or self.node is None:
            if self.paused and machine is not None and machine.stale_us is not None and _is_datagram(action):
                action = partial(self._unless_stale, self.world.now + machine.stale_us, action)
            super().receive(action)
            return
        self.listening = False
        self._queue.append(action)
        if not self._queued:
            self._queued = True
            machine.wants(self)

    def pause(self) -> None:
        """What waited for its core waits on, before what comes now."""
        super().pause()
        self._inbox.extendleft(reversed(self._queue))
        self._queue.clear()

    def resume(self) -> None:
        """What waited is handled as anything is: one after the other, and what comes meanwhile waits behind it."""
        if self.machine is None or not self.machine.started:
            super().resume()
            return
        self._paused = False
        waited = list(self._inbox)
        self._inbox.clear()
        for action in waited:
            self.receive(action)

    def goes_on(self) -> bool:
        """Whether it wants its core once more; if not, it asks anew when something comes in."""
        if not self._queue:
            self._queued = False
        return self._queued

    def handle_next(self) -> int:
        """Handle one input; the time that it took."""
        machine = self.machine
        assert machine is not None
        self._cost_us = machine.input_us
        if self._queue:
            action = self._queue.popleft()
            if self.node is not None:
                action()
        return self._cost_us

    def _perform_all(self, effects: Sequence[Effect]) -> None:
        if self.machine is not None:
            for effect in effects:
                if type(effect) is Send:
                    self._cost_us += self.machine.send_us
                elif type(effect) is Persist:
                    self._cost_us += self.machine.write_us
        super()._perform_all(effects)

    def _in_life(self, life: int, action: Callable[..., None], *given: int) -> None:
        if self.machine is None or not self.machine.started:
            super()._in_life(life, action, *given)
        elif life == self.lives and self.node is not None:
            self.receive(partial(self._still_in_life, life, action, given))

    def _still_in_life(self, life: int, action: Callable[..., None], given: tuple[int, ...]) -> None:
        if life == self.lives and self.node is not None:
            action(*given)

    def _unless_stale(self, until: int, action: Callable[[], None]) -> None:
        if self.world.now <= until:
            action()

    def _die(self) -> None:
        self._queue.clear()
        super()._die()


def _is_datagram(action: Callable[[], None]) -> bool:
    return isinstance(action, partial) and getattr(action.func, "__func__", None) is End._datagram
