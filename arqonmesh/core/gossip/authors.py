"""Only members are authors: what is taken in when one is admitted, and let go when one is expelled."""

from __future__ import annotations

from arqonmesh.core.events import Forked
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.forks import Fork
from arqonmesh.core.gossip.intake import Intake
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.repair import Repair
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.gossip.telling import Telling
from arqonmesh.core.gossip.waiting import KeyOf, WaitingRoom
from arqonmesh.core.kernel import Effect, Emit, Instant, Persist
from arqonmesh.ids import NodeId


class Authors:
    """Keeps the replica in step with the roster."""

    def __init__(
        self,
        me: NodeId,
        keys: KeyOf,
        limits: Limits,
        replica: Replica,
        telling: Telling,
        waiting: WaitingRoom,
        intake: Intake,
        repair: Repair,
    ) -> None:
        self._me = me
        self._keys = keys
        self._limits = limits
        self._replica = replica
        self._telling = telling
        self._waiting = waiting
        self._intake = intake
        self._repair = repair
        self._shelved: dict[NodeId, Fork] = {}
        """Proofs against authors that are no members at present."""

    def awaits(self, node: NodeId) -> bool:
        """Whether its admission changes anything here."""
        return node in self._shelved or node in self._waiting

    def admitted(self, now: Instant, node: NodeId) -> list[Effect]:
        """Convict it of what it was known to have done before it was expelled, and tell so again: who was told forgot
        it with the member. Then take in what waited for it."""
        effects: list[Effect] = []
        fork = self._shelved.pop(node, None)
        if fork is not None:
            writes, told = self._telling.taken_back(self._replica.convict(node, fork) or [])
            effects += [Persist(-1, (*writes, disk.fork_row(node, fork)))]
            effects += [Emit(Forked(node, *fork.cut, fork.first, fork.second, restored=True)), *told]
            effects += self._telling.uninvited(node, fork.cut)
        run, source = self._waiting.take(node)
        if run is not None:
            effects += self._intake.merge(now, (run,))[0]
        return effects if source is None else effects + self._repair.ask_about(now, source, (node,))

    def expelled(self, node: NodeId) -> list[Effect]:
        """What it said goes with it, and with that whom it let in. The proof that it forked is kept for the day on
        which it comes back; and our own log is, or we would begin it anew and fork ourselves."""
        self._intake.early.forget(node)
        if node not in self._replica.authors or node == self._me:
            return []
        fork = self._replica.forks.get(node)
        if fork is not None and len(self._shelved) < self._limits.authors:
            self._shelved[node] = fork
        writes, told = self._telling.taken_back(self._replica.forget(node))
        return [Persist(-1, (*writes, *disk.author_rows(node, proof=node in self._shelved)), sync=False), *told]

    def sweep(self) -> list[Effect]:
        """Before the first comparison: hold nothing of authors that are no members (an expulsion that did not reach the
        disk, an admission whose row was lost; the latter's come back)."""
        strangers = [a for a in self._replica.sorted_authors() if a != self._me and self._keys(a) is None]
        return [effect for author in strangers for effect in self.expelled(author)]
