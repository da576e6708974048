"""One node as a process: opens its rooms in order, keeps them running, and closes them so that nothing is lost.

start: lock and store → key → boot epoch on disk → node → bus, HTTP, QUIC → cores → control socket → ready
stop:  bus says goodbye → outboxes drain → links close → what is held goes to disk → store closes
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import socket
import time
from pathlib import Path
from typing import Final

import arqonmesh
from arqonmesh.bridge.auth import operator
from arqonmesh.bridge.auth.api_keys import FILE as API_KEYS_FILE
from arqonmesh.bridge.auth.api_keys import ApiKeys
from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.http import HttpServer
from arqonmesh.bridge.server import BusServer
from arqonmesh.config.model import Config
from arqonmesh.core.events import LinkDown
from arqonmesh.core.kernel import Delete, Event, Put, Write
from arqonmesh.core.node import Node, World
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.errors import StorageError
from arqonmesh.ids import ClusterId, short
from arqonmesh.net.addresses import show_address
from arqonmesh.net.endpoint import QuicEndpoint
from arqonmesh.net.hello import LocalNode
from arqonmesh.observe.loop_lag import LoopLag
from arqonmesh.runtime import mesh_state
from arqonmesh.runtime.admitted import contradictions
from arqonmesh.runtime.authority import RosterAuthority
from arqonmesh.runtime.bus_figures import BusFigures
from arqonmesh.runtime.bus_keys import BusKeys
from arqonmesh.runtime.bus_telemetry import BusTelemetry
from arqonmesh.runtime.certificates import Certificates
from arqonmesh.runtime.crypto import NodeCrypto
from arqonmesh.runtime.event_log import EventLog
from arqonmesh.runtime.event_story import EventStory
from arqonmesh.runtime.health import probes_of
from arqonmesh.runtime.history import HistoryKeeper
from arqonmesh.runtime.host import Host
from arqonmesh.runtime.http_sources import sources_of
from arqonmesh.runtime.link_views import REMOVED
from arqonmesh.runtime.throughput import Throughput
from arqonmesh.store.store import Store
from arqonmesh.trust.certificates import NO_MESH
from arqonmesh.trust.keys import NodeKey

SAMPLE_EVERY_S: Final = 1.0
DRAIN_TIMEOUT_S: Final = 5.0
EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 -- compared with, not bound to
CAPABILITIES: Final = ("bus/1", "federation/1")
SOFTWARE: Final = f"arqon/{arqonmesh.__version__}"


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Service:
    """Everything of one running node. `open` before, `close` after; `stopping` tells when."""

    def __init__(
        self, config: Config, key: NodeKey, store: Store, data_dir: Path, history: HistoryKeeper | None = None
    ) -> None:
        """`history`: opened by a caller who closes it when this raises."""
        self.config = config
        self.key = key
        self.store = store
        self.data_dir = data_dir
        self.started_s = time.monotonic()
        self.stopping = asyncio.Event()
        self.failure: StorageError | None = None
        self._broken = asyncio.Event()
        """Set with `failure`: what waits for the disk waits in vain."""
        self.log = EventLog(wall_ms)
        self.throughput = Throughput()
        self.lag = LoopLag(lambda late: None)  # for the metrics; the host tells the cores itself
        durable = store.load()
        self._durable = durable
        self.operator_links = {str(address): str(peer) for address, peer, _ in durable.get("links", ())}
        self._mesh = mesh_state.load(durable)
        self.keys = ApiKeys(data_dir / API_KEYS_FILE, wall_ms)
        self.authenticator = Authenticator(
            config.bus, base=data_dir, keys=self.keys, operator=operator.renew(data_dir), wall_ms=wall_ms
        )
        epoch = mesh_state.next_epoch(mesh_state.boot_epoch(durable), wall_ms())
        self.history = history or HistoryKeeper(data_dir, config.bus.history)
        world = World(
            node_id=key.node_id,
            public_key=key.public,
            crypto=NodeCrypto(key),
            wall_ms=wall_ms,
            rng_for=lambda core: random.Random(os.urandom(16)),
            boot_epoch=epoch,
            durable_history=self.history.durable,
            stopwatch=time.perf_counter_ns,
            authenticate=self.authenticator.renew,
        )
        self._epoch = epoch
        self.node = Node(config, world)
        self.host = Host(self.node, store, self.history, timer_fired=self.lag.observe)
        self.story = EventStory(self.host, self.log)
        self.authority = RosterAuthority(self.host)
        mesh_id = None if self._mesh is None else self._mesh.mesh_id
        self.certificates = Certificates(key, ClusterId(config.node.cluster), mesh_id, config.certificates, wall_ms)
        self._local = LocalNode(
            key=key,
            cluster=ClusterId(config.node.cluster),
            boot_epoch=epoch,
            software=SOFTWARE,
            capabilities=CAPABILITIES,
        )
        self.endpoint = QuicEndpoint(
            listen=config.listen.quic,
            local=self._local,
            leaf=self.certificates.leaf,
            authority=self.authority,
            listener=self.host,
            settings=config.links,
            skew_ms=int(config.certificates.clock_skew_s * 1_000),
            wall_ms=wall_ms,
        )
        self.bus = BusServer(self.host, config.bus, authenticator=self.authenticator, spill_folder=data_dir)
        self.figures = BusFigures(self.node.bus, self.bus, self.host.now())
        self.telemetry = BusTelemetry(
            self.host, config, self.authenticator, self.figures, rng=world.rng_for("telemetry"), wall_ms=wall_ms
        )
        self.bus_keys = BusKeys(
            self.host, self.keys, self.authenticator, self.log, self.telemetry.server.look_at_credentials
        )
        self.probes = probes_of(self)
        self.http = HttpServer(
            sources_of(self, ready=lambda: bool(self._tasks) and not self.stopping.is_set()),
            gate=self.authenticator.gate_at(split(config.listen.http)[0] if config.listen.http else ""),
            version=arqonmesh.__version__,
            cors_origins=config.http.cors_origins,
        )
        self._tasks: list[asyncio.Task[None]] = []

    # --- life ---------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Raises ConfigError when a port is taken or the mesh knows this node otherwise, StorageError when the disk
        fails."""
        for name in ("bus", "telemetry"):
            if address := getattr(self.config.listen, name):
                self.authenticator.check_listen(split(address)[0], f"listen.{name}")
        self.store.on_fatal = self._disk_failed
        await self._stored((mesh_state.put_boot_epoch(self._epoch),))
        if self.config.listen.http:
            await self.http.start(*split(self.config.listen.http))
        # The bus comes last and knows its way back: a client that got in before would never hear its welcome.
        self.host.attach(self.endpoint, self.bus)
        await self.bus.start(*split(self.config.listen.bus))
        self.certificates.on_rotated = lambda leaf: self.endpoint.rotate(leaf, local=self._local)
        durable = {**self._durable, "streams": self.history.load(), "ended": ((self.history.ended_life,),)}
        begun = self.node.start(self.host.now(), durable, self._mesh)
        self._refuse_another_self()
        self.host.perform(begun)
        self.bus_keys.look()
        self._describe()
        self._want_operator_links()
        self._durable = {}
        self.lag.start()
        self._tasks = [asyncio.create_task(self._sample()), asyncio.create_task(self._renew())]
        if self.config.listen.telemetry:
            self._tasks.append(await self.telemetry.start(*split(self.config.listen.telemetry)))
        self.log.add("node", f"node {short(self.key.node_id)} of cluster {self.config.node.cluster} is up")
        if self.authenticator.anonymous != "off":
            self.log.add(
                "node",
                f"bus: {self.bus.address[0]}:{self.bus.address[1]} lets anyone in who reaches it, as "
                f"{self.authenticator.anonymous}; arqon bus key new NAME ends that",
            )

    def adopt(self, config: Config, authenticator: Authenticator) -> None:
        """Go on with other settings, hot ones alone, and judge clients as `authenticator` does. Nothing here fails:
        what can was done by who made the two (reload.py)."""
        self.config = config
        self.authenticator.adopt(authenticator)
        self.node.adopt(self.host.now(), config)
        self.bus.adopt(config.bus)
        self.telemetry.adopt(config)
        self.history.adopt(config.bus.history)
        self.http.cors_origins = config.http.cors_origins

    def request_stop(self, why: str) -> None:
        if not self.stopping.is_set():
            self.log.add("node", f"stopping: {why}")
            self.stopping.set()

    async def close(self) -> None:
        """Drain and end. What bus clients handed over before this is sent, or held on disk."""
        self.stopping.set()
        self.lag.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.bus.close()
        self.host.perform(self.node.end_windows(self.host.now()))
        await self._drain()
        peers = list(self.endpoint.links())
        await self.endpoint.close("the node stops")
        for peer in peers:
            self.host.perform(self.node.transport_down(self.host.now(), peer, "the node stops"))
        self.host.close()
        await self.telemetry.server.close()
        await self.http.close()
        await self.history.close(self.node.bus.shelf.epoch)
        await self.bus_keys.close()
        self.log.close()
        self.keys.close()
        await self.store.close()

    # --- mesh ---------------------------------------------------------------------------------------------

    async def enter(self, mesh: MeshIdentity) -> None:
        """Belong to this mesh, in an epoch of its own; both are on disk first."""
        self._epoch = mesh_state.next_epoch(self._epoch, wall_ms())
        await self._stored((mesh_state.put_boot_epoch(self._epoch), *mesh_state.put_mesh(mesh)))
        self._mesh = mesh
        self._local = dataclasses.replace(self._local, boot_epoch=self._epoch)
        self.node.renew_epoch(self._epoch)
        self.certificates.rotate(mesh_id=mesh.mesh_id)
        durable = await asyncio.to_thread(self.store.snapshot)
        self.host.perform(self.node.enter_mesh(self.host.now(), durable, mesh))
        self._describe()
        self._want_operator_links()

    async def leave_mesh(self) -> None:
        """Close the links, forget the mesh and everything kept of it."""
        for peer in list(self.endpoint.links()):
            self.endpoint.forget(peer)
            self.endpoint.disconnect(peer, "left the mesh")
        for dial in self.endpoint.dials():
            self.endpoint.forget(dial.peer, dial.address)
        self.host.perform(self.node.leave_mesh(self.host.now()))
        self.story.leave_mesh()
        self.bus_keys.leave_mesh()
        self._mesh = None
        self.certificates.rotate(mesh_id=NO_MESH)
        await self._stored(())  # whatever the cores had queued is written before it is forgotten
        await self._stored(mesh_state.forget_mesh(await asyncio.to_thread(self.store.snapshot)))
        self.log.add("mesh", "left the mesh")

    def forget_fallen(self, event: Event) -> None:
        """End all wishes for a link that fell: of a node that leaves, since who heard its farewell closed the link."""
        assert isinstance(event, LinkDown)
        for dial in self.endpoint.dials():
            if dial.peer == event.peer:
                self.endpoint.forget(dial.peer, dial.address)

    # --- links --------------------------------------------------------------------------------------------

    async def add_link(self, address: str) -> None:
        await self._stored((Put("links", (address, "", wall_ms())),))
        self.operator_links[address] = ""
        self.endpoint.want(None, (address,))

    def _want_operator_links(self) -> None:
        for address in self.operator_links:
            self.endpoint.want(None, (address,))

    async def remove_link(self, address: str) -> bool:
        if address not in self.operator_links:
            return False
        del self.operator_links[address]
        await self._stored((Delete("links", (address,)),))
        gone = [dial.peer for dial in self.endpoint.dials() if dial.addresses == (address,)]
        self.endpoint.forget(None, address)
        still_wanted = {dial.peer for dial in self.endpoint.dials()}
        for peer in gone:
            if peer is not None and peer not in still_wanted:
                self.endpoint.disconnect(peer, f"{REMOVED}: the operator of the other side wants it no longer")
        return True

    def addresses(self) -> tuple[str, ...]:
        """Where others may dial this node: as advertised, else as it listens."""
        if self.config.listen.advertise:
            return self.config.listen.advertise
        host, port = self.endpoint.address
        if host not in EVERYWHERE:
            return (f"{host}:{port}",)
        own = _outward_address()
        return () if own is None else (f"{own}:{port}",)

    def own_addresses(self) -> tuple[str, ...]:
        """What leads to this node: where others may dial it, and where it listens."""
        return *self.addresses(), show_address(self.endpoint.address)

    # --- private ------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        if self.node.plane is not None:
            self.host.perform(self.node.describe(self.host.now(), self.addresses(), SOFTWARE, CAPABILITIES))

    def _refuse_another_self(self) -> None:
        """What we send in the name of a cluster that is not ours every other member refuses, and holds against us."""
        plane = self.node.plane
        own = None if plane is None else plane.admission.member(self.key.node_id)
        for _, error in contradictions(own, self.config.node):
            raise error

    async def _stored(self, writes: tuple[Write, ...]) -> None:
        """Write and wait until it is on disk. Raises StorageError when the disk fails: then it never will be."""
        done = asyncio.Event()
        self.store.persist(writes, sync=True, done=done.set)
        waiting = [asyncio.create_task(event.wait()) for event in (done, self._broken)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if not done.is_set():
            assert self.failure is not None
            raise self.failure

    async def _drain(self) -> None:
        """Until every up link has acknowledged what it was sent, or the time is over."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        plane = self.node.plane
        while plane is not None and time.monotonic() < deadline:
            if not any(plane.federation.backlog(peer) for peer in self.endpoint.links()):
                return
            await asyncio.sleep(0.01)

    async def _sample(self) -> None:
        while True:
            self.throughput.sample(self.host.now(), self.endpoint.links())
            self.figures.sample(self.host.now())
            self.bus_keys.look()
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, max(0.05, self.certificates.renew_in_s)))
            if self.certificates.renew_if_due():
                self.log.add("node", "a new leaf certificate is in use; the old one stays valid until it expires")

    def _disk_failed(self, error: StorageError) -> None:
        self.failure = error
        self._broken.set()
        self.request_stop(f"the store failed: {error}")


def split(address: str) -> tuple[str, int]:
    """HOST:PORT, checked by the configuration loader."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _outward_address() -> str | None:
    """This machine's address on its default route; nothing is sent to find out."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return None
