"""Whole overlays in a field of nodes, and what must hold of all of them together."""

from __future__ import annotations

import random

from arqonmesh.config.model import LinkSettings, OverlaySettings
from arqonmesh.core.events import MemberIntroduced
from arqonmesh.core.kernel import MILLISECOND, SECOND, Core
from arqonmesh.core.overlay.core import Overlay, OverlayReport
from arqonmesh.core.topology import Topology
from arqonmesh.ids import NodeId
from arqonmesh.sim.field import EnvOf, Field, FieldNode, uniform

HERE = ("field:1",)


class Cuttable(Field):
    """A field in which packets between two sides may vanish: no dial across comes to anything."""

    first_of_other_side: int | None = None

    def cut(self, first_of_other_side: int) -> None:
        """Links across break, too."""
        self.first_of_other_side = first_of_other_side
        for node in self.nodes:
            for peer in list(node.links):
                if self._apart(node.index, self.by_id[peer]):
                    self.unlink(node.index, self.by_id[peer], "timeout")

    def heal(self) -> None:
        self.first_of_other_side = None

    def _apart(self, one: int, other: int) -> bool:
        border = self.first_of_other_side
        return border is not None and (one < border) != (other < border)

    def _shake_hands(self, node: FieldNode, peer: NodeId, wish: int) -> None:
        if not self._apart(node.index, self.by_id[peer]):
            super()._shake_hands(node, peer, wish)
        elif node.alive and node.wanted.get(peer) == wish:
            self._shake_hands_after(self._redial_us, node, peer)


class Mesh:
    """Nodes with the overlay and its topology core; everyone knows where everyone listens."""

    def __init__(self, settings: OverlaySettings | None = None, seed: int = 1) -> None:
        self.settings = settings or OverlaySettings(active_max=5)
        self.field = Cuttable(seed, uniform(seed, MILLISECOND, 20 * MILLISECOND))
        self.dice = random.Random(seed)

    def compose(self, env: EnvOf) -> tuple[Core, ...]:
        founder = self.field.nodes[0].id
        topology = Topology(env("topology"), LinkSettings(auto="overlay"), founder)
        return topology, Overlay(env("overlay"), self.settings, founder, lambda _: HERE)

    def join(self, contact: int | None) -> int:
        index = self.field.add(self.compose).index
        if contact is not None:
            self.field.tell(index, MemberIntroduced(self.field.nodes[contact].id))
        return index

    def grow(self, count: int) -> None:
        for index in range(count):
            self.join(self.dice.randrange(0, index) if index else None)
            self.field.run_for(100 * MILLISECOND)

    def run(self, seconds: int) -> None:
        self.field.run_for(seconds * SECOND)

    def id(self, index: int) -> NodeId:
        return self.field.nodes[index].id

    def live(self) -> list[int]:
        return [node.index for node in self.field.nodes if node.alive]

    def report(self, index: int) -> OverlayReport:
        return self.field.nodes[index].core(Overlay).report()

    # --- what must hold -----------------------------------------------------------------------------------

    def check_always(self) -> None:
        """At every moment, at every node by itself."""
        for index in self.live():
            node, report = self.field.nodes[index], self.report(index)
            active, passive = set(report.active), set(report.passive)
            assert not active & passive, f"node {index}: {active & passive} in both views"
            assert node.id not in active | passive, f"node {index} is in its own views"
            assert len(active) <= self.settings.active_max
            assert len(report.active) - report.chosen <= self.settings.active_max - self.settings.outbound_min
            assert len(passive) <= self.settings.passive_max
            assert len(report.lost) <= 64
            for peer in report.active:
                assert peer in node.links or not self.field.nodes[self.field.by_id[peer]].alive
            wanted = set(node.core(Topology).wanted)
            assert active <= wanted, f"node {index} does not want its neighbours' links"

    def check_quiet(self) -> None:
        """Once messages have drained: both ends of an edge know it, and no link stands for nothing."""
        for index in self.live():
            node = self.field.nodes[index]
            for peer in self.report(index).active:
                other = self.field.by_id[peer]
                assert node.id in self.report(other).active, f"{index} counts {other}, {other} does not count {index}"

    def components(self) -> list[set[int]]:
        """By edges that both ends know."""
        views = {index: {self.field.by_id[peer] for peer in self.report(index).active} for index in self.live()}
        left, found = dict.fromkeys(views), []
        while left:
            queue = [left.popitem()[0]]
            for index in queue:
                queue += [peer for peer in sorted(views[index]) if left.pop(peer, self) is None]
            found.append(set(queue))
        return found
