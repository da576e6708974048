"""A QUIC client that is on nobody's side: aioquic's own connection on a plain UDP socket, nothing of our driver.

It shows the certificates that it is told to show, or none; asks for the protocol that it is told; and writes any bytes
on any stream. What the node sends is kept as it came.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamDataReceived

from arqonmesh.trust.certificates import Leaf

JOIN_STREAM = 1
"""The first stream that a server opens: where a member makes its offer."""
PATIENCE_S = 10.0


class _Quic(QuicConnection):
    """Notes the TLS exporter (RFC 8446, 7.5) that signatures of a join are bound to."""

    exported = b""

    def _update_traffic_key(self, direction: Any, epoch: Any, cipher_suite: Any, secret: Any) -> None:
        super()._update_traffic_key(direction, epoch, cipher_suite, secret)
        if epoch is tls.Epoch.ONE_RTT and direction is tls.Direction.DECRYPT:
            schedule = self.tls.key_schedule
            assert schedule is not None
            master = schedule.derive_secret(b"exp master")
            empty = schedule.hash_empty_value
            inner = tls.hkdf_expand_label(
                algorithm=schedule.algorithm,
                secret=master,
                label=b"EXPORTER-Channel-Binding",
                hash_value=empty,
                length=schedule.algorithm.digest_size,
            )
            self.exported = tls.hkdf_expand_label(
                algorithm=schedule.algorithm, secret=inner, label=b"exporter", hash_value=empty, length=32
            )


class Hostile:
    """One connection. Blocking: every wait pumps the socket until it is over."""

    def __init__(self, port: int, *, leaf: Leaf | None, alpn: str) -> None:
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=[alpn], verify_mode=ssl.CERT_NONE, max_datagram_frame_size=65_535
        )
        if leaf is not None:
            configuration.certificate = leaf.certificate
            configuration.certificate_chain = [leaf.node_certificate]
            configuration.private_key = leaf.private_key
        self.quic = _Quic(configuration=configuration)
        self.streams: dict[int, bytes] = {}
        """What the node said, by stream."""
        self.shaken = False
        """TLS is complete on this side."""
        self.ended: ConnectionTerminated | None = None
        self._at = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(self._at)
        self.quic.connect(self._at, time.monotonic())
        self._flush()

    @property
    def told(self) -> str:
        """Why the node closed; empty before."""
        return "" if self.ended is None else self.ended.reason_phrase

    def until(self, what: str, true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not happen in {timeout_s:g} s; told {self.told!r}")
            self._pump()

    def shake(self) -> None:
        """To the end of the handshake, or of the connection."""
        self.until("a handshake", lambda: self.shaken or self.ended is not None)

    def write(self, stream_id: int, data: bytes) -> None:
        self.quic.send_stream_data(stream_id, data)
        self._flush()

    def datagram(self, data: bytes) -> None:
        self.quic.send_datagram_frame(data)
        self._flush()

    def refused(self) -> str:
        """Wait for the node to close; the code that it gave."""
        self.until("a refusal", lambda: self.ended is not None)
        return self.told.partition(":")[0]

    def close(self) -> None:
        if self.ended is None:
            self.quic.close(reason_phrase="enough")
            self._flush()
        self._socket.close()

    def _pump(self) -> None:
        at = self.quic.get_timer()
        wait_s = 0.05 if at is None else min(0.05, max(0.0005, at - time.monotonic()))
        self._socket.settimeout(wait_s)
        with suppress(TimeoutError, ConnectionRefusedError):
            self.quic.receive_datagram(self._socket.recv(65_536), self._at, time.monotonic())
        at = self.quic.get_timer()
        if at is not None and at <= time.monotonic():
            self.quic.handle_timer(time.monotonic())
        self._flush()

    def _flush(self) -> None:
        while (event := self.quic.next_event()) is not None:
            self._take(event)
        # aioquic tells of an end three probe timeouts later; the reason is there at once.
        self.ended = self.ended or self.quic._close_event
        for data, _ in self.quic.datagrams_to_send(time.monotonic()):
            self._socket.send(data)

    def _take(self, event: QuicEvent) -> None:
        if isinstance(event, HandshakeCompleted):
            self.shaken = True
        elif isinstance(event, StreamDataReceived):
            self.streams[event.stream_id] = self.streams.get(event.stream_id, b"") + event.data
        elif isinstance(event, ConnectionTerminated):
            self.ended = event


@contextmanager
def hostile(port: int, *, leaf: Leaf | None, alpn: str) -> Iterator[Hostile]:
    """A client at the node's QUIC port, after its handshake or its refusal."""
    client = Hostile(port, leaf=leaf, alpn=alpn)
    try:
        client.shake()
        yield client
    finally:
        client.close()
