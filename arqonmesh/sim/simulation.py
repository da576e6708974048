"""A mesh in a world: processes, the network between them, what goes wrong, and the story of it.

sim = Simulation(seed)
sim.add("hub"); sim.add("factory", role="spoke"); sim.found()      # one mesh, everyone admitted, everyone booted
sim.run_for(5 * SECOND); sim.cut(["hub"], ["factory"]); ...

What it sees is kept elsewhere: who does not reach whom in cuts.py, what nodes tell in observer.py, what their clients
say and hear in ledger.py.

Many full nodes share memory of the process (sharing.py), and `with Simulation(seed) as sim:` or `sim.close()` gives it
back.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final, Literal, Self

from arqonmesh.config.model import (
    Config,
    FederationSettings,
    GossipSettings,
    LinkSettings,
    MembershipSettings,
    NodeSettings,
    PeerSettings,
    Rules,
)
from arqonmesh.core.events import Publish
from arqonmesh.core.kernel import SECOND
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.ids import MeshId, NodeId, encode_ulid
from arqonmesh.sim.credentials import Witness
from arqonmesh.sim.cuts import Cuts
from arqonmesh.sim.ledger import Ledger
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.network import Network
from arqonmesh.sim.observer import Observer
from arqonmesh.sim.process import Process
from arqonmesh.sim.roster import JOIN_POLICY, admission_of, genesis_of
from arqonmesh.sim.workload import CHANNELS, EXPORTED, Listener, Talker, parse_frame
from arqonmesh.sim.world import EPOCH_MS, World
from arqonmesh.wire.statement import Kind

ORIGIN_MEMORY_US: Final = 5 * SECOND
"""What a node's clients said so shortly before it died may have been in its memory only: a bus is no durable stream."""
ADMISSION_US: Final = SECOND // 2
"""From a node's admission until it starts: by then the admission is on disk, or never will be."""
FAREWELL_US: Final = SECOND
"""From a node's farewell until it is gone."""


