"""The node's QUIC endpoint: what the runtime calls, and what becomes of each connection.

    doorway, dialling ─▶ beginnings ─▶ a connection ─▶ traffic: datagrams in, one flush per loop tick out
    what it brought   ─▶ TLS complete: its session ─▶ Hello: the link table ─▶ frames to the listener ─▶ endings

Everything runs on the event loop and nothing blocks. Writers only queue and mark their link. A stranger's datagram
comes to the door first (doorway.py); a connection becomes a link only when certificates, authority and Hello agree
(session.py), and until then nothing of it reaches the listener.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Final

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import Lane
from arqonmesh.errors import ArqonError, PeerError, TimedOut, UsageError
from arqonmesh.ids import NodeId
from arqonmesh.net.addresses import known_sockaddr, look_up, parse_address
from arqonmesh.net.api import Authority, DialInfo, JoinBuilder, LinkInfo, Listener
from arqonmesh.net.beginnings import Beginnings
from arqonmesh.net.dialer import Wish
from arqonmesh.net.dialling import Dialling
from arqonmesh.net.doorway import Doorway
from arqonmesh.net.endings import Endings
from arqonmesh.net.entry import Entry
from arqonmesh.net.hello import LocalNode
from arqonmesh.net.intake import Intake
from arqonmesh.net.join import JoinServer
from arqonmesh.net.link_table import LinkTable
from arqonmesh.net.links import Link
from arqonmesh.net.session import Frames, MeshSession
from arqonmesh.net.tls import PROTOCOLS, Protocols
from arqonmesh.net.traffic import Traffic
from arqonmesh.net.udp import PathAddr, SockAddr, UdpSocket
from arqonmesh.net.waiting_room import Stranger
from arqonmesh.trust.certificates import Leaf
from arqonmesh.wire.messages import JoinAccept, JoinOffer

JOIN_S: Final = 45.0
"""A join connection's whole life at the member."""
JOINS_MAX: Final = 192
"""Join connections at once: a stranger's certificate opens one, so they must not take the places of links. More than an
authority lets wait (`runtime.authority.ADMISSIONS_WAITING_MAX`), for who is there for too long and asks for nothing."""
FAREWELL_S: Final = 0.5
"""How long `close` waits for what is queued to be acknowledged."""

_log = logging.getLogger(__name__)


