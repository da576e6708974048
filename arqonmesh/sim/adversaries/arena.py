"""A whole mesh with adversaries in it, and what must hold of its honest members whatever those do.

    arena = Arena(seed=1, nodes=7, kinds=(Equivocator,))
    arena.settle(); arena.begin(); arena.fight(10 * SECOND); arena.peace()      # raises Broken

`kinds` are dealt to the last f = ceil(n/3) - 1 nodes. The founder is honest: whoever founds a mesh may let in anybody.
Meanwhile the honest ones talk, and one of them loses power, and with it what it had not synced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from arqonmesh.config.model import LinkSettings, PeerSettings
from arqonmesh.core.kernel import MILLISECOND, SECOND
from arqonmesh.core.peers.report import PeerReport
from arqonmesh.core.plane import Plane
from arqonmesh.ids import NodeId
from arqonmesh.sim.adversaries.adversary import Adversary
from arqonmesh.sim.adversaries.corrupted import Corrupted
from arqonmesh.sim.broken import Broken
from arqonmesh.sim.process import Process
from arqonmesh.sim.simulation import Simulation

STEP_US: Final = 250 * MILLISECOND
CONVERGENCE_US: Final = 40 * SECOND
"""Everything agrees this long after the last attack, dialling back-off and refutations included."""
TALK_US: Final = 500 * MILLISECOND
EXCUSED: Final = ("timeout",)
"""What may be held against an honest member: that it was not there."""


def faulty_max(nodes: int) -> int:
    """f = ceil(n/3) - 1."""
    return -(-nodes // 3) - 1


class Arena:
    """One mesh, one seed."""

    def __init__(
        self,
        seed: int,
        nodes: int,
        kinds: Sequence[type[Adversary]],
        *,
        faulty: int | None = None,
        peers: PeerSettings | None = None,
        links: LinkSettings | None = None,
        sim: Simulation | None = None,
        talks: bool = True,
    ) -> None:
        self.sim = Simulation(seed) if sim is None else sim
        self.faulty = faulty_max(nodes) if faulty is None else faulty
        self.contained_us: dict[str, int] = {}
        """Adversary: how long after the beginning the last of those it can harm ignored it."""
        self.absence_excused = False
        """Nobody's absence is held against this trial: a line is cut where one of it is down."""
        self.watchers: list[Callable[[], None]] = []
        """Called at each step of a fight."""
        self._peers = peers
        self._links = links
        self._talks = talks
        self._dice = self.sim.world.dice("arena")
        self._began_us = 0
        self.lost_power: dict[str, None] = {}
        self.honest = [self._add(f"node-{number}", Process) for number in range(nodes - self.faulty)]
        machines = [self._add(f"bad-{number}", Corrupted) for number in range(self.faulty)]
        self.adversaries = [
            kinds[number % len(kinds)](machine)
            for number, machine in enumerate(machines)
            if isinstance(machine, Corrupted)
        ]
        self._introduce()

    # --- the story ----------------------------------------------------------------------------------------

    def settle(self, within_us: int = 20 * SECOND) -> None:
        """Found the mesh unless it is, wait until all agree, and let the honest ones talk."""
        if self.sim.mesh is None:
            self.sim.found()
        self._wait(within_us)
        self.sim.talk()

    def begin(self) -> None:
        self._began_us = self.sim.world.now
        self.sim.tell("world", f"{', '.join(f'{one.process.name} ({one.NAME})' for one in self.adversaries)} begin")
        self.sim.trouble()
        for adversary in self.adversaries:
            adversary.begin()

    def fight(self, duration_us: int, *, power: bool = True) -> None:
        """Let them; in the middle an honest node loses power for a second."""
        until = self.sim.world.now + duration_us
        off_at = self.sim.world.now + duration_us // 3 if power else None
        while self.sim.world.now < until:
            if off_at is not None and self.sim.world.now >= off_at:
                off_at = None
                self._power_cut()
            self.sim.run_for(STEP_US)
            self._look()
            self.check()
            for look in self.watchers:
                look()

    def peace(self, *, within_us: int = CONVERGENCE_US) -> None:
        """The attacks cease. Honest nodes agree on everything, and have heard from each other all that was said."""
        for adversary in self.adversaries:
            adversary.cease()
        self.sim.tell("world", "the adversaries behave")
        self.sim.hush()
        self._wait(within_us)
        self.sim.run_for(SECOND)
        self.check()
        missing = self.sim.ledger.missing([process.name for process in self.honest])
        missing = [(listener, message) for listener, message in missing if message.origin in self._honest_names]
        if missing:
            raise Broken(f"lost: {missing[0][0]} never heard {missing[0][1]} ({len(missing)} such)")

    def admit(self, name: str, kind: type[Adversary]) -> Adversary:
        """The founder lets one more in."""
        machine = self._add(name, Corrupted)
        assert isinstance(machine, Corrupted)
        if not self.sim.admit(self.honest[0].name, machine):
            raise Broken(f"{self.honest[0].name} may let nobody in")
        self.sim.run_for(2 * SECOND)
        adversary = kind(machine)
        self.adversaries.append(adversary)
        self._introduce()
        return adversary

    def relink(self, links: Sequence[tuple[Process, Process]]) -> None:
        """These links and no others. For nodes that choose none themselves (`links.auto: none`)."""
        wanted = {(a.node_id, b.node_id) for a, b in links} | {(b.node_id, a.node_id) for a, b in links}
        for process in self.sim.processes.values():
            endpoint = process.endpoint
            assert endpoint is not None
            for peer in list(endpoint.ends):
                if (process.node_id, peer) not in wanted:
                    endpoint.forget(peer)
                    endpoint.disconnect(peer, "rewired")
        for a, b in links:
            want = partial(_want, peer=b.node_id)
            a.on_boot.append(want)  # what an operator configured is there again after a restart
            want(a)

    # --- what is seen -------------------------------------------------------------------------------------

    def opinions(self, party: NodeId) -> list[PeerReport]:
        """What each honest node that runs thinks of this one."""
        return [plane_of(p).peers.view(p.now(), party) for p in self.running if p.node_id != party]

    def score_ppm(self, adversary: Adversary) -> int:
        """The highest that it has with anyone whom it has harmed, or if it sent nothing itself, with anyone."""
        harmed = [p for p in self.running if p.node_id in adversary.harmed]
        return max(plane_of(p).peers.score_ppm(p.now(), adversary.node) for p in harmed or self.running)

    @property
    def running(self) -> list[Process]:
        return [process for process in self.honest if process.alive]

    # --- what must hold -----------------------------------------------------------------------------------

    def check(self) -> None:
        """At every moment: nothing delivered that should not be, nobody honest convicted, blamed or held dead, and no
        honest node turns away from more than f on observations alone."""
        sim = self.sim
        breaches = sim.ledger.breaches
        breaches[:] = [told for told in breaches if told.split()[0] in self._honest_names]  # the others' are their own
        if breaches:
            raise Broken(f"delivery: {breaches[0]} ({len(breaches)} breaches)")
        for process in self.running:
            self._check_opinions(process)
            plane = plane_of(process)
            forked = [sim.names.get(node, node) for node in plane.gossip.forked if node in self._honest_ids]
            if forked:
                raise Broken(f"{process.name} holds that honest {forked[0]} forked")
            for other in self.running:
                state = plane.membership.state_of(other.node_id)
                gone = state == "left" or (
                    state == "dead" and not self.absence_excused and other.name not in self.lost_power
                )
                if gone:
                    raise Broken(f"{process.name} holds {other.name} {state}, which runs")

    def disagreement(self) -> str:
        """Empty when the honest nodes agree on everything."""
        roots: dict[object, str] = {}
        for process in self.honest:
            if not process.alive:
                return f"{process.name} is down"
            plane = plane_of(process)
            for other in self.honest:
                state = plane.membership.state_of(other.node_id)
                if state != "alive":
                    return f"{process.name} sees {other.name} as {state or 'unknown'!r}"
                linked = process.endpoint is not None and other.node_id in process.endpoint.ends
                if linked and plane.federation.backlog(other.node_id):
                    return f"{process.name} still owes {other.name} messages"
            if not self.sim.observer.writable.get(process.name):
                return f"{process.name} is read-only"
            roster = tuple(member.node for member in plane.admission.members())
            roots.setdefault((plane.gossip.root(), plane.gossip.verdicts, roster), process.name)
        return f"records differ between {' and '.join(roots.values())}" if len(roots) > 1 else ""

    # --- private ------------------------------------------------------------------------------------------

    def _add(self, name: str, kind: type[Process]) -> Process:
        return self.sim.add(
            name,
            kind=kind,
            peers=self._peers,
            links=self._links,
            talks_every_us=TALK_US if self._talks and kind is not Corrupted else 0,
        )

    def _introduce(self) -> None:
        """Tell the adversaries of each other, and of their victims."""
        self._honest_ids = {process.node_id: None for process in self.honest}
        self._honest_names = {process.name: None for process in self.honest}
        for adversary in self.adversaries:
            adversary.gang = tuple(other.node for other in self.adversaries)
            adversary.victims = tuple(sorted(self._honest_ids))

    def _power_cut(self) -> None:
        victim = self.honest[self._dice.randrange(1, len(self.honest))].name
        self.lost_power[victim] = None
        self.sim.power_off(victim)
        self.sim.world.after(SECOND, self._power_back, victim)

    def _power_back(self, name: str) -> None:
        if not self.sim.processes[name].alive:
            self.sim.boot(name)

    def _wait(self, within_us: int) -> None:
        until = self.sim.world.now + within_us
        while missing := self.disagreement():
            if self.sim.world.now >= until:
                raise Broken(f"no convergence within {within_us // SECOND} s: {missing}")
            self.sim.run_for(STEP_US)
            self._look()
            self.check()

    def _check_opinions(self, process: Process) -> None:
        peers, now = plane_of(process).peers, process.now()
        observed = 0
        for name, other in self.sim.processes.items():
            if other is process or other.node_id not in peers:
                continue
            opinion = peers.view(now, other.node_id)
            observed += opinion.ignored and opinion.score_ppm > 0
            if name not in self._honest_names:
                continue
            causes = [told for told in opinion.causes if not self._excused(name, told.cause, told.evidence)]
            if causes:
                raise Broken(f"{process.name} blames honest {name} for {causes[-1].cause}")
            if opinion.ignored:
                raise Broken(f"{process.name} ignores honest {name}")
        members = len(plane_of(process).admission.members())
        if observed > faulty_max(members):
            raise Broken(f"{process.name} ignores {observed} of {members} members on observations alone")

    def _excused(self, name: str, cause: str, evidence: bytes) -> bool:
        """Who lost power was not there; who let in a convict pays its share, and no more than that."""
        if cause == "invitee-convicted":
            return NodeId(evidence.decode()) not in self._honest_ids
        return cause in EXCUSED and (name in self.lost_power or self.absence_excused)

    def _look(self) -> None:
        """Note who is contained by now: below one half with every honest node that it has harmed."""
        for adversary in self.adversaries:
            name = adversary.process.name
            if name not in self.contained_us and adversary.active and self.score_ppm(adversary) < 500_000:
                self.contained_us[name] = self.sim.world.now - self._began_us


def _want(process: Process, peer: NodeId) -> None:
    if process.endpoint is not None:
        process.endpoint.want(peer)


def plane_of(process: Process) -> Plane:
    plane = process.running.plane
    assert plane is not None, f"{process.name} is no member"
    return plane
