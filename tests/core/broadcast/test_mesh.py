"""Many nodes on a simulated field: every payload arrives everywhere, once, whatever happens to links and to honesty."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import Broadcast, BroadcastArrived, Fault
from arqonmesh.core.kernel import MILLISECOND, SECOND, Core, Effect, Event, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.sim.field import EnvOf, Field, Latency, full_graph, regular_graph, uniform
from arqonmesh.sim.field.accept import Accepting
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPayload, WireMessage
from tests.core.broadcast.hand import name_of

NODES = 40


class Liar(Plumtree):
    """While it `lies` it announces on every link all that it hears of, and sends no payload, neither along the tree nor
    to who asks."""

    lies = True

    def on_message(self, now: Instant, link_peer: NodeId, message: WireMessage) -> list[Effect]:
        if self.lies and isinstance(message, BroadcastGraft):
            return []
        said = super().on_message(now, link_peer, message)
        if not self.lies:
            return said
        if isinstance(message, BroadcastPayload):
            have = BroadcastHave(have=((name_of(message), 1, 0),))
            said += [Send(peer, Lane.CONTROL, have) for peer in (*self.eager, *self.lazy)]
        return _without_payloads(said)

    def on_event(self, now: Instant, event: Event) -> list[Effect]:
        """Its owner's verdict is where an honest node passes a payload on."""
        said = super().on_event(now, event)
        return _without_payloads(said) if self.lies else said


def _without_payloads(said: list[Effect]) -> list[Effect]:
    return [effect for effect in said if not (isinstance(effect, Send) and type(effect.message) is BroadcastPayload)]


class Mesh:
    """A field of broadcasting nodes, and who heard what how often."""

    def __init__(
        self,
        count: int,
        seed: int,
        liars: Sequence[int] = (),
        latency: Latency | None = None,
        kind: type[Plumtree] = Plumtree,
        **given: int,
    ) -> None:
        latency = uniform(seed, 1 * MILLISECOND, 50 * MILLISECOND) if latency is None else latency
        self.field = Field(seed, latency, detection_us=100 * MILLISECOND)
        self.heard: dict[tuple[int, bytes], int] = {}
        self.brought: set[int] = set()
        """Of whom somebody had a payload that was new."""
        self.faults: list[tuple[int, int, str]] = []
        config = BroadcastSettings(**given)

        def compose(kind: type[Plumtree]) -> object:
            def cores(env: EnvOf) -> Sequence[Core]:
                return kind(env("broadcast"), config, lambda: count), Accepting(env("accept"))

            return cores

        for index in range(count):
            self.field.add(compose(Liar if index in liars else kind))  # type: ignore[arg-type]
        self.field.watch(BroadcastArrived, self._arrived)
        self.field.watch(Fault, self._fault)

    def _arrived(self, now: int, index: int, event: BroadcastArrived) -> None:
        self.heard[index, event.data] = self.heard.get((index, event.data), 0) + 1
        self.brought.add(self.field.by_id[event.link_peer])

    def _fault(self, now: int, index: int, event: Fault) -> None:
        self.faults.append((index, self.field.by_id[event.party], event.cause))

    def say(self, index: int, data: bytes) -> None:
        self.field.tell(index, Broadcast("t", data))

    def missing(self, source: int, data: bytes) -> list[int]:
        """Who did not hear it exactly once."""
        return [i for i in range(len(self.field.nodes)) if i != source and self.heard.get((i, data), 0) != 1]


def big(number: int) -> bytes:
    return b"%08d" % number * 100


@pytest.mark.parametrize("seed", range(3))
def test_every_payload_arrives_everywhere_once_and_the_tree_gets_thin(seed: int) -> None:
    """From flooding to hardly a copy too many, from whichever node."""
    mesh = Mesh(NODES, seed, fan_out_percent=0)
    mesh.field.lay(regular_graph(NODES, 4, seed))
    for number in range(20):
        source = number * 7 % NODES
        mesh.say(source, big(number))
        mesh.field.run_for(3 * SECOND)
        assert mesh.missing(source, big(number)) == []
        if number == 9:
            mesh.field.sent.clear()
    assert mesh.field.sent[BroadcastPayload] < 10 * (NODES - 1) * 1.4
    assert mesh.faults == []


