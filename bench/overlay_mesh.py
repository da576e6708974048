"""A field of nodes whose links HyParView chooses, over which Plumtree carries payloads: the mesh of `bench.overlay`.

Gossip is not on the field. `Mesh.describe` hands every node, free of charge and at once, what gossip would have told it
by the end of the joins: a uniform sample of all members. HyParView of the paper has no such knowledge; without that
call nodes know of each other only what the overlay's own messages say.
"""

from __future__ import annotations

import random
from typing import Final

from arqonmesh.config.model import BroadcastSettings, LinkSettings, OverlaySettings
from arqonmesh.core.broadcast import Plumtree
from arqonmesh.core.events import (
    Broadcast,
    BroadcastArrived,
    MemberDescribed,
    MemberIntroduced,
    NeighbourDown,
    NeighbourUp,
)
from arqonmesh.core.kernel import MILLISECOND, SECOND, Core
from arqonmesh.core.overlay.core import Overlay
from arqonmesh.core.overlay.refuge import SAMPLE_MAX
from arqonmesh.core.topology import Topology
from arqonmesh.ids import ClusterId, NodeId
from arqonmesh.sim.field import EnvOf, Field, uniform
from arqonmesh.sim.field.accept import Accepting

JOIN_EVERY_US: Final = 20 * MILLISECOND
WARM_UPS: Final = 10
"""Payloads before the failure, so that the trees stand."""
PAYLOAD_BYTES: Final = 320
"""A usual statement."""
SOMEWHERE: Final = ("field:1",)
"""Everyone's address: a field dials by name."""


class Mesh:
    """Everyone's active view at hand as lists of indices, and what each payload has reached."""

    def __init__(self, seed: int, settings: OverlaySettings, detection_us: int, *, grows: bool) -> None:
        """`grows`: active views grow with the mesh, as in a node; otherwise they have all places at once, as in the
        paper."""
        self.field = Field(seed, uniform(seed, 5 * MILLISECOND, 50 * MILLISECOND), detection_us=detection_us)
        self.views: list[list[int]] = []
        self.ups = 0
        self.arrivals: list[list[int]] = []
        """By payload, when it came somewhere, microseconds; of those that are alive in the end, because nobody dies
        after the first."""
        self._settings = settings
        self._grows = grows
        self._dice = random.Random(f"{seed} overlay bench")
        self.field.watch(NeighbourUp, self._up)
        self.field.watch(NeighbourDown, self._down)
        self.field.watch(BroadcastArrived, self._arrived)

    def _compose(self, env: EnvOf) -> tuple[Core, ...]:
        founder, members = self.field.nodes[0].id, lambda: len(self.field.nodes)
        return (
            Topology(env("topology"), LinkSettings(auto="overlay"), founder),
            Overlay(
                env("overlay"), self._settings, founder, lambda _: SOMEWHERE, members=members if self._grows else None
            ),
            Plumtree(env("broadcast"), BroadcastSettings(), members),
            Accepting(env("accept")),
        )

    def _up(self, now: int, index: int, event: NeighbourUp) -> None:
        self.views[index].append(self.field.by_id[event.peer])
        self.ups += 1

    def _down(self, now: int, index: int, event: NeighbourDown) -> None:
        self.views[index].remove(self.field.by_id[event.peer])

    def _arrived(self, now: int, index: int, event: BroadcastArrived) -> None:
        self.arrivals[int.from_bytes(event.data[:4], "big")].append(now)

    def grow(self, count: int, contact: str) -> None:
        """All join, one after the other."""
        for index in range(count):
            self.views.append([])
            self.field.add(self._compose)
            if index:
                through = 0 if contact == "single" else self._dice.randrange(0, index)
                self.field.tell(index, MemberIntroduced(self._id(through)))
            self.field.run_for(JOIN_EVERY_US)

    def describe(self) -> None:
        """Everyone has heard of members everywhere. In a mesh they hear of all; what they keep of it is a uniform
        sample, and so is this."""
        count = len(self.field.nodes)
        for index in range(count):
            for other in self._dice.sample(range(count), min(count, SAMPLE_MAX)):
                described = MemberDescribed(self._id(other), ClusterId("field"), "spoke", "", SOMEWHERE, "")
                self.field.tell(index, described)

    def settle(self, cycles: int) -> None:
        """Shuffles, then a few payloads."""
        self.field.run_for(cycles * self._settings.shuffle_interval_ms * MILLISECOND)
        for _ in range(WARM_UPS):
            self.broadcast(self._dice.randrange(0, len(self.field.nodes)))
            self.field.run_for(2 * SECOND)
        self.arrivals.clear()

    def broadcast(self, source: int) -> None:
        """One payload from here; where it comes is noted in `arrivals`."""
        number = len(self.arrivals)
        self.arrivals.append([])
        head = b"%b%020d" % (number.to_bytes(4, "big"), self.field.now)
        self.field.tell(source, Broadcast("bench", head + bytes(PAYLOAD_BYTES - len(head))))

    def kill(self, percent: int) -> None:
        count = len(self.field.nodes)
        for index in self._dice.sample(range(count), count * percent // 100):
            self.field.kill(index)

    def live(self) -> list[int]:
        return [node.index for node in self.field.nodes if node.alive]

    def reach(self, source: int) -> int:
        """How many live nodes a flood from here gets to, the source included."""
        nodes, views = self.field.nodes, self.views
        seen = bytearray(len(nodes))
        seen[source] = 1
        queue = [source]
        for index in queue:
            for peer in views[index]:
                if not seen[peer] and nodes[peer].alive:
                    seen[peer] = 1
                    queue.append(peer)
        return len(queue)

    def component(self) -> int:
        """The largest set of live nodes that a flood from one of them reaches."""
        best, left = 0, dict.fromkeys(self.live())
        while left:
            source, _ = left.popitem()
            queue = [source]
            for index in queue:
                queue += [peer for peer in self.views[index] if left.pop(peer, self) is None]
            best = max(best, len(queue))
        return best

    def degrees(self) -> tuple[int, float, int]:
        live = self.live()
        degree = dict.fromkeys(live, 0)
        for index in live:
            for peer in self.views[index]:
                if peer in degree:
                    degree[peer] += 1
        return min(degree.values()), sum(degree.values()) / len(live), max(degree.values())

    def _id(self, index: int) -> NodeId:
        return self.field.nodes[index].id
