"""Connections of the simulated network: reliable lanes over an unreliable model, handshakes, ends."""

from __future__ import annotations

from collections.abc import Callable

from arqonmesh.core.kernel import SECOND, Lane
from arqonmesh.ids import NodeId
from arqonmesh.sim.link_model import LinkModel
from arqonmesh.sim.network import End, Endpoint, Network
from arqonmesh.sim.world import World

A, B = NodeId("a" * 32), NodeId("b" * 32)


class Listener:
    """A process that only remembers what its endpoint told it."""

    def __init__(self, network: Network, node: NodeId) -> None:
        self.endpoint = Endpoint(network, node, node.encode(), self)
        self.listening = True
        self.frames: list[tuple[Lane, bytes]] = []
        self.ups = 0
        self.downs: list[str] = []
        self.refusal: str | None = None

    def receive(self, action: Callable[[], None]) -> None:
        action()

    def shown(self) -> object:
        return None

    def refuse(self, node: NodeId, public_key: bytes, shown: object) -> str | None:
        return self.refusal

    def link_up(self, peer: NodeId, outbound: bool) -> None:
        self.ups += 1

    def link_down(self, peer: NodeId, reason: str) -> None:
        self.downs.append(reason)

    def frame(self, end: End, lane: Lane, data: bytes) -> None:
        self.frames.append((lane, data))


def linked(seed: int = 1, **weather: int) -> tuple[World, Network, Listener, Listener]:
    world = World(seed)
    network = Network(world, lambda: LinkModel(**weather))  # type: ignore[arg-type]
    a, b = Listener(network, A), Listener(network, B)
    a.endpoint.want(B)
    world.run_for(30 * SECOND)
    assert a.ups >= 1 and b.ups >= 1
    return world, network, a, b


def test_lanes_lose_and_reorder_nothing_in_the_worst_weather() -> None:
    """A third lost, half doubled, a third held back: every lane arrives whole and in order, datagrams do not."""
    world, _, a, b = linked(loss_ppm=300_000, duplicate_ppm=500_000, reorder_ppm=300_000, jitter_us=3_000)
    for number in range(200):
        for lane in (Lane.CONTROL, Lane.BULK, Lane.DATAGRAM):
            assert a.endpoint.send(B, lane, b"%d" % number)
    world.run_for(60 * SECOND)

    sent = [b"%d" % number for number in range(200)]
    assert [data for lane, data in b.frames if lane is Lane.CONTROL] == sent
    assert [data for lane, data in b.frames if lane is Lane.BULK] == sent
    assert [data for lane, data in b.frames if lane is Lane.DATAGRAM] != sent


def test_two_dials_that_cross_end_as_one_link() -> None:
    """Both dial at the same moment; a second later each side has the same one connection."""
    world = World(1)
    network = Network(world)
    a, b = Listener(network, A), Listener(network, B)
    a.endpoint.want(B)
    b.endpoint.want(A)
    world.run_for(SECOND)

    assert a.endpoint.ends[B].far is b.endpoint.ends[A]
    assert a.ups - len(a.downs) == b.ups - len(b.downs) == 1


def test_a_lane_is_bounded() -> None:
    """What does not arrive piles up to a bound; then `send` says no."""
    _, network, a, _ = linked()
    network.path(A, B).cut = True
    frame = bytes(1 << 20)
    assert [a.endpoint.send(B, Lane.BULK, frame) for _ in range(9)] == [True] * 8 + [False]


def test_nobody_hears_of_a_death_and_the_dialler_comes_back() -> None:
    """The endpoint of a dead process is silent; whoever wished for the link dials until a new one answers."""
    world, network, a, b = linked()
    b.endpoint.die()
    world.run_for(SECOND)
    assert a.downs == []

    again = Listener(network, B)
    a.endpoint.disconnect(B, "liveness")
    world.run_for(30 * SECOND)
    assert a.downs == ["closed here: liveness"]
    assert again.ups == 1


def test_a_refused_dial_is_tried_again_and_counted() -> None:
    """The roster says no until it says yes."""
    world = World(1)
    network = Network(world)
    a, b = Listener(network, A), Listener(network, B)
    b.refusal = "unknown-key"
    a.endpoint.want(B)
    world.run_for(2 * SECOND)
    assert a.ups == 0 and b.endpoint.refused["unknown-key"] > 1

    b.refusal = None
    world.run_for(30 * SECOND)
    assert a.ups == b.ups == 1
