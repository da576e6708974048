"""The node's QUIC endpoint: one socket, all connections, one flush per loop tick.

    readable -> route each datagram by connection id -> drain what arrived -> frames to the listener -> listener.tick
             -> hand lanes over -> build packets -> send

Everything runs on the event loop and nothing blocks. Writers only queue and mark their link; one flush per tick sends
for all. A stranger's datagram meets the intake first; a connection becomes a link only when certificates, authority
and Hello agree (session.py), and until then nothing of it reaches the listener.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, TypeAlias

from aioquic.quic.configuration import QuicConfiguration

from arqonmesh.config.model import LinkSettings
from arqonmesh.core.kernel import Lane
from arqonmesh.errors import ArqonError, TimedOut, UsageError
from arqonmesh.ids import NodeId
from arqonmesh.net.addresses import is_address, known_sockaddr, look_up, parse_address, show_address
from arqonmesh.net.api import Authority, DialInfo, JoinBuilder, LinkInfo, Listener
from arqonmesh.net.connection import Closed, Connection
from arqonmesh.net.dialer import Dialer, Wish
from arqonmesh.net.hello import LocalNode
from arqonmesh.net.intake import Accept, Answer, Intake
from arqonmesh.net.join import JoinClient, JoinServer, code_of
from arqonmesh.net.lanes import Lanes
from arqonmesh.net.links import RETIRE_S, Link, Outcome, Retirement, judge_second
from arqonmesh.net.quic_core import MeshQuic, self_check
from arqonmesh.net.quic_fast import quic_class
from arqonmesh.net.session import Frames, MeshSession
from arqonmesh.net.tls import CONNECTION_ID_BYTES, JOIN_PROTOCOL, MESH_PROTOCOL, configuration
from arqonmesh.net.udp import PathAddr, SockAddr, UdpSocket
from arqonmesh.trust.certificates import Leaf
from arqonmesh.wire.messages import JoinAccept, JoinOffer

CONNECTIONS_MAX: Final = 2_048
HANDSHAKE_S: Final = 5.0
"""From the first datagram to the link, on both sides."""
DIAL_S: Final = 1.0
"""The same for most dials. Retransmissions within one dial thin out quickly, and a fresh dial finds a path that is
only just back the sooner."""
LONG_DIAL_EVERY: Final = 16
"""Every so many dials one gets the whole handshake time, so that paths with seconds of round trip get there, too."""
JOIN_S: Final = 30.0
"""A join connection's whole life at the member."""
FAREWELL_S: Final = 0.5
"""How long `close` waits for what is queued to be acknowledged."""
TIMER_SLACK_S: Final = 0.000_5
NO_ALPN_CODE: Final = 0x100 + 120
"""QUIC's CRYPTO_ERROR with TLS alert no_application_protocol."""

Session: TypeAlias = "MeshSession | JoinServer | JoinClient"


@functools.cache
def _checked(fast: bool) -> type[MeshQuic]:
    """The class for our connections, its private names proven once per process."""
    kind = quic_class(fast=fast)
    self_check(kind)
    return kind


