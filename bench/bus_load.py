"""Bus load without a library in the way: a blocking publisher and a blocking subscriber over raw RFC 6455 frames.

Measures the nodes, not the load. The publisher masks with a zero key (legal, and the bytes stay readable); the
subscriber finds every sequence number with one regular expression per read, so it can prove that nothing is lost,
doubled or out of order at several hundred thousand messages a second.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import struct
import time
from dataclasses import dataclass, field

CHANNEL = "bench:cross"
NUMBER_BASE = 10**9
TIME_BASE = 10**18
"""Added so that every stamp has one width without leading zeros, which JSON does not allow."""
STAMP = re.compile(rb'"n":(\d{10}),"t":(\d{19})')


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    """An upgraded WebSocket connection, the welcome frame not yet read."""
    sock = socket.create_connection((host, port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        (
            f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: arqon.v1\r\n\r\n"
        ).encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"the bus closed during the handshake: {answer!r}")
        answer += piece
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"no upgrade: {answer[:200]!r}")
    return sock


def text_frame(payload: bytes) -> bytes:
    """A client's text frame, masked with zeros."""
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x81, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", 0x81, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x81, 0x80 | 127, length)
    return head + b"\0\0\0\0" + payload


def join(sock: socket.socket, channel: str) -> None:
    """Join and wait for the answer."""
    room, _, name = channel.partition(":")
    envelope = {
        "type": "command",
        "command": "join_channel",
        "room": room,
        "channel": name,
        "id": "arq_01JD0000000000000000000000",
    }
    sock.sendall(text_frame(json.dumps(envelope).encode()))
    seen = b""
    while b'"response"' not in seen:
        piece = sock.recv(65_536)
        if not piece:
            raise ConnectionError(f"the bus closed while joining: {seen!r}")
        seen += piece


def message(channel: str, number: int, at_ns: int, size: int) -> bytes:
    """An event envelope whose payload is padded to `size` bytes."""
    room, _, name = channel.partition(":")
    stamp = f'{{"n":{NUMBER_BASE + number},"t":{TIME_BASE + at_ns},"p":"'
    pad = "x" * max(0, size - len(stamp) - 2)
    return f'{{"type":"event","room":"{room}","channel":"{name}","payload":{stamp}{pad}"}}}}'.encode()


def publish_flat_out(port: int, total: int, size: int, channel: str = CHANNEL, chunk: int = 200) -> float:
    """Send `total` messages as fast as the bus takes them; seconds it took."""
    sock = connect(port)
    began = time.monotonic()
    for start in range(0, total, chunk):
        now = time.monotonic_ns()
        sock.sendall(
            b"".join(text_frame(message(channel, n, now, size)) for n in range(start, min(start + chunk, total)))
        )
    took = time.monotonic() - began
    _linger(sock)
    return took


def publish_at_rate(port: int, total: int, size: int, rate_per_s: int, channel: str = CHANNEL) -> None:
    """Send `total` messages evenly spaced; each carries the time of its sending."""
    sock = connect(port)
    began = time.monotonic_ns()
    for number in range(total):
        due = began + number * 1_000_000_000 // rate_per_s
        wait_s = (due - time.monotonic_ns()) / 1e9
        if wait_s > 0:
            time.sleep(wait_s)
        sock.sendall(text_frame(message(channel, number, time.monotonic_ns(), size)))
    _linger(sock)


def _linger(sock: socket.socket) -> None:
    """Half close and read to the end, so that the kernel does not throw away what was sent."""
    sock.sendall(struct.pack("!BB", 0x88, 0x80) + b"\0\0\0\0")
    sock.settimeout(30)
    try:
        while sock.recv(65_536):
            pass
    except OSError:
        pass
    sock.close()


@dataclass
class Received:
    """What a subscriber saw."""

    count: int = 0
    lost: int = 0
    doubled: int = 0
    first_ns: int = 0
    last_ns: int = 0
    latencies_us: list[int] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        span = (self.last_ns - self.first_ns) / 1e9
        return (self.count - 1) / span if span > 0 else 0.0


def receive(sock: socket.socket, total: int, *, latencies: bool, quiet_s: float = 5.0) -> Received:
    """Read until `total` messages came or nothing came for `quiet_s`."""
    result = Received()
    sock.settimeout(quiet_s)
    expected = 0
    rest = b""
    try:
        while result.count < total:
            piece = sock.recv(1 << 20)
            if not piece:
                break
            now = time.monotonic_ns()
            data = rest + piece
            end = 0
            for match in STAMP.finditer(data):
                number = int(match[1]) - NUMBER_BASE
                end = match.end()
                if number == expected:
                    expected += 1
                elif number < expected:
                    result.doubled += 1
                    continue
                else:
                    result.lost += number - expected
                    expected = number + 1
                result.count += 1
                if latencies:
                    result.latencies_us.append((now + TIME_BASE - int(match[2])) // 1_000)
            if result.first_ns == 0 and result.count:
                result.first_ns = now
            result.last_ns = now
            rest = data[max(end, len(data) - 64) :]
    except TimeoutError:
        pass
    result.lost += total - result.count - result.lost
    return result


def percentile(values: list[int], share: float) -> float:
    """Nearest rank; 0 for no values."""
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else 0.0
