"""Bus clients that misbehave at a real node: a clear error or the door, and nobody else notices."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from arqonmesh.bridge.closing import SLOW_GRACE_S
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from bench.bus_load import connect, join, message, text_frame
from bench.steady import Steady
from tests.e2e.kit import POLICY, counters

LIMITS = "bus: {rate_per_s: 2000, buffer_bytes_max: 1048576, frame_bytes_max: 65536}"
P99_MS_MAX = 100.0
"""On a shared two-core machine; 2 ms is usual."""

pytestmark = pytest.mark.requirement("R-BU-15")


@pytest.fixture(scope="module")
def node(mesh: LoopbackMesh) -> LoopbackNode:
    made = mesh.make("lone", "hub", config=POLICY + LIMITS)
    made.start()
    return made


@contextmanager
def _others_unharmed(node: LoopbackNode) -> Iterator[Steady]:
    """Two well-behaved clients talk the whole time: nothing lost, and quick."""
    with Steady(node.bus, node.bus, "chat:lobby", rate_per_s=200) as others:
        others.flow(20)
        yield others
        others.flow(20)
        figures = others.finish()
        assert figures.flawless
        assert figures.p99_ms < P99_MS_MAX, figures
        assert node("node", "status")["clients"] >= 2


def _closed_with(sock: socket.socket) -> int:
    """The code of the close frame that ends this connection; 0 when it just ends."""
    sock.settimeout(15)
    data = b""
    try:
        while piece := sock.recv(65_536):
            data = (data + piece)[-4_096:]
    except ConnectionResetError:
        pass
    place = data.rfind(b"\x88")
    return int(struct.unpack("!H", data[place + 2 : place + 4])[0]) if place >= 0 and len(data) >= place + 4 else 0


def _answer_to(sock: socket.socket, payload: bytes) -> bytes:
    """What the bus says to this frame, up to its error."""
    sock.sendall(text_frame(payload))
    sock.settimeout(15)
    data = b""
    while b'"error"' not in data:
        piece = sock.recv(65_536)
        assert piece, "the bus hung up"
        data += piece
    return data


def test_rubbish_in_frames_is_answered_and_rubbish_for_frames_is_shown_the_door(node: LoopbackNode) -> None:
    """Envelopes that are none get an error and the client stays; bytes that are no WebSocket end the connection."""
    with _others_unharmed(node):
        with connect(node.bus) as client:
            for payload in (b"{", b"[]", b"null", b'{"type":"event"}', b'{"type":7}', b"[" * 5_000):
                assert b'"code":"bus.' in _answer_to(client, payload).replace(b'": "', b'":"')
            client.sendall(b"\x82\x80\0\0\0\0")
            assert _closed_with(client) == 1003
        with connect(node.bus) as client:
            client.sendall(text_frame(b"\xff\xfe{}"))
            assert _closed_with(client) == 1007
        with connect(node.bus) as client:
            client.sendall(b"\xf1\x02\x03" * 500)
            assert _closed_with(client) in (0, 1002)
        with socket.create_connection(("127.0.0.1", node.bus), timeout=10) as client:
            client.sendall(b"\x16\x03\x01\x02\x00" * 100 + b"\r\n\r\n")
            assert _closed_with(client) == 0


def test_a_giant_frame_ends_its_sender(node: LoopbackNode) -> None:
    """1009, without the bytes being collected first: the header is enough."""
    with _others_unharmed(node), connect(node.bus) as client:
        client.sendall(struct.pack("!BBQ", 0x81, 0x80 | 127, 1 << 40) + b"\0\0\0\0" + b"{" * 1_000)
        assert _closed_with(client) in (0, 1009)
    assert node.rss_mib() < 400


def test_a_flood_is_held_to_the_rate_and_others_go_on(node: LoopbackNode) -> None:
    """Above `bus.rate_per_s` frames are refused, counted, and nobody waits behind them."""
    frames = b"".join(text_frame(message("flood:all", n, 0, 64)) for n in range(500))
    before = counters(node)["rate_limited"]
    stop = threading.Event()

    def flood() -> None:
        with connect(node.bus) as client:
            reader = threading.Thread(target=_swallow, args=(client,), daemon=True)
            reader.start()
            try:
                while not stop.is_set():
                    client.sendall(frames)
            except OSError:
                pass  # cut off by policy is fine, too
            client.close()
            reader.join(10)

    with _others_unharmed(node) as others:
        flooder = threading.Thread(target=flood)
        flooder.start()
        try:
            until("frames refused", lambda: counters(node)["rate_limited"] > before + 1_000)
            others.flow(200)
        finally:
            stop.set()
            flooder.join(20)
        assert not flooder.is_alive()


def test_a_client_that_stops_reading_is_cut_off_and_others_go_on(node: LoopbackNode) -> None:
    """Beyond `bus.buffer_bytes_max` unsent bytes it is gone, with a count; the memory does not stay."""
    reason = "dropped_bridge_slow-client"
    before = counters(node).get(reason, 0)
    with _others_unharmed(node), connect(node.bus) as lazy, connect(node.bus) as busy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        join(lazy, "firehose:all")
        deadline = time.monotonic() + 20
        number = 0
        while counters(node).get(reason, 0) == before:
            assert time.monotonic() < deadline, "the lazy client was never cut off"
            busy.sendall(b"".join(text_frame(message("firehose:all", number + n, 0, 30_000)) for n in range(20)))
            number += 20
        until("its end", lambda: node("node", "status")["clients"] == 3, SLOW_GRACE_S + 10)
    assert node.rss_mib() < 400


def _swallow(sock: socket.socket) -> None:
    try:
        while sock.recv(1 << 16):
            pass
    except OSError:
        return