@dataclass(slots=True, eq=False)
class _Entry:
    """One connection and what it is to us."""

    connection: Connection
    session: Session | None = None
    wish: Wish | None = None
    link: Link | None = None
    retirement: Retirement | None = None
    half_open: SockAddr | None = None
    """Counted at the intake under this address."""
    settled: bool = False
    """It became a link, or its end has been told; no refusal is told any more."""
    timer: asyncio.TimerHandle | None = None
    timer_at: float = 0.0
    limit: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        return show_address(self.connection.path[0])


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
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        """Bind and listen. `listen` is HOST:PORT, port 0 takes a free one. `segmented=False` forces the plain UDP path,
        `fast=False` the library's own way for every packet.

        Raises ConfigError: `link.listen`, `link.address`, `link.quic-core`.
        """
        self._quic_class = _checked(fast)
        settings = settings or LinkSettings()
        self._loop = asyncio.get_running_loop()
        self._local = local
        self._leaf = leaf
        self._authority = authority
        self._listener = listener
        self._settings = settings
        self._skew_ms = skew_ms
        self._wall_ms = wall_ms
        self._one_lane = one_lane
        self._handshake_s = handshake_s
        self._intake = intake or Intake()
        self.counters: Counter[str] = Counter()
        """What was dropped, refused or lost here, by reason; see also `socket_counters`."""
        self._entries: dict[_Entry, None] = {}
        self._by_id: dict[bytes, _Entry] = {}
        self._links: dict[NodeId, Link] = {}
        self._entry_of: dict[NodeId, _Entry] = {}
        self._touched: dict[_Entry, None] = {}
        self._dirty: dict[_Entry, None] = {}
        self._scheduled = False
        self._in_tick = False
        self._now = self._loop.time()
        """When the datagrams of this tick came in."""
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialer = Dialer(
            min_s=settings.reconnect_min_ms / 1_000,
            max_s=settings.reconnect_max_ms / 1_000,
            rng=rng or random.Random(),
        )
        self._dial_timer: asyncio.TimerHandle | None = None
        self._client = self._server = self._join = self._configure(is_client=True, protocols=[MESH_PROTOCOL])
        self.rotate(leaf)
        self._udp = UdpSocket(*parse_address(listen), segmented_in=segmented, segmented_out=segmented)
        self._udp.attach(self._loop, self._readable)

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
        self._leaf = leaf
        self._local = local or self._local
        self._client = self._configure(is_client=True, protocols=[MESH_PROTOCOL])
        self._join = self._configure(is_client=True, protocols=[JOIN_PROTOCOL])
        self._server = self._configure(is_client=False, protocols=[MESH_PROTOCOL, JOIN_PROTOCOL])

    def send(self, peer: NodeId, lane: Lane, data: bytes) -> bool:
        """Queue one encoded message; False when there is no link or the lane's bound is reached (counted)."""
        link = self._links.get(peer)
        if link is None:
            self.counters["send.no-link"] += 1
            return False
        if not link.lanes.put(lane, data):
            return False
        self._mark(self._entry_of[peer])
        return True

    def backlog(self, peer: NodeId) -> int:
        """Bytes queued for this peer and not yet handed to QUIC."""
        link = self._links.get(peer)
        return 0 if link is None else link.lanes.backlog

    def want(self, peer: NodeId | None, addresses: tuple[str, ...]) -> None:
        """Dial for ever until it is up, and again whenever it falls; repeats are harmless.

        Addresses come from other nodes, too: one that is none is counted and left out (see `parse_address`).
        """
        if self._closing:
            return
        usable = tuple(address for address in addresses if is_address(address))
        if len(usable) < len(addresses):
            self.counters["dial.bad-address"] += len(addresses) - len(usable)
        linked = peer is not None and peer in self._links
        if not self._dialer.want(peer, usable, self._loop.time(), linked=linked):
            self.counters["dial.refused-wish"] += 1
        self._arm_dialer()

    def forget(self, peer: NodeId | None, address: str | None = None) -> None:
        """End the wish; a link that stands is left alone."""
        self._dialer.forget(peer, address)
        for entry in list(self._entries):
            if entry.wish is not None and not entry.settled and not self._dialer.holds(entry.wish):
                entry.connection.close("link.forgotten")
                self._mark(entry)

    def disconnect(self, peer: NodeId, reason: str) -> None:
        """Close the link's connection now; a wish dials again."""
        entry = self._entry_of.get(peer)
        if entry is not None:
            entry.connection.close(reason)
            self._mark(entry)

    def links(self) -> dict[NodeId, LinkInfo]:
        return {peer: link.refresh() for peer, link in self._links.items()}

    def dials(self) -> list[DialInfo]:
        return self._dialer.infos(self._loop.time())

    async def join(self, address: str, build: JoinBuilder, *, timeout_s: float) -> tuple[JoinOffer, JoinAccept]:
        """Dial with the join protocol. Raises PeerError, Denied (a JoinReject's code and sentence) or TimedOut."""
        if self._closing:
            raise UsageError("link.closed", "the endpoint is closed")
        result: asyncio.Future[tuple[JoinOffer, JoinAccept]] = self._loop.create_future()
        entry: _Entry | None = None
        try:
            async with asyncio.timeout(timeout_s):
                family = self._udp.family
                sockaddr = known_sockaddr(address, family) or await look_up(address, family)
                entry = self._connect(sockaddr, self._join)
                entry.settled = True
                entry.session = JoinClient(
                    entry.connection,
                    build=build,
                    wall_ms=self._wall_ms,
                    skew_ms=self._skew_ms,
                    result=result,
                )
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
                self._mark(entry)

    async def close(self, reason: str) -> None:
        """Give what is queued half a second, say CONNECTION_CLOSE to everyone, release the socket."""
        if self._closing:
            return
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drained()
        for entry in list(self._entries):
            entry.connection.close(reason)
            self._dirty[entry] = None
        self._flush(self._loop.time())
        self._release()

    def _release(self) -> None:
        """Let go of the socket and of every timer, and tell nobody."""
        self._closing = True
        if self._dial_timer is not None:
            self._dial_timer.cancel()
        for entry in list(self._entries):
            self._remove(entry)
        self._dirty.clear()
        self._udp.close()

    async def _drained(self) -> None:
        """Return when all that is queued was acknowledged, or after `FAREWELL_S`."""
        for _ in range(int(FAREWELL_S / 0.005)):
            if not any(self._busy(link) for link in self._links.values()):
                return
            await asyncio.sleep(0.005)

    # --- in -----------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        now = self._now = self._loop.time()
        self._in_tick = True
        try:
            self._udp.receive(self._route)
            touched, self._touched = self._touched, {}
            for entry in touched:
                self._process(entry, now)
            self._listener.tick()
        finally:
            self._in_tick = False
            self._flush(self._loop.time())

    def _route(self, datagram: bytes, path: PathAddr) -> None:
        if datagram[0] & 0x80:
            end = 6 + datagram[5] if len(datagram) > 6 else 0
            entry = self._by_id.get(datagram[6:end])
        else:
            entry = self._by_id.get(datagram[1 : 1 + CONNECTION_ID_BYTES])
        now = self._now
        if entry is None:
            entry = self._stranger(datagram, path, now)
            if entry is None:
                return
        elif entry.connection.outbound and path[1] is not None:
            path = (path[0], None)
        entry.connection.receive(datagram, path, now)
        self._touched[entry] = None

    def _stranger(self, datagram: bytes, path: PathAddr, now: float) -> _Entry | None:
        if self._closing:
            return None
        verdict = self._intake.judge(datagram, path[0], now)
        if isinstance(verdict, Answer):
            self.counters["intake.answered"] += 1
            self._udp.send([verdict.datagram], path)
            return None
        if isinstance(verdict, Accept):
            if len(self._entries) < CONNECTIONS_MAX:
                return self._accept(verdict, datagram, path, now)
            self._refused("link.connection-limit", show_address(path[0]))
        elif verdict.refused:
            self._refused(verdict.reason, show_address(path[0]))
        else:
            self.counters[verdict.reason] += 1
        return None

    def _accept(self, verdict: Accept, datagram: bytes, path: PathAddr, now: float) -> _Entry | None:
        quic = self._quic_class(
            configuration=self._server,
            original_destination_connection_id=verdict.original_destination,
            retry_source_connection_id=verdict.retry_source,
        )
        connection = Connection(quic, path, outbound=False, now=now)
        first_id = datagram[6 : 6 + datagram[5]]
        connection.connection_ids.add(first_id)
        connection.receive(datagram, path, now)
        if quic.untouched:
            # Nothing in it could be decrypted: not the beginning of a connection, and not worth keeping.
            self.counters["drop.garbage"] += 1
            return None
        entry = self._add(connection, now)
        entry.half_open = path[0]
        self._intake.opened(path[0])
        self._touched[entry] = None
        return None

    def _process(self, entry: _Entry, now: float) -> None:
        """Look at what a connection received, or at what its timer did."""
        self._dirty[entry] = None
        arrived = entry.connection.drain()
        for connection_id in arrived.issued:
            self._by_id[connection_id] = entry
        for connection_id in arrived.retired:
            self._by_id.pop(connection_id, None)
        try:
            if arrived.handshake:
                self._on_handshake(entry, now)
            session = entry.session
            if isinstance(session, MeshSession):
                if entry.retirement is not None:
                    entry.retirement.ended_by_peer.update(arrived.ended)
                frames = session.on_arrived(arrived)
                if session.up and not entry.settled:
                    self._on_up(entry, session, now)
                if frames:
                    self._deliver(entry, session.peer, frames)
            elif session is not None:
                session.on_arrived(arrived)
        except ArqonError as error:
            self._refuse(entry, error, now)
        if arrived.closed is not None:
            self._on_closed(entry, arrived.closed, now)

    def _deliver(self, entry: _Entry, peer: NodeId, frames: Frames) -> None:
        link = self._links.get(peer)
        if link is None or (entry.link is None and entry.retirement is None):
            self.counters["drop.after-link"] += sum(len(batch) for _, batch in frames)
            return
        take = self._listener.frame
        for lane, batch in frames:
            link.frames_received += len(batch)
            for data in batch:
                take(peer, lane, data)

    # --- handshakes ---------------------------------------------------------------------------------------

    def _on_handshake(self, entry: _Entry, now: float) -> None:
        connection = entry.connection
        if not connection.outbound:
            entry.session = (
                self._join_server(entry)
                if connection.quic.alpn == JOIN_PROTOCOL
                else self._mesh_session(connection, None)
            )
            if connection.quic.alpn == JOIN_PROTOCOL:
                self._settle(entry)
                entry.settled = True
                self._limit(entry, JOIN_S, "join.timeout")
        session = entry.session
        assert session is not None, "a dialled connection without a session"
        session.on_handshake()
        if isinstance(session, MeshSession):
            if connection.outbound and session.peer in self._links:
                # The peer's own dial was faster; ours has told it nothing yet.
                self._dialer.link_up(session.peer, now, entry.wish)
                self._give_way(entry, now)
                return
            session.open()

    def _mesh_session(self, connection: Connection, expected: NodeId | None) -> MeshSession:
        return MeshSession(
            connection,
            local=self._local,
            authority=self._authority,
            wall_ms=self._wall_ms,
            skew_ms=self._skew_ms,
            one_lane=self._one_lane,
            expected=expected,
            counters=self.counters,
        )

    def _join_server(self, entry: _Entry) -> JoinServer:
        return JoinServer(
            entry.connection,
            authority=self._authority,
            wall_ms=self._wall_ms,
            skew_ms=self._skew_ms,
            refused=lambda code: self._refused(code, entry.address),
            changed=lambda: self._mark(entry),
            spawn=self._spawn,
        )

    def _refuse(self, entry: _Entry, error: ArqonError, now: float) -> None:
        """End a connection for what its peer is or did, and tell everyone why."""
        reason = f"{error.code}: {error.sentence}"
        if not entry.settled or isinstance(entry.session, JoinServer):
            entry.settled = True
            self._refused(error.code, entry.address)
            if entry.wish is not None:
                self._dial_failed(entry.wish, error.code, f"refused here: {reason}", now)
        if isinstance(entry.session, JoinClient):
            entry.session.fail(error)
        self._end(entry, reason, now)

    def _give_way(self, entry: _Entry, now: float) -> None:
        self.counters["link.superseded"] += 1
        entry.settled = True
        self._end(entry, "link.superseded: another connection between these nodes stands", now)

    def _end(self, entry: _Entry, reason: str, now: float) -> None:
        if entry.connection.outbound:
            # The end of our handshake has to leave first, or the peer could not read why we go.
            self._transmit(entry, now)
        entry.connection.close(reason)
        self._dirty[entry] = None

    def _refused(self, code: str, address: str) -> None:
        self.counters[f"refused.{code}"] += 1
        self._listener.refused(code, address)

    # --- links --------------------------------------------------------------------------------------------

    def _on_up(self, entry: _Entry, session: MeshSession, now: float) -> None:
        self._settle(entry)
        entry.settled = True
        assert session.hello is not None
        peer = session.peer
        old = self._links.get(peer)
        if old is None:
            self._new_link(entry, session, now)
            return
        outcome = judge_second(
            old,
            local=self._local.node_id,
            new_outbound=entry.connection.outbound,
            new_boot_epoch=session.hello.boot_epoch,
            now=now,
        )
        self.counters[f"link.second-{outcome.value}"] += 1
        if outcome is Outcome.REPLACE:
            old_entry = self._entry_of[peer]
            old_entry.connection.close("link.replaced: a newer connection of this peer took over")
            self._dirty[old_entry] = None
            self._link_down(old_entry, "replaced by a newer connection of the peer", now)
            self._new_link(entry, session, now)
        elif outcome is Outcome.COLLAPSE:
            self._move_link(old, entry, session, now)
            self._dialer.link_up(peer, now, entry.wish)
        else:
            self._dialer.link_up(peer, now, entry.wish)
            self._retire(entry, session, now)

    def _new_link(self, entry: _Entry, session: MeshSession, now: float) -> None:
        assert session.hello is not None
        info = LinkInfo(
            peer=session.peer,
            address=entry.address,
            transport="quic",
            outbound=entry.connection.outbound,
            software=session.hello.software,
        )
        link = Link(
            peer=session.peer,
            connection=entry.connection,
            session=session,
            lanes=Lanes(collapsed=session.one_lane, counters=self.counters),
            info=info,
            boot_epoch=session.hello.boot_epoch,
            up_at=now,
        )
        entry.link = link
        self._links[link.peer] = link
        self._entry_of[link.peer] = entry
        self._dialer.link_up(link.peer, now, entry.wish)
        self._listener.link_up(link.peer, link.refresh())

    def _move_link(self, link: Link, entry: _Entry, session: MeshSession, now: float) -> None:
        """Two dials collapse: the link goes over to `entry`, nothing of it is lost."""
        loser = self._entry_of[link.peer]
        for stream_id, rest in link.lanes.finish_begun():
            loser.connection.write(stream_id, rest)
        link.lanes.reframe(collapsed=session.one_lane)
        link.waits_for, link.waits_until = loser.connection, now + RETIRE_S
        link.connection, link.session = entry.connection, session
        link.info.address, link.info.outbound = entry.address, entry.connection.outbound
        entry.link, loser.link = link, None
        self._entry_of[link.peer] = entry
        assert isinstance(loser.session, MeshSession)
        self._retire(loser, loser.session, now)

    def _retire(self, entry: _Entry, session: MeshSession, now: float) -> None:
        self.counters["link.superseded"] += 1
        entry.retirement = Retirement(entry.connection, session.streams, now + RETIRE_S)
        self._limit(entry, RETIRE_S, "link.superseded: another connection between these nodes stands")
        self._dirty[entry] = None

    def _link_down(self, entry: _Entry, reason: str, now: float) -> None:
        link, entry.link = entry.link, None
        if link is None:
            return
        del self._links[link.peer]
        del self._entry_of[link.peer]
        link.refresh()
        self._dialer.link_down(link.peer, reason, now)
        self._arm_dialer()
        self._listener.link_down(link.peer, reason)

    def _on_closed(self, entry: _Entry, closed: Closed, now: float) -> None:
        self._settle(entry)
        told = _describe(closed)
        if entry.link is not None:
            who = "closed by the peer" if closed.by_peer else "closed here"
            self._link_down(entry, f"{who}: {told}", now)
        if isinstance(entry.session, JoinClient):
            entry.session.on_closed(Closed(closed.code, told, closed.by_peer))
        if entry.settled:
            return
        entry.settled = True
        if entry.wish is not None:
            who = "refused by peer" if closed.by_peer else "not reached"
            self._dial_failed(entry.wish, code_of(told), f"{who}: {told}", now)
        elif closed.by_peer:
            self.counters["link.left-by-peer"] += 1
        else:
            self._refused(code_of(told) or "link.handshake", entry.address)

    def _busy(self, link: Link) -> bool:
        quic = link.connection.quic
        return not quic.ending and (not link.lanes.idle or quic.unacked_bytes() > 0)

    # --- dialling -----------------------------------------------------------------------------------------

    def _arm_dialer(self) -> None:
        if self._dial_timer is not None:
            self._dial_timer.cancel()
            self._dial_timer = None
        at = self._dialer.deadline()
        if at is not None and not self._closing:
            self._dial_timer = self._loop.call_at(at, self._dial_due)

    def _dial_due(self) -> None:
        now = self._loop.time()
        for wish in self._dialer.due(now, dict.fromkeys(self._links)):
            try:
                sockaddr = known_sockaddr(wish.address, self._udp.family)
            except ArqonError as error:
                self._dialer.failed(wish, f"{error.code}: {error.sentence}", now)
                continue
            if sockaddr is None:
                self._spawn(self._dial_name(wish, wish.address))
            else:
                self._dial(wish, sockaddr)
        self._arm_dialer()

    async def _dial_name(self, wish: Wish, address: str) -> None:
        try:
            async with asyncio.timeout(self._handshake_s):
                sockaddr = await look_up(address, self._udp.family)
        except (ArqonError, TimeoutError) as error:
            reason = f"{error.code}: {error}" if isinstance(error, ArqonError) else f"link.name: {address} not resolved"
            self._dial_failed(wish, "link.name", reason, self._loop.time())
            return
        if self._dialer.holds(wish) and wish.state == "dialling":
            self._dial(wish, sockaddr)

    def _dial(self, wish: Wish, sockaddr: SockAddr) -> None:
        if self._authority.mesh_id is None:
            self._dial_failed(wish, "link.no-mesh", "link.no-mesh: this node belongs to no mesh yet", self._loop.time())
            return
        entry = self._connect(sockaddr, self._client)
        entry.wish = wish
        entry.session = self._mesh_session(entry.connection, wish.peer)
        long = wish.attempt % LONG_DIAL_EVERY == 0
        self._limit(entry, self._handshake_s if long else min(DIAL_S, self._handshake_s), "link.handshake-timeout")

    def _dial_failed(self, wish: Wish, code: str, error: str, now: float) -> None:
        if code == "link.self" and wish.peer is None:
            self._dialer.give_up(wish, error)
        else:
            self._dialer.failed(wish, error, now)
        self._arm_dialer()

    def _connect(self, sockaddr: SockAddr, config: QuicConfiguration) -> _Entry:
        now = self._loop.time()
        quic = self._quic_class(configuration=config)
        path: PathAddr = (sockaddr, None)
        quic.connect(path, now)
        entry = self._add(Connection(quic, path, outbound=True, now=now), now)
        self._mark(entry)
        return entry

    # --- out ----------------------------------------------------------------------------------------------

    def _mark(self, entry: _Entry) -> None:
        """This connection has something to send; one flush per tick takes care of it."""
        self._dirty[entry] = None
        if not self._scheduled and not self._in_tick:
            self._scheduled = True
            self._loop.call_soon(self._flush_tick)

    def _flush_tick(self) -> None:
        self._scheduled = False
        self._flush(self._loop.time())

    def _flush(self, now: float) -> None:
        dirty, self._dirty = self._dirty, {}
        again: list[_Entry] = []
        for entry in dirty:
            if entry not in self._entries:
                continue
            if self._transmit(entry, now):
                again.append(entry)
            elif entry.connection.gone:
                self._remove(entry)
            else:
                self._arm(entry)
        # What the flush itself set off (an end told, a batch cut) goes on in the next tick.
        for entry in (*again, *self._dirty):
            self._mark(entry)

    def _transmit(self, entry: _Entry, now: float) -> bool:
        """Hand over, build, send; whether there is more for the next tick."""
        connection, link = entry.connection, entry.link
        if link is not None and link.may_send(now):
            link.lanes.hand_over(connection)
        if entry.retirement is not None and entry.retirement.step(now):
            connection.close("link.superseded: another connection between these nodes stands")
        for path, datagrams in connection.flush(now):
            self._udp.send(datagrams, path)
        if connection.quic.has_events or connection.untold_end:
            self._process(entry, now)
        return connection.more

    # --- timers and bookkeeping ---------------------------------------------------------------------------

    def _arm(self, entry: _Entry) -> None:
        """Keep one timer per connection; one that fires too early costs less than moving it at every packet."""
        at = entry.connection.deadline()
        if entry.link is not None and entry.link.waits_for is not None:
            soon = self._loop.time() + 0.005
            at = soon if at is None else min(at, soon)
        if at is None or (entry.timer is not None and entry.timer_at <= at + TIMER_SLACK_S):
            return
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer_at = at
        entry.timer = self._loop.call_at(at, self._on_timer, entry)

    def _on_timer(self, entry: _Entry) -> None:
        entry.timer = None
        now = self._loop.time()
        self._in_tick = True
        try:
            entry.connection.on_timer(now)
            self._process(entry, now)
        finally:
            self._in_tick = False
            self._flush(self._loop.time())

    def _limit(self, entry: _Entry, seconds: float, reason: str) -> None:
        if entry.limit is not None:
            entry.limit.cancel()
        entry.limit = self._loop.call_later(seconds, self._on_limit, entry, reason, seconds)

    def _on_limit(self, entry: _Entry, reason: str, seconds: float) -> None:
        entry.limit = None
        if ":" not in reason:
            reason = f"{reason}: no answer from {entry.address} in {seconds:g} s"
        entry.connection.close(reason)
        self._mark(entry)

    def _add(self, connection: Connection, now: float) -> _Entry:
        entry = _Entry(connection)
        self._entries[entry] = None
        for connection_id in connection.connection_ids:
            self._by_id[connection_id] = entry
        if not connection.outbound:
            self._limit(entry, self._handshake_s, "link.handshake-timeout")
        return entry

    def _settle(self, entry: _Entry) -> None:
        """The handshake is over, one way or the other."""
        if entry.half_open is not None:
            self._intake.settled(entry.half_open)
            entry.half_open = None
        if entry.limit is not None:
            entry.limit.cancel()
            entry.limit = None

    def _remove(self, entry: _Entry) -> None:
        self._settle(entry)
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        self._entries.pop(entry, None)
        self._touched.pop(entry, None)
        for connection_id in entry.connection.connection_ids:
            self._by_id.pop(connection_id, None)

    def _configure(self, *, is_client: bool, protocols: list[str]) -> QuicConfiguration:
        return configuration(
            self._leaf,
            is_client=is_client,
            protocols=protocols,
            max_datagram_size=self._settings.max_datagram_size,
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _describe(closed: Closed) -> str:
    """A close in words, with a code of ours in front where there is one."""
    if closed.code == NO_ALPN_CODE:
        return "link.alpn: no protocol in common"
    if closed.reason:
        return closed.reason
    return f"QUIC error {closed.code:#x}" if closed.code else "without a reason"
