"""The bus over WebSocket (RFC 6455): JSON in text frames, or CBOR in binary ones where `arqon.v1.cbor` was agreed.

picows_server.py  accepts connections and bounds those whose handshake is not done
handshake.py      judges a handshake
refusing.py       tells who is turned away, over HTTP or, for a page, by a close frame
connection.py     one client: its frames, its end
outgoing.py       what goes to clients, and what waits for them
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from picows import WSCloseCode, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.closing import CLOSE_GRACE_S
from arqonmesh.bridge.connection import ClientLook, Connection
from arqonmesh.bridge.handshake import TurnedAway, judge
from arqonmesh.bridge.heartbeat import PING_INTERVAL_S, PONG_TIMEOUT_S, Pulse
from arqonmesh.bridge.listening import no_listen
from arqonmesh.bridge.outgoing import UNSENT_BYTES_MAX, Outgoing
from arqonmesh.bridge.picows_server import Acceptor
from arqonmesh.bridge.port import BusPort
from arqonmesh.bridge.refusing import Refusals
from arqonmesh.config.model import BusSettings
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.events import Dropped
from arqonmesh.ids import ClientId


class BusServer:
    """All bus clients of a node. `deliver`, `throttle`, `await_drain` and `close_client` perform the core's effects."""

    def __init__(
        self,
        port: BusPort,
        settings: BusSettings,
        *,
        authenticator: Authenticator | None = None,
        ping_interval_s: float = PING_INTERVAL_S,
        pong_timeout_s: float = PONG_TIMEOUT_S,
        unsent_bytes_max: int = UNSENT_BYTES_MAX,
        spill_folder: Path | None = None,
    ) -> None:
        self.port = port
        self.settings = settings
        self.counters: Counter[str] = Counter()
        """frames_in, frames_out, bytes_out, turns_cut, and one per reason of the tables in closing.py, handshake.py."""
        self.pulse = Pulse(ping_interval_s, pong_timeout_s)
        self.round_trips = self.pulse.round_trips
        self._connections: dict[ClientId, Connection] = {}
        self.outgoing = Outgoing(
            settings,
            self._connections,
            self.counters,
            cut_off=self.cut_off,
            drained=port.client_drained,
            dropped=port.dropped,
            unsent_bytes_max=unsent_bytes_max,
            spill_folder=spill_folder,
        )
        self.written = self.outgoing.written
        self.deliver = self.outgoing.deliver
        self.await_drain = self.outgoing.await_drain
        self._authenticator = authenticator or Authenticator(settings)
        self._acceptor = Acceptor(
            self._accept, self.refused, settings.frame_bytes_max, per_address_max=settings.connections_per_address_max
        )
        self._refusals = Refusals()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._closing = False

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises ConfigError when the address cannot be had, or would let anyone in by accident."""
        self._authenticator.check_listen(host, "listen.bus")
        self._loop = asyncio.get_running_loop()
        try:
            self._server = await self._acceptor.listen(host, port)
        except OSError as wrong:
            raise no_listen("bus.listen", "the bus", host, port, "listen.bus", wrong) from wrong
        self._sweep_later()

    def adopt(self, settings: BusSettings) -> None:
        """Other settings from now on, the hot ones; origins and compression count from the next handshake."""
        self.settings = settings
        self._acceptor.per_address_max = settings.connections_per_address_max
        self.outgoing.slow.adopt(settings)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; the port that was taken when 0 was asked for."""
        assert self._server is not None
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    @property
    def client_count(self) -> int:
        return len(self._connections)

    async def close(self, reason: str = "the node stops") -> None:
        """Say 1001 to everyone, give them a moment, and be gone."""
        self._closing = True  # a handshake that is under way would make a client that nobody waits to be rid of
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._refusals.close()
        self.outgoing.flush()
        for connection in list(self._connections.values()):
            connection.close(WSCloseCode.GOING_AWAY, reason)
            connection.leave_within(CLOSE_GRACE_S)  # whoever is closing already, too
        if self._connections:
            self._emptied = asyncio.Event()
            await self._emptied.wait()  # each connection aborts itself after CLOSE_GRACE_S

    # --- effects ---------------------------------------------------------------------------------------------

    def throttle(self, clients: tuple[ClientId, ...], paused: bool) -> None:
        """Stop or go on reading from these clients."""
        for client in clients:
            connection = self._connections.get(client)
            if connection is not None:
                connection.pause(paused)

    def close_client(self, client: ClientId, code: int, reason: str) -> None:
        """Close with this code after what is queued has been written."""
        connection = self._connections.get(client)
        if connection is not None:
            self.outgoing.flush()
            connection.close(code, reason)

    # --- looks -----------------------------------------------------------------------------------------------

    def unsent_bytes(self) -> int:
        """Bytes waiting for clients to read, all together."""
        return sum(connection.waiting_bytes() for connection in self._connections.values())

    def unsent_bytes_of(self, client: ClientId) -> int:
        """Bytes waiting for this client to read."""
        connection = self._connections.get(client)
        return 0 if connection is None else connection.waiting_bytes()

    def round_trip_us(self, client: ClientId) -> int:
        """Of the client's newest pong; 0 before the first."""
        connection = self._connections.get(client)
        return 0 if connection is None else connection.round_trip_us

    def looks(self) -> Iterator[ClientLook]:
        """Every client as the server sees it; rates since the last sweep."""
        assert self._loop is not None
        now_s = self._loop.time()
        for connection in self._connections.values():
            yield connection.look(now_s)

    # --- connections -----------------------------------------------------------------------------------------

    def _accept(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """Answer a handshake request."""
        if self._closing:
            stopping = TurnedAway(503, "bus.stopping", "the node stops", "connect to another node of the cluster")
            return self._refusals.answer(request, stopping)
        verdict = judge(request.path, request.headers, self.settings, self._authenticator)
        if isinstance(verdict, TurnedAway):
            if verdict.reason:
                self.refused(verdict.reason, "")
            return self._refusals.answer(request, verdict)
        request.headers["Connection"] = "Upgrade"  # Firefox says "keep-alive, Upgrade", which picows would refuse
        connection = Connection(self, verdict)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(verdict.headers()), connection)

    def refused(self, reason: str, address: str) -> None:
        """Count something that was cut off or did not become a client."""
        self.counters[reason] += 1
        self.port.dropped(Dropped("bridge", reason, 1, address))

    def connected(self, connection: Connection, info: ClientInfo) -> None:
        """Its handshake is done: it is a client from now on, and has its id."""
        client = self.port.new_client_id()
        connection.client = client
        self._connections[client] = connection
        self.port.client_connected(client, info)

    def disconnected(self, connection: Connection) -> None:
        if self._connections.pop(connection.client, None) is not None:
            self.outgoing.forget(connection)
            self.port.client_disconnected(connection.client)
            if self._emptied is not None and not self._connections:
                self._emptied.set()

    def cut_off(self, connection: Connection, reason: str, code: int, sentence: str) -> None:
        """Close a client that broke a rule, and count it."""
        if not connection.closing:
            self.refused(reason, connection.client)
            connection.close(code, sentence)

    def _sweep_later(self) -> None:
        assert self._loop is not None
        self._sweeper = self._loop.call_later(self.pulse.interval_s / 2, self._sweep)

    def _sweep(self) -> None:
        """Ping the silent, cut off those who did not answer, recount what waits."""
        assert self._loop is not None
        now_s = self._loop.time()
        self.pulse.begin_sweep()
        for connection in list(self._connections.values()):
            connection.sweep(now_s)
        self.outgoing.recount()
        self._sweep_later()
