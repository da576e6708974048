"""What the tests of net/ share: members of one mesh, an authority over a plain roster, a listener that remembers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import Lane
from arqonmesh.ids import MeshId, NodeId, parse_cluster
from arqonmesh.net.api import LinkInfo
from arqonmesh.net.endpoint import QuicEndpoint
from arqonmesh.net.hello import LocalNode
from arqonmesh.net.intake import Intake
from arqonmesh.net.quic_core import MeshQuic
from arqonmesh.net.tls import PROTOCOLS, Protocols, configuration
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
    hosts: set[str] = field(default_factory=set)
    offer: JoinOffer | None = None
    judge: Callable[[JoinRequest, NodeId, bytes], JoinAccept | JoinReject] | None = None
    asked: asyncio.Event | None = None
    on_disk: asyncio.Event | None = None
    """When both are set, `admit` tells that it was asked and waits for the disk."""

    def refuse_member(self, node: NodeId, public_key: bytes) -> str | None:
        return None if node in self.members else "unknown-key"

    def known_host(self, host: str) -> bool:
        return host in self.hosts

    def join_offer(self) -> JoinOffer | None:
        return self.offer

    async def admit(self, request: JoinRequest, node: NodeId, channel_binding: bytes) -> JoinAccept | JoinReject:
        if self.asked is not None and self.on_disk is not None:
            self.asked.set()
            await self.on_disk.wait()
        assert self.judge is not None
        return self.judge(request, node, channel_binding)


class Recorder:
    """A listener that remembers, and lets a test wait for what it hopes for."""

    def __init__(self) -> None:
        self.events: list[tuple[str, NodeId, str]] = []
        self.frames: list[tuple[NodeId, Lane, bytes]] = []
        self.refusals: Counter[str] = Counter()
        self.sentences: list[str] = []
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

    def refused(self, reason: str, address: str, sentence: str) -> None:
        self.refusals[reason] += 1
        self.sentences.append(sentence)
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

    def crash(self) -> None:
        """Be gone without a word, as a killed process is."""
        self.endpoint._release()


class Stranger(asyncio.DatagramProtocol):
    """A bare QUIC client of a test's own making: whatever it says, no code of the endpoint's dialling side says it."""

    def __init__(self, configuration: QuicConfiguration, target: tuple[str, int]) -> None:
        self.quic = MeshQuic(configuration=configuration)
        self.events: list[QuicEvent] = []
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.quic.connect(self._target, now=self._loop.time())
        self.flush()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.quic.receive_datagram(data, self._target, now=self._loop.time())
        self.flush()

    def flush(self) -> None:
        now = self._loop.time()
        while (event := self.quic.next_event()) is not None:
            self.events.append(event)
        if self._transport is not None and not self._transport.is_closing():
            self.quic.pacer.open_batch()
            for data, _ in self.quic.datagrams_to_send(now):
                self._transport.sendto(data)
        if self._timer is not None:
            self._timer.cancel()
        at = self.quic.get_timer()
        self._timer = None if at is None else self._loop.call_at(at, self._on_timer)
        self._changed.set()

    def _on_timer(self) -> None:
        self.quic.handle_timer(self._loop.time())
        self.flush()

    @property
    def told(self) -> str:
        """The reason phrase of the close that came, empty before."""
        event = self.quic.close_event
        return "" if event is None else event.reason_phrase

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def stranger(
    target: Member, *, leaf: Leaf | None, protocols: tuple[str, ...] = (PROTOCOLS.mesh,)
) -> AsyncIterator[Stranger]:
    """A stranger at the door of `target`, with this leaf, or with no certificate at all."""
    made = configuration(leaf or leaf_of(key(99)), is_client=True, protocols=list(protocols), max_datagram_size=1_200)
    if leaf is None:
        made.certificate, made.certificate_chain, made.private_key = None, [], None
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Stranger(made, target.endpoint.address), remote_addr=target.endpoint.address
    )
    try:
        yield protocol
    finally:
        protocol.leave()


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
        fast: bool = True,
        intake: Intake | None = None,
        settings: LinkSettings | None = None,
        handshake_s: float = 5.0,
        protocols: Protocols = PROTOCOLS,
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
            fast=fast,
            intake=intake,
            handshake_s=handshake_s,
            protocols=protocols,
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
