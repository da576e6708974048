"""What the tests of net/ share: members of one mesh, an authority over a plain roster, a listener that remembers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import Lane
from arqonmesh.ids import MeshId, NodeId, parse_cluster
from arqonmesh.net.api import LinkInfo
from arqonmesh.net.endpoint import QuicEndpoint
from arqonmesh.net.hello import LocalNode
from arqonmesh.net.intake import Intake
from arqonmesh.trust.certificates import Leaf, mint_leaf
from arqonmesh.trust.keys import NodeKey
from arqonmesh.wire.messages import JoinAccept, JoinOffer, JoinReject, JoinRequest

MESH = MeshId("01ARZ3NDEKTSV4RRFFQ69G5FAV")
OTHER_MESH = MeshId("01BX5ZZKBKACTAV9WEVGEMMVRZ")
CLUSTER = parse_cluster("factory")
HOUR_MS = 3_600_000


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def key(n: int) -> NodeKey:
    return NodeKey(n.to_bytes(32, "big"))


def leaf_of(node_key: NodeKey, *, mesh: MeshId = MESH, age_ms: int = 0, life_ms: int = HOUR_MS) -> Leaf:
    start = wall_ms() - age_ms
    return mint_leaf(node_key, mesh_id=mesh, cluster=CLUSTER, not_before_ms=start, not_after_ms=start + life_ms)


@dataclass
class Roster:
    """An authority over a set of node ids."""

    mesh_id: MeshId | None = MESH
    members: set[NodeId] = field(default_factory=set)
    offer: JoinOffer | None = None
    judge: Callable[[JoinRequest, NodeId, bytes], JoinAccept | JoinReject] | None = None

    def refuse_member(self, node: NodeId, public_key: bytes) -> str | None:
        return None if node in self.members else "unknown-key"

    def join_offer(self) -> JoinOffer | None:
        return self.offer

    async def admit(self, request: JoinRequest, node: NodeId, channel_binding: bytes) -> JoinAccept | JoinReject:
        assert self.judge is not None
        return self.judge(request, node, channel_binding)


class Recorder:
    """A listener that remembers, and lets a test wait for what it hopes for."""

    def __init__(self) -> None:
        self.events: list[tuple[str, NodeId, str]] = []
        self.frames: list[tuple[NodeId, Lane, bytes]] = []
        self.refusals: Counter[str] = Counter()
        self.ticks = 0
        self._changed = asyncio.Event()

    def link_up(self, peer: NodeId, link: LinkInfo) -> None:
        self.events.append(("up", peer, link.address))
        self._changed.set()

    def link_down(self, peer: NodeId, reason: str) -> None:
        self.events.append(("down", peer, reason))
        self._changed.set()

    def frame(self, peer: NodeId, lane: Lane, data: bytes) -> None:
        self.frames.append((peer, lane, data))
        self._changed.set()

    def tick(self) -> None:
        self.ticks += 1
        self._changed.set()

    def refused(self, reason: str, address: str) -> None:
        self.refusals[reason] += 1
        self._changed.set()

    def data(self, lane: Lane | None = None) -> list[bytes]:
        return [data for _, of, data in self.frames if lane is None or of is lane]

    async def until(self, condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
        """Wait until `condition` holds; it is looked at after everything this listener is told, and now and then."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                try:
                    async with asyncio.timeout(0.02):
                        await self._changed.wait()
                except TimeoutError:
                    continue


@dataclass
class Member:
    """One node's endpoint with what stands around it."""

    endpoint: QuicEndpoint
    heard: Recorder
    roster: Roster
    key: NodeKey
    local: LocalNode

    @property
    def id(self) -> NodeId:
        return self.key.node_id

    @property
    def at(self) -> str:
        host, port = self.endpoint.address
        return f"{host}:{port}"

    def linked(self, peer: Member) -> bool:
        return peer.id in self.endpoint.links()


class Hall:
    """Makes members and closes them at the end."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.ids: set[NodeId] = set()

    def member(
        self,
        n: int,
        *,
        admitted: bool = True,
        leaf: Leaf | None = None,
        mesh: MeshId | None = MESH,
        boot_epoch: int = 1,
        listen: str = "127.0.0.1:0",
        one_lane: bool = False,
        segmented: bool = True,
        intake: Intake | None = None,
        settings: LinkSettings | None = None,
        handshake_s: float = 5.0,
    ) -> Member:
        node_key = key(n)
        if admitted:
            self.ids.add(node_key.node_id)
        roster = Roster(mesh_id=mesh, members=self.ids)
        heard = Recorder()
        local = LocalNode(key=node_key, cluster=CLUSTER, boot_epoch=boot_epoch, software="test/1")
        endpoint = QuicEndpoint(
            listen=listen,
            local=local,
            leaf=leaf or leaf_of(node_key),
            authority=roster,
            listener=heard,
            settings=settings or LinkSettings(reconnect_min_ms=20, reconnect_max_ms=200),
            one_lane=one_lane,
            segmented=segmented,
            intake=intake,
            handshake_s=handshake_s,
        )
        member = Member(endpoint, heard, roster, node_key, local)
        self.members.append(member)
        return member

    async def linked(self, a: Member, b: Member) -> None:
        """`a` dials `b`."""
        a.endpoint.want(b.id, (b.at,))
        await a.heard.until(lambda: a.linked(b) and b.linked(a))


@asynccontextmanager
async def hall() -> AsyncIterator[Hall]:
    made = Hall()
    try:
        yield made
    finally:
        for member in made.members:
            await member.endpoint.close("test over")
