"""A mesh in a world: processes, the network between them, what goes wrong, and the story of it.

sim = Simulation(seed)
sim.add("hub"); sim.add("factory", role="spoke"); sim.found()      # one mesh, everyone admitted, everyone booted
sim.run_for(5 * SECOND); sim.cut("hub", "factory"); ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, cast

from arqonmesh.config.model import (
    Config,
    FederationSettings,
    GossipSettings,
    LinkSettings,
    MembershipSettings,
    NodeSettings,
    Rules,
)
from arqonmesh.core.events import (
    Dropped,
    Fault,
    Forked,
    LinkDown,
    LinkUp,
    MemberChanged,
    PartitionChanged,
    Publish,
    ScoreChanged,
)
from arqonmesh.core.kernel import SECOND, Event
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.ids import MeshId, NodeId, encode_ulid
from arqonmesh.sim.ledger import Ledger
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.network import Network
from arqonmesh.sim.process import Process
from arqonmesh.sim.workload import EXPORTED, Listener, Talker, parse_frame
from arqonmesh.sim.world import EPOCH_MS, World
from arqonmesh.wire.statement import Admission, Genesis, JoinPolicy, Kind

ORIGIN_MEMORY_US: Final = 5 * SECOND
"""What a node's clients said so shortly before it died may have been in its memory only: a bus is no durable stream."""
CALM_AFTER_US: Final = 20 * SECOND
"""After the last trouble, links may take as long as the dialler's longest pause to come back."""


