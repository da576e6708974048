"""How connections begin: as whom we show ourselves, and which session speaks on each.

Dialled for a link or a join, or answered to a stranger: whatever begins is made of the leaf and the name that this
node has at that moment, and keeps them. Nothing here knows what becomes of it (endings.py for how it may end).
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Coroutine

from aioquic.quic.configuration import QuicConfiguration

from arqonmesh.ids import NodeId
from arqonmesh.net.api import Authority, JoinBuilder
from arqonmesh.net.connection import Connection
from arqonmesh.net.dialer import Wish
from arqonmesh.net.entry import Entry
from arqonmesh.net.hello import LocalNode
from arqonmesh.net.join import JoinClient, JoinServer
from arqonmesh.net.quic_core import MeshQuic, self_check
from arqonmesh.net.quic_fast import quic_class
from arqonmesh.net.session import MeshSession
from arqonmesh.net.tls import Protocols, configuration
from arqonmesh.net.udp import PathAddr, SockAddr
from arqonmesh.net.waiting_room import Stranger
from arqonmesh.trust.certificates import Leaf
from arqonmesh.wire.messages import JoinAccept, JoinOffer


@functools.cache
def _checked(fast: bool) -> type[MeshQuic]:
    """The class for our connections, its private names proven once per process."""
    kind = quic_class(fast=fast)
    self_check(kind)
    return kind


class Beginnings:
    """Makes connections and their sessions. `counters` are the endpoint's."""

    def __init__(
        self,
        *,
        local: LocalNode,
        leaf: Leaf,
        authority: Authority,
        protocols: Protocols,
        max_datagram_size: int,
        skew_ms: int,
        wall_ms: Callable[[], int],
        one_lane: bool,
        fast: bool,
        counters: Counter[str],
    ) -> None:
        """Raises ConfigError `link.quic-core`."""
        self._quic_class = _checked(fast)
        self._authority = authority
        self._protocols = protocols
        self._max_datagram_size = max_datagram_size
        self._skew_ms = skew_ms
        self._wall_ms = wall_ms
        self._one_lane = one_lane
        self._counters = counters
        self.show(leaf, local)

    def show(self, leaf: Leaf, local: LocalNode) -> None:
        """Be this node, with this leaf, in what begins from now on."""
        self.local = local
        mesh, join = self._protocols.to_mesh, self._protocols.to_join
        self._to_link = self._configure(leaf, is_client=True, protocols=mesh)
        self._to_join = self._configure(leaf, is_client=True, protocols=join)
        self._to_answer = self._configure(leaf, is_client=False, protocols=mesh + join)

    # --- connections --------------------------------------------------------------------------------------

    def link(self, wish: Wish, sockaddr: SockAddr, now: float) -> Entry:
        """A dial for a link."""
        connection = self._dialled(sockaddr, self._to_link, now)
        return Entry(connection, session=self.mesh_session(connection, wish.peer), wish=wish)

    def join(
        self,
        build: JoinBuilder,
        result: asyncio.Future[tuple[JoinOffer, JoinAccept]],
        sockaddr: SockAddr,
        now: float,
    ) -> Entry:
        """A dial for a join; whoever waits for `result` is told of its end."""
        connection = self._dialled(sockaddr, self._to_join, now)
        client = JoinClient(connection, build=build, wall_ms=self._wall_ms, skew_ms=self._skew_ms, result=result)
        return Entry(connection, session=client, settled=True)

    def answer(self, stranger: Stranger, now: float) -> Entry | None:
        """A connection for a stranger's handshake; None when nothing of what it sent could be decrypted."""
        verdict, path, _, datagrams = stranger
        quic = self._quic_class(
            configuration=self._to_answer,
            original_destination_connection_id=verdict.original_destination,
            retry_source_connection_id=verdict.retry_source,
        )
        connection = Connection(quic, path, outbound=False, now=now)
        connection.connection_ids.add(datagrams[0][6 : 6 + datagrams[0][5]])
        for datagram in datagrams:
            connection.receive(datagram, path, now)
        return None if quic.untouched else Entry(connection)

    def _dialled(self, sockaddr: SockAddr, config: QuicConfiguration, now: float) -> Connection:
        quic = self._quic_class(configuration=config)
        path: PathAddr = (sockaddr, None)
        quic.connect(path, now)
        return Connection(quic, path, outbound=True, now=now)

    def _configure(self, leaf: Leaf, *, is_client: bool, protocols: list[str]) -> QuicConfiguration:
        return configuration(leaf, is_client=is_client, protocols=protocols, max_datagram_size=self._max_datagram_size)

    # --- sessions -----------------------------------------------------------------------------------------

    def is_join(self, connection: Connection) -> bool:
        """Once TLS is complete: for a join, or for a link? Raises PeerError `link.version` when for nothing of ours."""
        agreed = connection.quic.alpn
        self._protocols.check(agreed, dialled=connection.outbound)
        return agreed == self._protocols.join

    def mesh_session(self, connection: Connection, expected: NodeId | None = None) -> MeshSession:
        """`expected`: the only peer that it may be with."""
        return MeshSession(
            connection,
            local=self.local,
            authority=self._authority,
            wall_ms=self._wall_ms,
            skew_ms=self._skew_ms,
            one_lane=self._one_lane,
            expected=expected,
            counters=self._counters,
        )

    def join_server(
        self,
        connection: Connection,
        *,
        refused: Callable[[str], None],
        changed: Callable[[], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> JoinServer:
        """The member's side of a join; see there for what it calls."""
        return JoinServer(
            connection,
            authority=self._authority,
            wall_ms=self._wall_ms,
            skew_ms=self._skew_ms,
            refused=refused,
            changed=changed,
            spawn=spawn,
        )
