"""Many clients of a bus in one process: raw sockets, one epoll, frames split by their headers and nothing else.

Unlike the subscribers of bench/peers/load.py these look at each frame, so that single messages can be accounted for.
"""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.bus_load import text_frame

READ_BYTES: Final = 1 << 18
SIGN_OF_LIFE: Final = struct.pack("!BB", 0x8A, 0x80) + b"\0\0\0\0"
"""A PONG that nobody asked for (RFC 6455, 5.5.3): who is heard is not pinged."""
SIGN_OF_LIFE_EVERY_S: Final = 8.0
IN_FLIGHT: Final = 64
"""Handshakes begun before the first of them is finished; below the backlog of a listening socket."""


def many_files(wanted: int) -> str:
    """Raise the limit of open files as far as it goes; what is missing, as a sentence, or nothing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard >= wanted + 100:
        return ""
    return f"only {hard} files may be open here and {wanted} clients need more (ulimit -Hn)"


class Member:
    """One connection."""

    __slots__ = ("left", "mark", "number", "room", "sock")

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.left = b""
        self.room = 0
        self.mark = 0.0
        """Free for whoever drives this client."""

    def send(self, payload: bytes) -> None:
        self.sock.sendall(text_frame(payload))

    def read(self) -> list[bytes] | None:
        """Whole frames that are there now; None when the connection is closed."""
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, TimeoutError):
            return []
        except OSError:
            return None
        return self.split(data) if data else None

    def split(self, data: bytes) -> list[bytes]:
        """The payloads of the text frames that are complete now; others are left out."""
        if self.left:
            data = self.left + data
        at, end, found = 0, len(data), []
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                start = at + 4
                size = int.from_bytes(data[at + 2 : start], "big") if start <= end else end
            elif size == 127:
                start = at + 10
                size = int.from_bytes(data[at + 2 : start], "big") if start <= end else end
            if start + size > end:
                break
            if data[at] == 0x81 or data[at] == 0x82:
                found.append(data[start : start + size])
            at = start + size
        self.left = data[at:]
        return found

    def wait_for(self, wanted: bytes, within_s: float = 30.0) -> list[bytes]:
        """Read until a frame has these bytes; all frames since. Raises ConnectionError, TimeoutError."""
        seen: list[bytes] = []
        deadline = time.monotonic() + within_s
        self.sock.settimeout(within_s)
        while not any(wanted in frame for frame in seen):
            frames = self.read()
            if frames is None:
                raise ConnectionError(f"closed while waiting for {wanted!r}")
            seen += frames
            if time.monotonic() > deadline:
                raise TimeoutError(f"{wanted!r} did not come")
        return seen


def begin(port: int, path: str = "/", protocol: str = "arqon.v1") -> socket.socket:
    """Connect and send the handshake; the answer is still to be read."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    offered = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n"
        ).encode()
    )
    return sock


def finish(sock: socket.socket, number: int) -> Member:
    """The handshake's answer is read; the client is there. Raises ConnectionError."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionError(f"closed during the handshake: {answer!r}")
        answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise ConnectionError(f"no upgrade: {head[:200]!r}")
    member = Member(sock, number)
    member.left = rest
    return member


def connect_many(port: int, count: int, path: str = "/", protocol: str = "arqon.v1") -> list[Member]:
    """So many clients, a few handshakes in flight at a time."""
    members: list[Member] = []
    while len(members) < count:
        begun = [begin(port, path, protocol) for _ in range(min(IN_FLIGHT, count - len(members)))]
        first = len(members)
        members += [finish(sock, first + index) for index, sock in enumerate(begun)]
    return members


class Crowd:
    """Members that are read whenever something is there; `heard(member, frames)` gets whole frames."""

    def __init__(self, heard: Callable[[Member, Sequence[bytes]], None]) -> None:
        self.selector = selectors.EpollSelector()
        self.heard = heard
        self.closed: list[Member] = []
        """Cut off by the bus; nobody expects this."""
        self._members: dict[Member, None] = {}
        self._alive_at_s = time.monotonic()

    def add(self, member: Member) -> None:
        member.sock.setblocking(False)
        self.selector.register(member.sock, selectors.EVENT_READ, member)
        self._members[member] = None
        if member.left:
            frames = member.split(b"")
            self.heard(member, frames)

    def remove(self, member: Member) -> None:
        self.selector.unregister(member.sock)
        del self._members[member]

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def turn(self, timeout_s: float) -> None:
        """Read what is there, or wait for it."""
        for key, _ in self.selector.select(timeout_s):
            member: Member = key.data
            frames = member.read()
            if frames is None:
                self.remove(member)
                self.closed.append(member)
            elif frames:
                self.heard(member, frames)
        if time.monotonic() - self._alive_at_s > SIGN_OF_LIFE_EVERY_S:
            self._alive_at_s = time.monotonic()
            for member in self._members:
                with contextlib.suppress(OSError):
                    member.sock.send(SIGN_OF_LIFE)

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self.turn(left_s)

    def close(self) -> None:
        for member in self._members:
            member.sock.close()
        self._members.clear()
        self.selector.close()


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6