class Simulation:
    """Names are those of processes; each is a cluster of its own unless told otherwise."""

    def __init__(self, seed: int, model: Callable[[], LinkModel] = LinkModel) -> None:
        self.world = World(seed)
        self.network = Network(self.world, model)
        self.ledger = Ledger(self._may_hear, self._must_hear)
        self.processes: dict[str, Process] = {}
        self.talkers: dict[str, Talker] = {}
        self.mesh: MeshIdentity | None = None
        self.names: dict[NodeId, str] = {}
        self.writable: dict[str, bool] = {}
        """Nodes that run, and whether they say that this side may write."""
        self.dropped: dict[tuple[str, str], int] = {}
        self.faults: dict[tuple[str, str, str], int] = {}
        """(accuser, party, cause). Nobody misbehaves here, so each is a bug, or a false accusation."""
        self.forks: list[str] = []
        self.false_dead: list[str] = []
        """Who held a running, reachable node dead, and when."""
        self.calm_since: int | None = 0
        """Since when nothing has been wrong in this world; None while something is."""
        self.cuts: dict[tuple[str, str], None] = {}

    # --- building -----------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        *,
        cluster: str = "",
        role: Literal["hub", "spoke", "leader"] = "hub",
        region: str = "sim",
        links: LinkSettings | None = None,
        membership: MembershipSettings | None = None,
        gossip: GossipSettings | None = None,
        talks_every_us: int = 0,
    ) -> Process:
        config = Config(
            node=NodeSettings(cluster=cluster or name, role=role, region=region),
            links=links or LinkSettings(),
            membership=membership or MembershipSettings(),
            gossip=gossip or GossipSettings(),
            federation=FederationSettings(export=Rules(allow=("telemetry:*",))),
        )
        process = Process(self.world, self.network, name, config)
        process.watchers.append(self._watch)
        self.processes[name] = process
        self.names[process.node_id] = name
        Listener(process, self.ledger)
        if talks_every_us:
            self.talkers[name] = Talker(process, self.ledger, talks_every_us)
        return process

    def found(self) -> None:
        """The first process founds the mesh and admits all others, who then boot with what a joiner is given."""
        founder, *others = self.processes.values()
        mesh_id = MeshId(encode_ulid(EPOCH_MS, self.world.dice("mesh id").getrandbits(80)))
        founder.boot(MeshIdentity(mesh_id=mesh_id, founder=founder.node_id))
        settings = founder.config.node
        statements = [
            Publish(Kind.GENESIS, "", Genesis("sim", EPOCH_MS, founder.public_key, settings.cluster, settings.role)),
            Publish(Kind.JOIN_POLICY, "", JoinPolicy("key", b"", b"")),
            *(
                Publish(
                    Kind.ADMISSION,
                    other.node_id,
                    Admission(
                        node_key=other.public_key,
                        cluster=other.config.node.cluster,
                        role=other.config.node.role,
                        ticket_id="",
                        uses=0,
                        admitted_ms=EPOCH_MS,
                        channel_binding=b"",
                        signature=b"",
                    ),
                )
                for other in others
            ),
        ]
        founder.perform(founder.running.publish(founder.now(), statements))
        self.world.run_for(SECOND)
        plane = founder.running.plane
        assert plane is not None
        bootstrap = plane.gossip.encoded_for_join()
        self.mesh = MeshIdentity(mesh_id=mesh_id, founder=founder.node_id, bootstrap=bootstrap)
        founder.mesh = self.mesh
        self.tell("world", f"{founder.name} founds the mesh and admits {len(others)} nodes")
        for other in others:
            other.boot(self.mesh)
            assert other.endpoint is not None
            if other.config.links.auto == "overlay":  # or the founder would keep a link to everyone
                told = ((founder.node_id, (f"{founder.name}.sim:9130",)),)
                other.perform(other.running.introduce(other.now(), told))
            else:
                other.endpoint.want(founder.node_id)

    # --- time and words -----------------------------------------------------------------------------------

    def run_for(self, duration_us: int) -> None:
        self.world.run_for(duration_us)

    def tell(self, who: str, what: str) -> None:
        self.world.trace.tell(self.world.now, who, what)

    def talk(self) -> None:
        """All talkers begin."""
        self.tell("world", "bus clients begin to talk")
        for talker in self.talkers.values():
            talker.start()

    def hush(self) -> None:
        self.tell("world", "bus clients fall silent")
        for talker in self.talkers.values():
            talker.talking = False

    # --- what goes wrong ----------------------------------------------------------------------------------

    def cut(self, some: Sequence[str], others: Sequence[str], *, one_way: bool = False) -> None:
        """Silently: packets from `some` to `others` vanish, and those back unless `one_way`."""
        self.trouble()
        arrow = "-/->" if one_way else "<-/->"
        self.tell("network", f"silently cut: {' '.join(some)} {arrow} {' '.join(others)}")
        for a in some:
            for b in others:
                self._set_cut(a, b, True)
                if not one_way:
                    self._set_cut(b, a, True)

    def heal(self) -> None:
        """Every cut is mended."""
        if self.cuts:
            self.tell("network", "all cuts are mended")
        for a, b in list(self.cuts):
            self._set_cut(a, b, False)

    def crash(self, name: str) -> None:
        """kill -9."""
        self._down(name, "is killed", Process.crash)

    def power_off(self, name: str) -> None:
        """The plug."""
        self.ledger.forgetful[name] = None
        self._down(name, "loses power", Process.power_off)
        self.ledger.origin_died(name, self.world.now, self.world.now)

    def boot(self, name: str) -> None:
        process = self.processes[name]
        assert process.mesh is not None
        self.tell(name, "starts again")
        process.boot(process.mesh)

    def pause(self, name: str) -> None:
        self.trouble()
        self.tell(name, "is stopped (SIGSTOP)")
        self.processes[name].pause()

    def resume(self, name: str) -> None:
        self.tell(name, "goes on (SIGCONT)")
        self.processes[name].resume()

    def trouble(self) -> None:
        """Something is wrong from now on: what nodes say of each other may be wrong too."""
        self.calm_since = None

    def calm(self) -> None:
        """Nothing is wrong any more: cuts mended, everyone up."""
        self.heal()
        for name, process in self.processes.items():
            if process.paused:
                self.resume(name)
            if not process.alive:
                self.boot(name)
        self.calm_since = self.world.now

    # --- what is seen -------------------------------------------------------------------------------------

    def alive(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]

    def sides(self) -> list[list[str]]:
        """Groups of running nodes that reach each other, over others if need be, both ways."""
        if not self.cuts:
            running = [process.name for process in self.alive() if not process.paused]
            return [running] if running else []
        left = [process.name for process in self.alive() if not process.paused]
        groups: list[list[str]] = []
        while left:
            group, queue = [left[0]], [left.pop(0)]
            while queue:
                here = queue.pop()
                for there in list(left):
                    if (here, there) not in self.cuts and (there, here) not in self.cuts:
                        left.remove(there)
                        group.append(there)
                        queue.append(there)
            groups.append(group)
        return groups

    # --- private ------------------------------------------------------------------------------------------

    def _may_hear(self, listener: str, origin: str, channel: str) -> bool:
        """Everyone exports one channel and imports all: the other one stays in its cluster."""
        clusters = [self.processes[name].config.node.cluster for name in (listener, origin)]
        return channel == EXPORTED or clusters[0] == clusters[1]

    def _must_hear(self, listener: str, origin: str, channel: str) -> bool:
        """What may not leave a cluster needs a chain of its nodes, each linked to the next: one of them a hub."""
        if channel == EXPORTED or listener == origin:
            return True
        if not self._may_hear(listener, origin, channel):
            return False
        ours = [
            p for p in self.processes.values() if p.config.node.cluster == self.processes[origin].config.node.cluster
        ]
        return any(process.config.node.role == "hub" for process in ours)

    def _set_cut(self, a: str, b: str, cut: bool) -> None:
        self.network.path(self.processes[a].node_id, self.processes[b].node_id).cut = cut
        if cut:
            self.cuts[a, b] = None
        else:
            self.cuts.pop((a, b), None)

    def _down(self, name: str, how: str, kill: Callable[[Process], None]) -> None:
        self.trouble()
        process = self.processes[name]
        plane = process.running.plane
        if plane is not None:
            for _, _, frame in plane.federation.in_hand():
                message = parse_frame(frame)
                if message is not None:
                    self.ledger.excused[name, message] = None
        self.ledger.origin_died(name, self.world.now, ORIGIN_MEMORY_US)
        self.writable.pop(name, None)
        self.tell(name, how)
        kill(process)

    def _watch(self, process: Process, event: Event) -> None:
        teller = _TELLERS.get(type(event))
        if teller is not None:
            teller(self, process, event)

    def _link_up(self, process: Process, event: Event) -> None:
        self.tell(process.name, f"link to {self.names[cast(LinkUp, event).peer]} is up")

    def _link_down(self, process: Process, event: Event) -> None:
        down = cast(LinkDown, event)
        self.tell(process.name, f"link to {self.names[down.peer]} is down: {down.reason}")

    def _member(self, process: Process, event: Event) -> None:
        change = cast(MemberChanged, event)
        name = self.names.get(change.node, "a stranger")
        self.tell(process.name, f"sees {name} {change.new}: {change.reason}")
        calm = self.calm_since is not None and self.world.now - self.calm_since > CALM_AFTER_US
        if change.new == "dead" and calm and self.processes[name].alive:
            self.false_dead.append(
                f"{process.name} held {name} dead at {self.world.now / SECOND:.3f} s: {change.reason}"
            )

    def _partition(self, process: Process, event: Event) -> None:
        view = cast(PartitionChanged, event)
        self.writable[process.name] = view.writable
        may = "may write" if view.writable else "read-only"
        self.tell(
            process.name,
            f"mesh is {view.state}, {may}: reaches {view.reachable} of {view.members}, needs {view.required}",
        )

    def _fault(self, process: Process, event: Event) -> None:
        fault = cast(Fault, event)
        key = (process.name, self.names.get(fault.party, fault.party), fault.cause)
        self.faults[key] = self.faults.get(key, 0) + 1
        self.tell(process.name, f"blames {key[1]}: {fault.cause}")

    def _score(self, process: Process, event: Event) -> None:
        change = cast(ScoreChanged, event)
        self.world.trace.add(self.world.now, process.name, f"score {change.node} {change.score_ppm}")

    def _fork(self, process: Process, event: Event) -> None:
        fork = cast(Forked, event)
        sentence = f"{process.name} proves that {self.names[fork.author]} forked at {fork.epoch}.{fork.seq}"
        self.forks.append(sentence)
        self.tell(process.name, sentence)

    def _drop(self, process: Process, event: Event) -> None:
        drop = cast(Dropped, event)
        key = (drop.where, drop.reason)
        self.dropped[key] = self.dropped.get(key, 0) + drop.count
        self.world.trace.add(self.world.now, process.name, f"drops {drop.where} {drop.reason} {drop.count}")


_TELLERS: Final[dict[type[Event], Callable[[Simulation, Process, Event], None]]] = {
    LinkUp: Simulation._link_up,
    LinkDown: Simulation._link_down,
    MemberChanged: Simulation._member,
    PartitionChanged: Simulation._partition,
    Fault: Simulation._fault,
    ScoreChanged: Simulation._score,
    Forked: Simulation._fork,
    Dropped: Simulation._drop,
}