class Simulation:
    """Names are those of processes; each is a cluster of its own unless told otherwise."""

    def __init__(self, seed: int, model: Callable[[], LinkModel] = LinkModel) -> None:
        self.world = World(seed)
        self.network = Network(self.world, model)
        self.ledger = Ledger(self._may_hear, self._must_hear)
        self.processes: dict[str, Process] = {}
        """Machines whose nodes belong to the mesh, running or not."""
        self.departed: dict[str, Process] = {}
        """Machines whose nodes left the mesh for good."""
        self.talkers: dict[str, Talker] = {}
        self.mesh: MeshIdentity | None = None
        self.names: dict[NodeId, str] = {}
        self.observer = Observer(
            self.world, self.ledger, self.names, lives=self._lives, calm_since=lambda: self.calm_since
        )
        self.peaks: dict[str, int] = {}
        """The most that any node held in each of its queues, as seen at sample points."""
        self.calm_since: int | None = 0
        """Since when nothing has been wrong in this world; None while something is."""
        self.cuts = Cuts(self.path)
        self.witness: Witness | None = None
        """Set where nodes show each other leaf certificates."""
        self.settled_us = 0
        """How long after the last trouble all agreed."""
        self.ends = ExitStack()
        """What it holds of the process, given back by `close`, or when nobody has it any more."""
        weakref.finalize(self, self.ends.close).atexit = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Its story is over; what has happened in it may still be asked, and nothing changes if it goes on."""
        self.ends.close()

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
        peers: PeerSettings | None = None,
        talks_every_us: int = 0,
        kind: type[Process] = Process,
    ) -> Process:
        config = Config(
            node=NodeSettings(cluster=cluster or name, role=role, region=region),
            links=links or LinkSettings(),
            membership=membership or MembershipSettings(),
            gossip=gossip or GossipSettings(),
            peers=peers or PeerSettings(),
            federation=FederationSettings(export=Rules(allow=("telemetry:*",))),
        )
        return self.add_config(name, config, talks_every_us=talks_every_us, kind=kind)

    def add_config(
        self,
        name: str,
        config: Config,
        *,
        talks_every_us: int = 0,
        channels: Sequence[str] = CHANNELS,
        kind: type[Process] = Process,
    ) -> Process:
        """A machine of any settings; its clients hear and say `channels`."""
        process = kind(self.world, self.network, name, config)
        process.watchers.append(self.observer.watch)
        if self.mesh is None:
            self.processes[name] = process
        self.names[process.node_id] = name
        Listener(process, self.ledger, channels)
        if talks_every_us:
            self.talkers[name] = Talker(process, self.ledger, talks_every_us, channels)
        return process

    def admit(self, by: str, process: Process) -> bool:
        """A member lets this new machine's node in, as an operator's word; it boots once that is known to be on disk.
        False, and nothing has happened, when `by` may not let anyone in at the moment."""
        admitter = self.processes[by]
        plane = None if admitter.node is None or admitter.paused else admitter.node.plane
        if plane is None or not plane.partition.writable:
            return False
        admission = Publish(Kind.ADMISSION, process.node_id, admission_of(process, admitter.wall_ms()))
        self.tell(by, f"lets {process.name} in")
        admitter.perform(admitter.running.publish(admitter.now(), (admission,)))
        life = admitter.lives

        def begin() -> None:
            if not admitter.alive or admitter.lives != life or plane.admission.member(process.node_id) is None:
                self.tell(process.name, "was never let in after all")
                return
            self.processes[process.name] = process
            self.ledger.owed_from[process.name] = 1 << 62
            identity = MeshIdentity(
                mesh_id=plane.mesh.mesh_id, founder=plane.mesh.founder, bootstrap=plane.gossip.encoded_for_join()
            )
            self.tell(process.name, "enters the mesh")
            process.boot(identity)
            told = ((admitter.node_id, (f"{admitter.name}.sim:9130",)),)
            process.perform(process.running.introduce(process.now(), told))
            if process.endpoint is not None and process.config.links.auto != "overlay":
                process.endpoint.want(admitter.node_id)

        self.world.after(ADMISSION_US, begin)
        return True

    def found(self) -> None:
        """The first process founds the mesh and admits all others, who then boot with what a joiner is given."""
        founder, *others = self.processes.values()
        mesh_id = MeshId(encode_ulid(EPOCH_MS, self.world.dice("mesh id").getrandbits(80)))
        founder.boot(MeshIdentity(mesh_id=mesh_id, founder=founder.node_id))
        statements = [
            Publish(Kind.GENESIS, "", genesis_of(founder)),
            Publish(Kind.JOIN_POLICY, "", JOIN_POLICY),
            *(Publish(Kind.ADMISSION, other.node_id, admission_of(other)) for other in others),
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
                self.cuts.set(a, b, True)
                if not one_way:
                    self.cuts.set(b, a, True)

    def heal(self) -> None:
        """Every cut is mended."""
        if self.cuts:
            self.tell("network", "all cuts are mended")
        self.cuts.mend()

    def crash(self, name: str) -> None:
        """kill -9."""
        self._down(name, "is killed", Process.crash)

    def power_off(self, name: str) -> None:
        """The plug."""
        self.ledger.forgetful[name] = None
        self._down(name, "loses power", Process.power_off)
        self.ledger.origin_died(name, self.world.now, self.world.now)

    def disk_error(self, name: str) -> None:
        """The next write of this machine fails."""
        process = self.processes[name]
        if process.alive:
            process.fail_disk(lambda: self._falls(process, "has a disk error, and stops"))

    def leave(self, name: str) -> None:
        """Say farewell, and be gone a second later, for good."""
        process = self.processes[name]
        if not process.alive or process.paused:
            return
        self.trouble()
        self.tell(name, "says farewell")
        self.ledger.leavers[name] = None
        process.perform(process.running.say_farewell(process.now()))
        self.world.after(FAREWELL_US, self._gone, process)

    def boot(self, name: str) -> None:
        process = self.processes[name]
        assert process.mesh is not None
        self.observer.boots(name)
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

    def expects_link(self, a: str, b: str) -> bool:
        """Whether what `a` keeps for `b` has a link to leave by. The overlay gives links up for others: what is still
        kept for a former neighbour came to it by another way, or `check_complete` will say so."""
        one = self.processes[a]
        if one.config.links.auto != "overlay":
            return True
        return one.endpoint is not None and self.processes[b].node_id in one.endpoint.ends

    def machine(self, name: str) -> Process:
        """By its name, also when it has left."""
        return self.processes.get(name) or self.departed[name]

    def path(self, a: str, b: str) -> LinkModel:
        """The way of packets from one machine to another."""
        return self.network.path(self.machine(a).node_id, self.machine(b).node_id)

    def alive(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]

    def sides(self) -> list[list[str]]:
        """Groups of running nodes that reach each other, over others if need be, both ways."""
        return self.cuts.sides(process.name for process in self.alive() if not process.paused)

    # --- private ------------------------------------------------------------------------------------------

    def _lives(self, name: str) -> bool:
        return name in self.processes and self.processes[name].alive

    def _may_hear(self, listener: str, origin: str, channel: str) -> bool:
        """Everyone exports one channel and imports all: the other one stays in its cluster."""
        clusters = [self.machine(name).config.node.cluster for name in (listener, origin)]
        return channel == EXPORTED or clusters[0] == clusters[1]

    def _must_hear(self, listener: str, origin: str, channel: str) -> bool:
        """What may not leave a cluster needs a chain of its nodes, each linked to the next: one of them a hub."""
        if channel == EXPORTED or listener == origin:
            return True
        if not self._may_hear(listener, origin, channel):
            return False
        ours = [p for p in self.processes.values() if p.config.node.cluster == self.machine(origin).config.node.cluster]
        return any(process.config.node.role == "hub" for process in ours)

    def _down(self, name: str, how: str, kill: Callable[[Process], None]) -> None:
        process = self.processes[name]
        self._falls(process, how)
        kill(process)

    def _gone(self, process: Process) -> None:
        if self.processes.pop(process.name, None) is None:
            return
        if process.alive:
            self._falls(process, "is gone")
            process.crash()
        self.departed[process.name] = process

    def _falls(self, process: Process, how: str) -> None:
        """What its death takes with it. It lives still."""
        self.trouble()
        name = process.name
        self.observer.fell(name)
        plane = process.running.plane
        if plane is not None:
            for _, _, frame in plane.federation.in_hand():
                message = parse_frame(frame)
                if message is not None:
                    self.ledger.excused[name, message] = None
        self.ledger.origin_died(name, self.world.now, ORIGIN_MEMORY_US)
        self.tell(name, how)
