"""Nodes, the links between them, one clock for all, and what must hold of them at every moment."""

from __future__ import annotations

import random
from collections.abc import Iterable

from arqonmesh.core.events import LinkDown, LinkUp
from arqonmesh.core.kernel import SECOND
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Adjacency, Genesis, JoinPolicy, Kind, Links
from bench.partitions.gossip import Log
from bench.partitions.node import Node, Preset


class Broken(Exception):
    """A rule was broken; the sentence says which and where."""


class World:
    """Nodes, the links between them, one clock for all."""

    def __init__(self, seed: int, preset: Preset, *, tell: bool = False) -> None:
        self.seed = seed
        self.preset: Preset = preset
        self.dice = random.Random(f"partitions {seed} {preset}")
        self.now = 1_700_000_000_000_000
        self.nodes: dict[NodeId, Node] = {}
        self.edges: dict[tuple[NodeId, NodeId], None] = {}
        """Packets go from the first to the second."""
        self.tells = tell
        self.admitted = self.refused = self.invited = self.changes = 0
        self.founder = NodeId("")
        self.nodes_max = 1 << 20
        self.tickets: list[tuple[str, bytes, NodeId]] = []
        first = self.add()
        self.founder = first.id
        first.boot()
        first.say(Kind.GENESIS, "", Genesis("m", 1, first.key, "c", "hub"))
        first.say(Kind.JOIN_POLICY, "", JoinPolicy(policy="open", key_salt=b"", key_public=b""))
        self.pass_time(SECOND)

    def add(self) -> Node:
        node = Node(self, f"n{len(self.nodes)}")
        self.nodes[node.id] = node
        return node

    def tell(self, what: str) -> None:
        if self.tells:
            print(f"{(self.now - 1_700_000_000_000_000) / SECOND:9.3f}  {what}")

    def alive(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.up]

    # --- links --------------------------------------------------------------------------------------------

    def connect(self, pairs: Iterable[tuple[NodeId, NodeId]]) -> None:
        """Exactly these directions work from now on; every node whose links changed says so."""
        self.edges = dict.fromkeys((a, b) for a, b in pairs if a != b and self.nodes[a].up and self.nodes[b].up)
        for node in self.alive():
            links = {other: None for other in self.nodes if self.linked(node.id, other)}
            if links.keys() == node.links.keys():
                continue
            before, node.links = node.links, links
            for peer in {**before, **links}:  # not a set: a seed has to replay whatever the hash seed
                if peer not in links:
                    node.perform(node.router.event(self.now, LinkDown(peer, "cut")))
                elif peer not in before:
                    node.perform(node.router.event(self.now, LinkUp(peer, "quic")))
            adjacencies = tuple(Adjacency(peer, "up", "quic", 1, 0) for peer in sorted(links))
            node.say(Kind.LINKS, "", Links(adjacencies))

    def linked(self, a: NodeId, b: NodeId) -> bool:
        """A link needs both directions: its liveness is measured by answers."""
        return (a, b) in self.edges and (b, a) in self.edges

    def sides(self) -> list[list[Node]]:
        left = {node.id: node for node in self.alive()}
        sides: list[list[Node]] = []
        while left:
            _, first = left.popitem()
            side = [first]
            for here in side:
                for peer in here.links:
                    if peer in left:
                        side.append(left.pop(peer))  # noqa: PERF401 - the list grows while it is gone through
            sides.append(side)
        return sides

    # --- gossip and time ----------------------------------------------------------------------------------

    def gossip(self, *, authors: float = 1.0) -> bool:
        """Within each side everyone hears what anyone has heard; with `authors` below 1, of some authors only."""
        moved = False
        for side in self.sides():
            best: dict[NodeId, Log] = {}
            for node in side:
                for author, log in node.logs.items():
                    if author not in best or log.head > best[author].head:
                        best[author] = log
            heads = {author: log.head for author, log in best.items()}
            for author, head in heads.items():
                if authors < 1 and self.dice.random() >= authors:
                    continue
                for node in side:
                    own = node.logs.setdefault(author, Log())
                    if own.head < head:
                        moved = True
                        for record in best[author].beyond(own.head):
                            own.take(record)
                            node.apply(author, record)
        return moved

    def pass_time(self, duration_us: int) -> None:
        """Gossip and timers, until nothing more is to be said and the time is over."""
        until = self.now + duration_us
        while True:
            while self.gossip():
                pass
            dues = [due for node in self.alive() if (due := node.router.next_deadline()) is not None]
            due = min(dues, default=until)
            if due > until:
                break
            if dues:
                self.now = max(self.now, due)
                for node in self.alive():
                    node.perform(node.router.timer(self.now))
            else:
                break
        self.now = until
        self.check()

    # --- what must hold -----------------------------------------------------------------------------------

    def check(self) -> None:
        """No two sides accept governed writes, once they have noticed what they reach."""
        accepting = [side for side in self.sides() if any(node.accepts for node in side)]
        if len(accepting) > 1:
            names = [sorted(node.name for node in side) for side in accepting]
            raise Broken(f"two sides accept governed writes: {names}")

    def check_equal(self) -> None:
        """After the heal: one roster, one electorate, one view of it all."""
        states: dict[object, str] = {}
        told: dict[str, tuple[object, ...]] = {}
        for node in self.alive():
            if node.admission.member(node.id) is None:
                continue  # expelled: its admission was one too many for a ticket
            view, electorate = node.partition.view(), node.partition.electorate
            members = tuple((m.node, m.cluster, m.role) for m in node.admission.members())
            voters = tuple(sorted(electorate.voters()))
            seen = (electorate.latest, electorate.settled, view.writable, view.reachable, view.members, view.phase)
            states.setdefault((members, voters, seen), node.name)
            told[node.name] = (len(members), len(voters), *seen)
        if len(states) > 1:
            raise Broken(f"after the heal, nodes differ: {[(name, told[name]) for name in states.values()]}")
        first = next(iter(states.values()))
        if not told[first][4]:
            raise Broken(f"after the heal nobody may write: {told[first]}")
