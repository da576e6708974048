"""A lab's scenario played in the simulator: the same file, the same cores and the same link model, another world.

What a story in namespaces and the simulator's world disagree about is either the outer ring (sockets, the event loop,
the disk, QUIC) or a mistake of the simulator. `bench/calibration.py` holds the two against each other.

Time is virtual, so a node's clients answer at once and a step that waits looks at the world every millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any, Final

import msgspec

from arqonmesh.config.model import Config, FederationSettings, LinkSettings, NodeSettings, Rules
from arqonmesh.core.events import LinkDown, LinkUp
from arqonmesh.core.kernel import MILLISECOND, SECOND, Event
from arqonmesh.errors import UsageError
from arqonmesh.ids import ClientId
from arqonmesh.sim.checkers import wait_for_convergence
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation
from arqonmesh_testbed import scenario
from arqonmesh_testbed.fabric import set_model
from arqonmesh_testbed.ledger import Ledger
from arqonmesh_testbed.story import Unmet, figures
from arqonmesh_testbed.topology import Topology

LOOK_US: Final = MILLISECOND


class Numbered(msgspec.Struct):
    """The payload of one message."""

    run: str
    n: int
    at_us: int


class Canonical(msgspec.Struct):
    """The part of a frame of the bus that a receiver needs."""

    type: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")


class Stream:
    """A client that publishes numbered messages at an even pace, and clients that take them down."""

    def __init__(self, sim: Simulation, what: scenario.Traffic) -> None:
        self._sim = sim
        self._what = what
        self._room, self._leaf = what.channel.split(":")
        self._run_id = f"{what.from_} {what.channel}"
        self._client: ClientId | None = None
        self.published = 0
        self.talking = True
        self.ledgers: dict[str, Ledger] = {}

    def start(self) -> None:
        for name in self._what.to:
            process, ledger = self._sim.processes[name], self.ledgers.setdefault(name, Ledger())
            client = process.connect_client("receiver", partial(self._hear, ledger))
            process.client_says(client, msgspec.json.encode({"type": "join", "channel": self._what.channel}))
        self._client = self._sim.processes[self._what.from_].connect_client("publisher", lambda frames: None)
        self._publish()

    @property
    def perfect(self) -> bool:
        return all(ledger.perfect(self.published) for ledger in self.ledgers.values())

    def reports(self) -> list[dict[str, Any]]:
        """As the lab's traffic reports itself, one per receiver."""
        what = {"from": self._what.from_, "channel": self._what.channel}
        return [{**what, "to": name, **ledger.report(self.published)} for name, ledger in self.ledgers.items()]

    def _publish(self) -> None:
        if not self.talking:
            return
        assert self._client is not None
        payload = Numbered(self._run_id, self.published, self._sim.world.now)
        frame = {"type": "event", "room": self._room, "channel": self._leaf, "payload": payload}
        self._sim.processes[self._what.from_].client_says(self._client, msgspec.json.encode(frame))
        self.published += 1
        self._sim.world.after(SECOND // self._what.per_s, self._publish)

    def _hear(self, ledger: Ledger, frames: tuple[bytes, ...]) -> None:
        for frame in frames:
            told = msgspec.json.decode(frame, type=Canonical)
            if told.type == "event":
                message = msgspec.json.decode(told.payload, type=Numbered)
                if message.run == self._run_id:
                    ledger.saw(message.n, self._sim.world.now - message.at_us)


class Simulated:
    """One run of one scenario. Raises Unmet when something waited for does not come, UsageError for a step that looks
    at what only a lab has (processes, sockets, packets of nobody)."""

    def __init__(self, topology: Topology, seed: int) -> None:
        self._topology = topology
        self.sim = Simulation(seed)
        self._changed_us = 0
        self._streams: list[Stream] = []
        self._links: dict[tuple[str, str, str], int] = {}
        """When a node last said first, since the last cut or heal, that its link to another is up or down."""
        self.measures: dict[str, list[float]] = {}

    def run(self, script: scenario.Scenario) -> dict[str, Any]:
        """What `lab.run` reports of traffic and measures."""
        self._build()
        self._each(script.steps)
        return {
            "traffic": [row for stream in self._streams for row in stream.reports()],
            "measures": figures(self.measures, script.limits),
        }

    def _build(self) -> None:
        topology, sim = self._topology, self.sim
        by_links = topology.dial == "links"
        for name, spec in topology.nodes.items():
            config = Config(
                node=NodeSettings(cluster=spec.cluster, role=spec.role, region=spec.region),
                links=LinkSettings(auto="none") if by_links else LinkSettings(),
                federation=FederationSettings(export=Rules(allow=spec.export)),
            )
            process = sim.add_config(name, config)
            process.watchers.append(self._watch)
        for a, b in combinations(topology.nodes, 2):
            link = next((link for link in topology.links if {a, b} == set(link.between)), None)
            for source, target in ((a, b), (b, a)):
                if link is None:
                    self._model(source, target).cut = True
                else:
                    set_model(self._model(source, target), topology.model_of(link))
        sim.found()
        for link in topology.links if by_links else ():
            here, there = (sim.processes[name] for name in link.between)
            assert here.endpoint is not None
            here.endpoint.want(there.node_id)
        wait_for_convergence(sim)

    def _model(self, source: str, target: str) -> LinkModel:
        processes = self.sim.processes
        return self.sim.network.path(processes[source].node_id, processes[target].node_id)

    def _each(self, steps: tuple[scenario.Step, ...]) -> None:
        for step in steps:
            name, what = step.action()
            if isinstance(what, scenario.Repeat):
                for _ in range(what.times):
                    self._each(what.steps)
                continue
            handler: Callable[[Any], None] | None = getattr(self, f"_{name}", None)
            if handler is None:
                raise UsageError("lab.not-simulated", f"the step {name} looks at what only a lab has")
            handler(what)

    # --- steps ------------------------------------------------------------------------------------------------

    def _traffic(self, what: scenario.Traffic) -> None:
        stream = Stream(self.sim, what)
        self._streams.append(stream)
        stream.start()

    def _arrives(self, what: scenario.Arrives) -> None:
        ledgers = [ledger for stream in self._streams for ledger in stream.ledgers.values()]
        before = [ledger.received for ledger in ledgers]
        self._until(
            lambda: all(ledger.received - n >= what.at_least for ledger, n in zip(ledgers, before, strict=True)),
            what.within_s,
            f"{what.at_least} more messages",
        )

    def _cut(self, what: scenario.Cut) -> None:
        a, b = what.between
        self._change()
        self.sim.cut([a], [b], one_way=what.one_way)

    def _heal(self, what: scenario.Heal) -> None:
        self._change()
        self.sim.heal()

    def _link(self, what: scenario.Link) -> None:
        for me, other in (what.between, what.between[::-1]):
            key = (me, other, what.is_)
            self._until(partial(self._links.__contains__, key), what.within_s, f"{me} says {what.is_} of {other}")
            if what.measure:
                took_ms = (self._links[key] - self._changed_us) / MILLISECOND
                self.measures.setdefault(what.measure, []).append(took_ms)

    def _roots_equal(self, what: scenario.RootsEqual) -> None:
        self._until(lambda: len({root_of(process) for process in self.sim.alive()}) == 1, what.within_s, "equal roots")
        if what.measure:
            took_ms = (self.sim.world.now - self._changed_us) / MILLISECOND
            self.measures.setdefault(what.measure, []).append(took_ms)

    def _pause(self, what: scenario.Pause) -> None:
        self.sim.run_for(int(what.s * SECOND))

    def _stop_traffic(self, what: scenario.StopTraffic) -> None:
        for stream in self._streams:
            stream.talking = False

    def _delivered(self, what: scenario.Delivered) -> None:
        self._until(lambda: all(stream.perfect for stream in self._streams), what.within_s, "all, once and in order")

    def _same_processes(self, what: scenario.SameProcesses) -> None:
        ended = [name for name, process in self.sim.processes.items() if not process.alive or process.lives != 1]
        if ended:
            raise Unmet(f"not as at the start: {', '.join(ended)}")

    # ----------------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        self._changed_us = self.sim.world.now
        self._links.clear()

    def _watch(self, process: Process, event: Event) -> None:
        if isinstance(event, LinkUp | LinkDown):
            said = "up" if isinstance(event, LinkUp) else "down"
            self._links.setdefault((process.name, self.sim.names[event.peer], said), self.sim.world.now)

    def _until(self, fits: Callable[[], bool], within_s: float, label: str) -> None:
        deadline = self.sim.world.now + int(within_s * SECOND)
        while not fits():
            if self.sim.world.now >= deadline:
                raise Unmet(f"waited {within_s:g} s for {label}")
            self.sim.run_for(LOOK_US)


def root_of(process: Process) -> bytes:
    plane = process.running.plane
    assert plane is not None, f"{process.name} is in no mesh"
    return plane.gossip.root()
