"""Whatever happens to the nodes, the views stay within their rules and come to agree."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.events import MemberChanged, MemberIntroduced, ScoreChanged
from arqonmesh.core.kernel import MILLISECOND
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.core.topology import Topology
from tests.core.overlay.mesh import Mesh

NODES_MAX = 14
SMALL = OverlaySettings(
    active_max=4, passive_max=8, arwl=3, prwl=1, shuffle_interval_ms=5_000, neighbour_timeout_ms=500, backoff_ms=2_000
)


class Overlays(RuleBasedStateMachine):
    """Nodes join, die, return and leave, links break, anybody is asked to judge anybody; time passes as it likes."""

    @initialize(seed=st.integers(0, 1_000))
    def found(self, seed: int) -> None:
        self.mesh = Mesh(SMALL, seed)
        self.banned: set[tuple[int, int]] = set()
        self.mesh.grow(4)

    def pick(self, number: int) -> int:
        live = self.mesh.live()
        return live[number % len(live)]

    @precondition(lambda self: len(self.mesh.field.nodes) < NODES_MAX)
    @rule(contact=st.integers(0, 100))
    def join(self, contact: int) -> None:
        self.mesh.join(self.pick(contact))

    @precondition(lambda self: len(self.mesh.live()) > 3)
    @rule(who=st.integers(0, 100))
    def kill(self, who: int) -> None:
        self.mesh.field.kill(self.pick(who))

    @rule(who=st.integers(0, 100))
    def come_back(self, who: int) -> None:
        field = self.mesh.field
        dead = [node.index for node in field.nodes if not node.alive]
        if dead:
            index, contact = dead[who % len(dead)], self.pick(who)
            field.restart(index, self.mesh.compose)
            field.tell(index, MemberIntroduced(field.nodes[contact].id))

    @rule(who=st.integers(0, 100), which=st.integers(0, 100))
    def break_a_link(self, who: int, which: int) -> None:
        node = self.mesh.field.nodes[self.pick(who)]
        if node.links:
            peer = list(node.links)[which % len(node.links)]
            self.mesh.field.unlink(node.index, self.mesh.field.by_id[peer], "test")

    @rule(who=st.integers(0, 100), whom=st.integers(0, 100))
    def hold_dead(self, who: int, whom: int) -> None:
        judge, party = self.pick(who), self.pick(whom)
        if judge != party:
            self.mesh.field.tell(judge, MemberChanged(self.mesh.id(party), "suspect", "dead", 1, "test"))

    @rule(who=st.integers(0, 100), whom=st.integers(0, 100))
    def ignore_for_a_moment(self, who: int, whom: int) -> None:
        judge, party = self.pick(who), self.pick(whom)
        if judge != party:
            for ignored in (True, False):
                self.mesh.field.tell(judge, ScoreChanged(self.mesh.id(party), 0, "test", ignored))

    @rule(milliseconds=st.sampled_from([0, 1, 7, 50, 400, 3_000, 12_000]))
    def wait(self, milliseconds: int) -> None:
        self.mesh.field.run_for(milliseconds * MILLISECOND)

    @invariant()
    def every_node_keeps_its_rules(self) -> None:
        self.mesh.check_always()

    def teardown(self) -> None:
        """Left alone, edges are known at both ends, everyone is in one piece, and nobody wants what it does not use."""
        if not hasattr(self, "mesh"):
            return
        self.mesh.run(180)
        for _ in range(20):  # a shuffle, or the end of a look at a spare member, may be under way at any moment
            self.mesh.field.run_for(300 * MILLISECOND)
            if not self.unsettled():
                break
        if any(busy for _, busy in self.unsettled()):
            return
        self.mesh.check_always()
        self.mesh.check_quiet()
        assert self.unsettled() == []

    def unsettled(self) -> list[tuple[int, bool]]:
        """Nodes whose wishes or links are not those of their active view, and whether they are trying somebody."""
        found: list[tuple[int, bool]] = []
        for index in self.mesh.live():
            node = self.mesh.field.nodes[index]
            active, busy = set(self.mesh.report(index).active), len(node.core(Overlay)._hood.attempts) > 0
            if busy or set(node.core(Topology).wanted) != active or set(node.links) != active:
                found.append((index, busy))
        return found


TestOverlays = Overlays.TestCase
TestOverlays.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