class QuicEndpoint:
    """Implements `net.api.Endpoint`. Made on a running loop; `close` ends it."""

    def __init__(
        self,
        *,
        listen: str,
        local: LocalNode,
        leaf: Leaf,
        authority: Authority,
        listener: Listener,
        settings: LinkSettings | None = None,
        skew_ms: int = 300_000,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        rng: random.Random | None = None,
        one_lane: bool = False,
        segmented: bool = True,
        fast: bool = True,
        intake: Intake | None = None,
        handshake_s: float | None = None,
        protocols: Protocols = PROTOCOLS,
    ) -> None:
        """Bind and listen. `listen` is HOST:PORT, port 0 takes a free one. `segmented=False` forces the plain UDP path,
        `fast=False` the library's own way for every packet. `handshake_s`: instead of the settings' `handshake_ms`.

        Raises ConfigError: `link.listen`, `link.address`, `link.quic-core`.
        """
        settings = settings or LinkSettings()
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._handshake_s = settings.handshake_ms / 1_000 if handshake_s is None else handshake_s
        self.counters: Counter[str] = Counter()
        """What was dropped, refused or lost here, by reason; see also `socket_counters`."""
        self._beginnings = Beginnings(
            local=local,
            leaf=leaf,
            authority=authority,
            protocols=protocols,
            max_datagram_size=settings.max_datagram_size,
            skew_ms=skew_ms,
            wall_ms=wall_ms,
            one_lane=one_lane,
            fast=fast,
            counters=self.counters,
        )
        intake = intake or Intake(member_host=authority.known_host)
        self._doorway = Doorway(self, intake, self._loop, self.counters)
        self._links: dict[NodeId, Link] = {}
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp = UdpSocket(*parse_address(listen), segmented_in=segmented, segmented_out=segmented)
        self._traffic = Traffic(self._udp, self._loop, doorway=self._doorway, process=self._process, tick=listener.tick)
        self._timers = self._traffic.timers
        self._dialling = Dialling(
            settings,
            rng=rng or random.Random(),
            loop=self._loop,
            family=self._udp.family,
            authority=authority,
            linked=self._links,
            counters=self.counters,
            handshake_s=self._handshake_s,
            start=self._dial,
            spawn=self._spawn,
        )
        self._table = LinkTable(
            self._links,
            listener=listener,
            dialling=self._dialling,
            timers=self._timers,
            counters=self.counters,
            mark=self._traffic.mark,
        )
        self._endings = Endings(
            listener=listener,
            dialling=self._dialling,
            links=self._table,
            counters=self.counters,
            transmit=self._traffic.transmit,
            mark=self._traffic.mark,
        )

    # --- what the runtime calls ---------------------------------------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        return self._udp.address

    @property
    def socket_counters(self) -> Counter[str]:
        """What the socket lost, by errno."""
        return self._udp.counters

    @property
    def segments(self) -> tuple[bool, bool]:
        """Whether many datagrams per system call are taken (GRO) and given (GSO)."""
        return self._udp.segments_in, self._udp.segments_out

    def rotate(self, leaf: Leaf, *, local: LocalNode | None = None) -> None:
        """Show this leaf in new handshakes from now on; links that stand keep theirs.

        `local`: who we are from now on, for a node that has just joined.
        """
        self._beginnings.show(leaf, local or self._beginnings.local)

    def send(self, peer: NodeId, lane: Lane, data: bytes) -> bool:
        """Queue one encoded message; False when there is no link or the lane's bound is reached (counted)."""
        link = self._links.get(peer)
        if link is None:
            self.counters["send.no-link"] += 1
            return False
        if not link.lanes.put(lane, data):
            return False
        self._traffic.mark(self._table.entry_of[peer])
        return True

    def backlog(self, peer: NodeId) -> int:
        """Bytes queued for this peer and not yet handed to QUIC."""
        link = self._links.get(peer)
        return 0 if link is None else link.lanes.backlog

    def want(self, peer: NodeId | None, addresses: tuple[str, ...]) -> None:
        """Dial for ever until it is up, and again whenever it falls; repeats are harmless."""
        if self._closing:
            return
        self._dialling.want(peer, addresses)

    def forget(self, peer: NodeId | None, address: str | None = None) -> None:
        """End the wish; a link that stands is left alone."""
        self._dialling.forget(peer, address)
        for entry in list(self._traffic.entries):
            if entry.wish is not None and not entry.settled and not self._dialling.holds(entry.wish):
                entry.connection.close("link.forgotten")
                self._traffic.mark(entry)

    def disconnect(self, peer: NodeId, reason: str) -> None:
        """Close the link's connection now; a wish dials again."""
        entry = self._table.entry_of.get(peer)
        if entry is not None:
            entry.connection.close(reason)
            self._traffic.mark(entry)

    def links(self) -> dict[NodeId, LinkInfo]:
        return {peer: link.refresh() for peer, link in self._links.items()}

    def dials(self) -> list[DialInfo]:
        return self._dialling.infos()

    async def join(self, address: str, build: JoinBuilder, *, timeout_s: float) -> tuple[JoinOffer, JoinAccept]:
        """Dial with the join protocol. Raises PeerError, Denied (a JoinReject's code and sentence) or TimedOut."""
        if self._closing:
            raise UsageError("link.closed", "the endpoint is closed")
        result: asyncio.Future[tuple[JoinOffer, JoinAccept]] = self._loop.create_future()
        entry: Entry | None = None
        try:
            async with asyncio.timeout(timeout_s):
                family = self._udp.family
                sockaddr = known_sockaddr(address, family) or await look_up(address, family)
                if self._closing:
                    raise UsageError("link.closed", "the endpoint was closed meanwhile")
                entry = self._beginnings.join(build, result, sockaddr, self._loop.time())
                self._traffic.add(entry)
                self._traffic.mark(entry)
                return await result
        except TimeoutError:
            raise TimedOut(
                "join.timeout",
                f"no answer from {address} in {timeout_s:g} s",
                hint=f"arqon status    # on the member; is {address} its QUIC address, and open for UDP?",
            ) from None
        finally:
            if entry is not None:
                entry.connection.close("join.left")
                self._traffic.mark(entry)

    async def close(self, reason: str) -> None:
        """Give what is queued half a second, say CONNECTION_CLOSE to everyone, release the socket."""
        if self._closing:
            return
        self._closing = True
        self._doorway.shut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drained()
        self._traffic.farewell(reason)
        self._release()

    def _release(self) -> None:
        """Let go of the socket and of every timer, and tell nobody."""
        self._closing = True
        self._dialling.stop()
        self._doorway.close()
        self._traffic.close()

    async def _drained(self) -> None:
        """Return when all that is queued was acknowledged, or after `FAREWELL_S`."""
        for _ in range(int(FAREWELL_S / 0.005)):
            if not any(self._busy(link) for link in self._links.values()):
                return
            await asyncio.sleep(0.005)

    def _busy(self, link: Link) -> bool:
        quic = link.connection.quic
        return not quic.ending and (not link.lanes.idle or quic.unacked_bytes() > 0)

    # --- what the doorway calls ---------------------------------------------------------------------------

    def admit_stranger(self, stranger: Stranger, now: float) -> Entry | None:
        entry = self._beginnings.answer(stranger, now)
        if entry is not None:
            self._traffic.add(entry)
            self._timers.limit(entry, self._handshake_s, "link.handshake-timeout")
        return entry

    def begin_handshake(self, entry: Entry, now: float) -> None:
        self._traffic.begin(entry, now)

    def give_up(self, entry: Entry, reason: str) -> None:
        self._settle(entry)
        entry.connection.close(reason)
        self._traffic.mark(entry)

    @property
    def connections(self) -> int:
        return len(self._traffic.entries)

    def answer_stranger(self, datagram: bytes, path: PathAddr) -> None:
        self._udp.send([datagram], path)

    def refuse_stranger(self, reason: str, address: str) -> None:
        self._endings.refused(reason, address)

    # --- what dialling and a join call --------------------------------------------------------------------

    def _dial(self, wish: Wish, sockaddr: SockAddr, patience_s: float) -> None:
        entry = self._beginnings.link(wish, sockaddr, self._loop.time())
        self._traffic.add(entry)
        self._traffic.mark(entry)
        self._timers.limit(entry, patience_s, "link.handshake-timeout")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._closing:
            work.close()
            return
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what a connection brought ------------------------------------------------------------------------

    def _process(self, entry: Entry, now: float) -> None:
        """Look at what a connection received, or at what its timer did."""
        arrived = entry.connection.drain()
        if arrived.issued or arrived.retired:
            self._traffic.reroute(entry, arrived)
        try:
            if arrived.handshake:
                self._on_handshake(entry, now)
            session = entry.session
            if isinstance(session, MeshSession):
                if entry.retirement is not None:
                    entry.retirement.ended_by_peer.update(arrived.ended)
                frames = session.on_arrived(arrived)
                if session.up and not entry.settled:
                    self._settle(entry)
                    entry.settled = True
                    self._doorway.linked(entry)
                    self._table.up(entry, session, self._beginnings.local.node_id, now)
                if frames:
                    self._deliver(entry, session.peer, frames)
            elif session is not None:
                session.on_arrived(arrived)
        except ArqonError as error:
            self._endings.refuse(entry, error, now)
        if arrived.closed is not None:
            self._settle(entry)
            self._endings.closed(entry, arrived.closed, now)

    def _deliver(self, entry: Entry, peer: NodeId, frames: Frames) -> None:
        link = self._links.get(peer)
        if link is None or (entry.link is None and entry.retirement is None):
            self.counters["drop.after-link"] += sum(len(batch) for _, batch in frames)
            return
        take = self._listener.frame
        try:
            for lane, batch in frames:
                link.frames_received += len(batch)
                for data in batch:
                    take(peer, lane, data)
        except Exception:
            # Ours is the mistake, but what follows in this read is lost with it: only a new link sends it again.
            _log.exception("a frame of %s broke its reader", peer)
            entry.connection.close("link.frame-failed: the node failed on a frame of this link; its log has the trace")

    def _on_handshake(self, entry: Entry, now: float) -> None:
        connection = entry.connection
        is_join = self._beginnings.is_join(connection)
        if not connection.outbound:
            if is_join:
                self._open_join(entry)
            else:
                entry.session = self._beginnings.mesh_session(connection)
        session = entry.session
        assert session is not None, "a dialled connection without a session"
        session.on_handshake()
        if isinstance(session, MeshSession):
            if connection.outbound and session.peer in self._links:
                # The peer's own dial was faster; ours has told it nothing yet.
                self._dialling.link_up(session.peer, now, entry.wish)
                self._endings.give_way(entry, now)
                return
            session.open()

    def _open_join(self, entry: Entry) -> None:
        joins = sum(isinstance(other.session, JoinServer) for other in self._traffic.entries)
        if joins >= JOINS_MAX:
            raise PeerError("join.too-many", f"{joins} joins are under way here; try again in half a minute")
        entry.session = self._beginnings.join_server(
            entry.connection,
            refused=lambda code: self._endings.refused(code, entry.address),
            changed=lambda: self._traffic.mark(entry),
            spawn=self._spawn,
        )
        self._settle(entry)
        entry.settled = True
        self._timers.limit(entry, JOIN_S, "join.timeout")

    def _settle(self, entry: Entry) -> None:
        """The handshake is over, one way or the other."""
        self._doorway.settled(entry)
        self._timers.unlimit(entry)