@pytest.mark.parametrize("seed", range(3))
def test_among_silent_liars_every_payload_arrives_and_no_honest_node_is_blamed(seed: int) -> None:
    """Once the tree leads through them they announce everything and send nothing: the honest ones get it elsewhere, and
    whoever was asked for what he had announced is found out."""
    liars = (3, 11, 19)
    mesh = Mesh(NODES, seed, liars, fan_out_percent=0)
    mesh.field.lay(regular_graph(NODES, 6, seed))
    cores = [mesh.field.nodes[index].core(Liar) for index in liars]
    honest = [index for index in range(NODES) if index not in liars]
    for lies, numbers in ((False, range(6)), (True, range(6, 18))):
        mesh.brought.clear()
        for core in cores:
            core.lies = lies
        for number in numbers:
            mesh.say(honest[number], big(number))
            mesh.field.run_for(8 * SECOND)
            assert not set(mesh.missing(honest[number], big(number))) & set(honest)
        assert mesh.brought.isdisjoint(liars) == lies
    blamed = {(party, cause) for index, party, cause in mesh.faults if index in honest}
    assert set() < blamed <= {(liar, "broken-promise") for liar in liars}


def test_liars_on_the_short_way_are_blamed_and_the_payload_comes_by_the_long_one() -> None:
    """Two of them announce at once what the honest node sends 200 ms later."""
    mesh = Mesh(4, 1, liars=(2, 3), latency=lambda one, other: 200_000 if max(one, other) < 2 else 1_000)
    mesh.field.lay(full_graph(4))
    for number in range(3):
        mesh.say(0, big(number))
        mesh.field.run_for(8 * SECOND)
        assert mesh.heard[1, big(number)] == 1
    assert {(party, cause) for index, party, cause in mesh.faults if index == 1} == {
        (2, "broken-promise"),
        (3, "broken-promise"),
    }


def test_in_a_full_mesh_the_first_payload_does_not_flood_every_link() -> None:
    """60 nodes have 59 links each, and 7 in the tree."""
    mesh = Mesh(60, 1, fan_out_percent=0)
    mesh.field.lay(full_graph(60))
    mesh.field.run_for(SECOND)
    for number, source in enumerate((5, 50)):
        mesh.say(source, big(number))
        mesh.say(source, b"small %d" % number)
        mesh.field.run_for(3 * SECOND)
        assert mesh.missing(source, big(number)) == []
        assert mesh.missing(source, b"small %d" % number) == []
    assert mesh.field.sent[BroadcastPayload] < 2 * 60 * 7 + 2 * 60 * 22


class LinksComeAndGo(RuleBasedStateMachine):
    """Payloads, links that open and close, messages lost with them: nothing arrives twice, and once the mesh is
    connected and quiet, nothing is missing."""

    def __init__(self) -> None:
        super().__init__()
        self.mesh: Mesh | None = None
        self.said: list[tuple[int, bytes]] = []

    @initialize(seed=st.integers(0, 5), fan_out=st.sampled_from([0, 14]))
    def begin(self, seed: int, fan_out: int) -> None:
        self.mesh = Mesh(8, seed, fan_out_percent=fan_out)
        self.mesh.field.lay(regular_graph(8, 3, seed))

    @rule(source=st.integers(0, 7), small=st.booleans())
    def say(self, source: int, small: bool) -> None:
        assert self.mesh is not None
        data = b"s%d" % len(self.said) if small else big(len(self.said))
        self.said.append((source, data))
        self.mesh.say(source, data)

    @rule(one=st.integers(0, 7), other=st.integers(0, 7), up=st.booleans())
    def change(self, one: int, other: int, up: bool) -> None:
        assert self.mesh is not None
        if one != other:
            (self.mesh.field.link if up else self.mesh.field.unlink)(one, other)

    @rule(ms=st.integers(1, 400))
    def wait(self, ms: int) -> None:
        assert self.mesh is not None
        self.mesh.field.run_for(ms * MILLISECOND)

    @invariant()
    def eager_and_lazy_are_the_links(self) -> None:
        if self.mesh is not None:
            for node in self.mesh.field.nodes:
                core = node.core(Plumtree)
                assert sorted(core.eager + core.lazy) == sorted(node.links)
            assert all(count == 1 for count in self.mesh.heard.values())

    def teardown(self) -> None:
        if self.mesh is not None:
            for index in range(8):
                self.mesh.field.link(index, (index + 1) % 8)
            self.mesh.field.run_for(15 * SECOND)
            for source, data in self.said[-100:]:
                assert self.mesh.missing(source, data) == [], f"{data[:8]!r} of {source}"
            assert self.mesh.faults == []


LinksComeAndGo.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
test_links_come_and_go = LinksComeAndGo.TestCase
