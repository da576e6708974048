"""A listening socket that speaks WebSocket through picows, with its handshakes bounded and counted.

`picows.ws_create_server` has no hook for connections that never finish their handshake, so this derives from its
protocol class. The constructor's positional arguments are private to picows; they are named here and nowhere
else (2.3, pinned below 3), and tests/bridge holds them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
from picows import WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]

HANDSHAKE_TIMEOUT_S: Final = 5.0
HANDSHAKES_MAX: Final = 2_048
"""Connections whose handshake is not done, beyond which the oldest of them gives way: more than come at once when all
clients of a node return together (the kernel queues `_BACKLOG` of them)."""
_READ_BUFFER_BYTES: Final = 2_048
"""Per connection from its start on; most are idle, and who sends more gets more, see below. picows takes no less."""
_KERNEL_BUFFER_BYTES: Final = 131_072
"""SO_RCVBUF of clients. picows doubles its read buffer whenever a read fills it, so this bounds that too."""
_BACKLOG: Final = 1_024
_ACCEPTED_AT_ONCE: Final = 16
"""Per turn of the loop: those who are connected already are not to wait for hundreds who come at once."""

_TLS_HANDSHAKE: Final = 0x16
"""How a TLS record with a ClientHello begins (RFC 8446, 5.1); an HTTP request begins with a letter."""
_TLS_ALERT: Final = b"\x15\x03\x03\x00\x02\x02\x28"
"""The record of a fatal handshake_failure (RFC 8446, 6)."""
_log = logging.getLogger(__name__)

Accept = Callable[[WSUpgradeRequest], WSUpgradeResponseWithListener]
Refused = Callable[[str, str], None]
"""Told (reason, address) of a connection that did not become a client."""


class Acceptor:
    """What all connections of one listening socket share."""

    def __init__(self, accept: Accept, refused: Refused, frame_bytes_max: int, *, per_address_max: int = 0) -> None:
        self.accept = accept
        self.refused = refused
        self.frame_bytes_max = frame_bytes_max
        self.per_address_max = per_address_max
        """Connections of one IP address; 0: no limit."""
        self.by_address: Counter[str] = Counter()
        self.told_of_tls = False
        """The log has been told once; after that `tls` is counted."""
        self.handshakes: dict[_Connection, None] = {}
        """Connections whose handshake is not done, oldest first."""
        # picows logs every connection and every mistake of a client; we count them instead.
        # As an adapter, because of a plain logger picows makes a child for each connection.
        logger = logging.getLogger("arqonmesh.bridge.picows")
        logger.setLevel(logging.CRITICAL)
        self.logger = logging.LoggerAdapter(logger)

    async def listen(self, host: str, port: int) -> asyncio.Server:
        """Listen on HOST:PORT; port 0 takes a free one. Raises OSError."""
        loop = asyncio.get_running_loop()
        family, kind, protocol, _, address = (
            await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _KERNEL_BUFFER_BYTES)
            sock.bind(address)
            server = await loop.create_server(lambda: _Connection(self), sock=sock, backlog=_ACCEPTED_AT_ONCE)
            sock.listen(_BACKLOG)  # asyncio has one number for what the kernel queues and what it accepts in a row
            return server
        except BaseException:
            sock.close()
            raise


class _Connection(WSProtocol):  # type: ignore[misc]  # picows ships no types for this class
    """One accepted connection, from its first byte to its last."""

    def __init__(self, acceptor: Acceptor) -> None:
        super().__init__(
            None,  # host_port, for clients
            None,  # ws_path, for clients
            False,  # is_client_side
            self._upgrade,
            acceptor.logger,
            True,  # disconnect_on_exception
            HANDSHAKE_TIMEOUT_S,
            False,  # enable_auto_ping: the server pings all clients from one timer
            10.0,
            10.0,
            WSAutoPingStrategy.PING_WHEN_IDLE,
            False,  # enable_auto_pong: a PING answered by picows would hide the end of a read
            acceptor.frame_bytes_max,
            None,  # extra_headers
            _READ_BUFFER_BYTES,
        )
        self._acceptor = acceptor
        self._turned_away = False
        self._first: Any = None
        """Where the bytes of the first read are."""
        self._address = ""

    def connection_made(self, transport: Any) -> None:
        acceptor = self._acceptor
        self._address = _host(transport)
        if acceptor.per_address_max and acceptor.by_address[self._address] >= acceptor.per_address_max:
            self._turned_away = True
            acceptor.refused("connections", _address(transport))
            sentence = f"{acceptor.per_address_max} connections come from this address already, which is the most"
            _say_and_close(transport, b"429 Too Many Requests", "bus.connections", sentence)
            return
        if len(acceptor.handshakes) >= HANDSHAKES_MAX:
            # Who means it is done within milliseconds: the oldest is the least likely to be an honest one.
            next(iter(acceptor.handshakes)).give_way()
        acceptor.handshakes[self] = None
        acceptor.by_address[self._address] += 1
        super().connection_made(transport)

    def get_buffer(self, size_hint: int) -> Any:
        self._first = super().get_buffer(size_hint)
        return self._first

    def buffer_updated(self, size: int) -> None:
        """The first bytes are looked at; every later read goes to picows without a detour."""
        if self._first[0] == _TLS_HANDSHAKE:
            self._refuse_tls()
            return
        self._first = None
        self.__dict__.update(get_buffer=super().get_buffer, buffer_updated=super().buffer_updated)
        super().buffer_updated(size)

    def connection_lost(self, exc: Exception | None) -> None:
        self.__dict__.pop("get_buffer", None)
        self.__dict__.pop("buffer_updated", None)
        if self._turned_away:
            return
        acceptor = self._acceptor
        acceptor.handshakes.pop(self, None)
        acceptor.by_address[self._address] -= 1
        if not acceptor.by_address[self._address]:
            del acceptor.by_address[self._address]
        super().connection_lost(exc)
        _untie(self.transport.underlying_transport)

    def give_way(self) -> None:
        """To a newcomer, because too many handshakes are under way."""
        raw = self.transport.underlying_transport
        self._acceptor.handshakes.pop(self, None)
        self._acceptor.refused("handshakes-max", _address(raw))
        _say_and_close(raw, b"503 Service Unavailable", "bus.handshake", "too many handshakes are half done")

    def _refuse_tls(self) -> None:
        """wss:// was said to this plain port: an alert ends it at once, where silence would be waited with for 5 s."""
        raw = self.transport.underlying_transport
        address = _address(raw)
        self._acceptor.refused("tls", address)
        if not self._acceptor.told_of_tls:
            self._acceptor.told_of_tls = True
            _log.warning("%s speaks TLS (wss://), and this port is plain: ws://, or a TLS proxy before it", address)
        raw.write(_TLS_ALERT)
        raw.close()

    def _handshake_timeout_callback(self) -> None:
        raw = self.transport.underlying_transport
        self._acceptor.refused("handshake-slow", _address(raw))
        sentence = f"the request did not arrive within {HANDSHAKE_TIMEOUT_S:g} s"
        _say_and_close(raw, b"408 Request Timeout", "bus.handshake", sentence)

    def _upgrade(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        self._acceptor.handshakes.pop(self, None)
        return self._acceptor.accept(request)


def _say_and_close(transport: Any, status: bytes, code: str, sentence: str) -> None:
    body = msgspec.json.encode({"error": {"code": code, "message": sentence, "hint": f"arqon explain {code}"}})
    head = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    transport.write(head % (status, len(body)) + body)
    transport.close()


def _untie(transport: Any) -> None:
    """asyncio's transports hold methods bound to themselves. Of a connection that lasted, only a full run of the
    garbage collector finds such a ring again, and under a busy bus thousands of them, 2 KB each, wait for it."""
    for name, value in list(getattr(transport, "__dict__", {}).items()):
        if getattr(value, "__self__", None) is transport:
            setattr(transport, name, None)


def _host(transport: Any) -> str:
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""


def _address(transport: Any) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "")
