"""What nodes tell of the mesh, in the story and counted, and which of it is not true.

It hears all events of all nodes, and knows who really lives. Nobody misbehaves in a plain world, so every fault that is
told is a bug, or a false accusation; and once nothing has been wrong for a while, nobody who runs may be held dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from arqonmesh.core.events import (
    Dropped,
    Fault,
    Forked,
    LinkDown,
    LinkUp,
    MemberChanged,
    PartitionChanged,
    ScoreChanged,
)
from arqonmesh.core.kernel import SECOND, Event
from arqonmesh.ids import NodeId
from arqonmesh.sim.ledger import Ledger
from arqonmesh.sim.process import Process
from arqonmesh.sim.world import World

CALM_AFTER_US: Final = 20 * SECOND
"""After the last trouble, links may take as long as the dialler's longest pause to come back."""


class Observer:
    """`watch` belongs among the watchers of every process."""

    def __init__(
        self,
        world: World,
        ledger: Ledger,
        names: Mapping[NodeId, str],
        *,
        lives: Callable[[str], bool],
        calm_since: Callable[[], int | None],
    ) -> None:
        """`lives`: whether a member is there and runs. `calm_since`: since when nothing has been wrong."""
        self._world = world
        self._ledger = ledger
        self._names = names
        self._lives = lives
        self._calm_since = calm_since
        self.starting = False
        """Nodes read their disks: whom they find there is no news, and of a thousand it would be a million lines."""
        self.writable: dict[str, bool] = {}
        """Nodes that run, and whether they say that this side may write."""
        self.dropped: dict[tuple[str, str], int] = {}
        """By (where, reason)."""
        self.dropped_of: dict[tuple[str, int, str], int] = {}
        """By (node, its life, where)."""
        self.faults: dict[tuple[str, str, str], int] = {}
        """(accuser, party, cause)."""
        self.forks: list[str] = []
        self.false_dead: list[str] = []
        """Who held a running, reachable node dead, and when."""
        self.detections_us: list[int] = []
        """From the death of a node until the first other one noticed, for each that anyone noticed."""
        self._fell_at: dict[str, int] = {}
        self._linked: dict[tuple[str, str], None] = {}
        """Pairs that were ever linked, as seen by the first."""

    def watch(self, process: Process, event: Event) -> None:
        teller = _TELLERS.get(type(event))
        if teller is not None and not (self.starting and type(event) is MemberChanged):
            teller(self, process, event)

    def fell(self, name: str) -> None:
        """It dies now; somebody will notice."""
        self._fell_at[name] = self._world.now
        self.writable.pop(name, None)

    def boots(self, name: str) -> None:
        """It is back: whoever has not noticed need not."""
        self._fell_at.pop(name, None)

    def _tell(self, who: str, what: str) -> None:
        self._world.trace.tell(self._world.now, who, what)

    def _noticed(self, name: str) -> None:
        fell_at = self._fell_at.pop(name, None)
        if fell_at is not None:
            self.detections_us.append(self._world.now - fell_at)

    # --- what is told -------------------------------------------------------------------------------------

    def _link_up(self, process: Process, event: Event) -> None:
        peer = self._names[cast(LinkUp, event).peer]
        self._tell(process.name, f"link to {peer} is up")
        if (process.name, peer) not in self._linked:
            self._linked[process.name, peer] = None
            self._ledger.first_link_us = self._world.now

    def _link_down(self, process: Process, event: Event) -> None:
        down = cast(LinkDown, event)
        self._tell(process.name, f"link to {self._names[down.peer]} is down: {down.reason}")
        self._noticed(self._names[down.peer])

    def _member(self, process: Process, event: Event) -> None:
        change = cast(MemberChanged, event)
        name = self._names.get(change.node, "a stranger")
        self._tell(process.name, f"sees {name} {change.new}: {change.reason}")
        if change.new in ("suspect", "dead"):
            self._noticed(name)
        since, now = self._calm_since(), self._world.now
        calm = since is not None and now - since > CALM_AFTER_US
        if change.new == "dead" and calm and self._lives(name):
            self.false_dead.append(f"{process.name} held {name} dead at {now / SECOND:.3f} s: {change.reason}")

    def _partition(self, process: Process, event: Event) -> None:
        view = cast(PartitionChanged, event)
        self.writable[process.name] = view.writable
        may = "may write" if view.writable else "read-only"
        self._tell(
            process.name,
            f"mesh is {view.state}, {may}: reaches {view.reachable} of {view.members}, needs {view.required}",
        )

    def _fault(self, process: Process, event: Event) -> None:
        fault = cast(Fault, event)
        key = (process.name, self._names.get(fault.party, fault.party), fault.cause)
        self.faults[key] = self.faults.get(key, 0) + 1
        self._tell(process.name, f"blames {key[1]}: {fault.cause}")

    def _score(self, process: Process, event: Event) -> None:
        change = cast(ScoreChanged, event)
        self._world.trace.add(self._world.now, process.name, f"score {change.node} {change.score_ppm}")

    def _fork(self, process: Process, event: Event) -> None:
        fork = cast(Forked, event)
        if fork.restored:
            return
        sentence = f"{process.name} proves that {self._names[fork.author]} forked at {fork.epoch}.{fork.seq}"
        self.forks.append(sentence)
        self._tell(process.name, sentence)

    def _drop(self, process: Process, event: Event) -> None:
        drop = cast(Dropped, event)
        key = (drop.where, drop.reason)
        self.dropped[key] = self.dropped.get(key, 0) + drop.count
        of = (process.name, process.lives, drop.where)
        self.dropped_of[of] = self.dropped_of.get(of, 0) + drop.count
        self._world.trace.add(self._world.now, process.name, f"drops {drop.where} {drop.reason} {drop.count}")


_TELLERS: Final[dict[type[Event], Callable[[Observer, Process, Event], None]]] = {
    LinkUp: Observer._link_up,
    LinkDown: Observer._link_down,
    MemberChanged: Observer._member,
    PartitionChanged: Observer._partition,
    Fault: Observer._fault,
    ScoreChanged: Observer._score,
    Forked: Observer._fork,
    Dropped: Observer._drop,
}
