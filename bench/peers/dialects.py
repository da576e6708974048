"""How clients speak to a bus: what they send to connect, to subscribe and to publish, as bytes on the wire.

Subscribers are told apart from the bus by what they count: a mark in the payload, which every one of these protocols
carries as it came. So frames are counted without being parsed, however many the server puts into one write.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.bus_load import text_frame

MARK: Final = b"~" * 24
"""Stands once in each payload. As long as it is, `bytes.count` looks at every 24th byte alone."""
STAMP_DIGITS: Final = 19
STAMP_BEFORE_MARK: Final = len(b'","m":"') + STAMP_DIGITS
"""Where the stamp begins, seen from the mark."""


def payload(stamp_ns: int, size: int) -> bytes:
    """A JSON object of `size` bytes with a time stamp and the mark."""
    head = b'{"t":"%019d","m":"%b","x":"' % (stamp_ns, MARK)
    return head + b"x" * (size - len(head) - 2) + b'"}'


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol over WebSocket."""

    path: str
    protocol: str
    """Of the handshake; empty for none."""
    subscribe: tuple[bytes, ...]
    """Frames to send after the handshake, each followed by waiting for the `ready` of the same place."""
    ready: tuple[bytes, ...]
    message: Callable[[bytes], bytes]
    """The frame that publishes a payload."""
    greet: int = 0
    """How many of the frames in `subscribe` a publisher has to send, too."""

    def connect(self, port: int, *, subscribe: bool) -> socket.socket:
        """An open connection; a subscriber's is subscribed. Raises ConnectionError, TimeoutError."""
        sock = open_websocket(port, self.path, self.protocol)
        count = len(self.subscribe) if subscribe else self.greet
        for frame, ready in list(zip(self.subscribe, self.ready, strict=True))[:count]:
            sock.sendall(text_frame(frame))
            seen = b""
            while ready not in seen:
                piece = sock.recv(1 << 16)
                if not piece:
                    raise ConnectionError(f"closed while waiting for {ready!r}: {seen[:200]!r}")
                seen += piece
        return sock


def open_websocket(port: int, path: str = "/", protocol: str = "") -> socket.socket:
    """The handshake of RFC 6455; whatever the server says after it is not yet read."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    offered = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    sock.sendall(
        (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n"
        ).encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)  # not a byte beyond the handshake
        if not piece:
            raise ConnectionError(f"closed during the handshake: {answer!r}")
        answer += piece
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"no upgrade: {answer[:200]!r}")
    return sock


def _arqon(data: bytes) -> bytes:
    return text_frame(b'{"type":"event","channel":"bench:fan","payload":%b}' % data)


def _nats(data: bytes) -> bytes:
    return text_frame(b"PUB bench.fan %d\r\n%b\r\n" % (len(data), data))


def _socketio(data: bytes) -> bytes:
    return text_frame(b'42["m",%b]' % data)


ARQON: Final = Dialect(
    "/",
    "arqon.v1",
    (b'{"type":"join","channel":"bench:fan"}', b'{"type":"ping"}'),
    (b'"command":"join_channel"', b'"command":"ping"'),
    _arqon,
)
NATS: Final = Dialect(
    "/",
    "",
    (b'CONNECT {"verbose":false,"pedantic":false,"protocol":1}\r\nPING\r\n', b"SUB bench.fan 1\r\nPING\r\n"),
    (b"PONG\r\n", b"PONG\r\n"),
    _nats,
    greet=1,
)
PLAIN: Final = Dialect("/", "", (), (), text_frame)
"""What one client says goes to all the others, as it is."""
SOCKETIO: Final = Dialect("/socket.io/?EIO=4&transport=websocket", "", (b"40",), (b'40{"sid"',), _socketio, greet=1)
