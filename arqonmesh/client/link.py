"""One connection at a time to whichever node takes this client: dialled, welcomed, and given up."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from arqonmesh.client import connection as wire
from arqonmesh.client.connection import Connection
from arqonmesh.client.endpoints import Endpoints
from arqonmesh.client.failures import ended, no_welcome, telemetry_instead
from arqonmesh.client.message import Message, object_of, read
from arqonmesh.client.token import Token


class Owner(Protocol):
    """Who hears what comes on it."""

    def received(self, message: Message) -> None: ...

    def writable(self) -> None: ...

    def lost(self, why: str) -> None: ...


class Link:
    """`connection` is None while there is none that was welcomed."""

    def __init__(self, owner: Owner, endpoints: Endpoints, token: Token, *, heartbeat_s: float, tls: Any) -> None:
        self.connection: Connection | None = None
        self.since_s = 0.0
        """When it was welcomed, by the loop's clock."""
        self.client_id = ""
        self.node = ""
        """The id of the node at the other end."""
        self.frame_bytes_max = 0
        """The largest frame that it takes; 0: it did not say."""
        self._owner = owner
        self._endpoints = endpoints
        self._token = token
        self._heartbeat_s = heartbeat_s
        self._tls = tls
        self._welcome: asyncio.Future[str] | None = None

    async def dial(self) -> None:
        """Connect to the current node and wait for its welcome. Raises ArqonError."""
        endpoints = self._endpoints
        token = await self._token.present()
        loop = asyncio.get_running_loop()
        self._welcome = loop.create_future()
        connection = await Connection.open(
            self, endpoints.target, token=token, heartbeat_s=self._heartbeat_s, tls=self._tls
        )
        try:
            async with asyncio.timeout(wire.CONNECT_TIMEOUT_S):
                why = await self._welcome
        except TimeoutError:
            connection.hang_up()
            raise no_welcome(endpoints.current, wire.CONNECT_TIMEOUT_S) from None
        except BaseException:
            connection.hang_up()
            raise
        if why:
            raise ended(endpoints.current, why)
        if connection.gone:
            raise ended(endpoints.current, "it took the connection and ended it at once")
        self.connection = connection
        self.since_s = loop.time()

    def drop(self) -> bool:
        """Give it up without a word; False when there was none."""
        connection, self.connection = self.connection, None
        if connection is None:
            return False
        connection.hang_up()
        return True

    def signs(self) -> int:
        """As the connection's."""
        return 0 if self.connection is None else self.connection.signs()

    # --- from the connection ---------------------------------------------------------------------------------

    def received(self, connection: Connection, frame: bytes) -> None:
        message = read(frame)
        if message is None:
            return
        welcome = self._welcome
        if welcome is not None and not welcome.done() and message.type in ("system", "welcome"):
            payload = object_of(message)
            if "welcome" in payload:
                self.client_id, self.node = str(payload.get("client_id", "")), str(payload.get("node", ""))
                largest = payload.get("frame_bytes_max")
                self.frame_bytes_max = largest if isinstance(largest, int) else 0
                welcome.set_result("")
                return
            if message.type == "welcome":  # how the telemetry of a node greets
                welcome.set_exception(telemetry_instead(self._endpoints.current))
                return
        self._owner.received(message)

    def writable(self, connection: Connection) -> None:
        self._owner.writable()

    def lost(self, connection: Connection, why: str) -> None:
        if self._welcome is not None and not self._welcome.done():
            self._welcome.set_result(why)
        elif connection is self.connection:  # else given up before
            self.connection = None
            self._owner.lost(why)
