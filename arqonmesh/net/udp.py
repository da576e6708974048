"""One UDP socket for dialling and listening, with many datagrams per system call where the kernel can.

In: UDP_GRO, one `recvmsg` gives up to 64 KiB of equal datagrams. Out: UDP_SEGMENT, one `sendmsg` takes as many
(10 to 18 times cheaper per datagram than one call each). Where the kernel or a route refuses, a plain path does the
same one by one. A socket bound to every address answers from the address that was asked (IP_PKTINFO): a QUIC client
drops answers from another one.

Addresses are pairs `(sockaddr, local)`: `local` is the packed address of ours that was asked, None when the socket
is bound to one address and for connections that we dial.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, TypeAlias

from arqonmesh.errors import ConfigError

SockAddr: TypeAlias = "tuple[str, int] | tuple[str, int, int, int]"
PathAddr: TypeAlias = "tuple[SockAddr, bytes | None]"
Sink: TypeAlias = Callable[[bytes, PathAddr], None]

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
IP_PKTINFO: Final = 8
SO_TIMESTAMPNS: Final = 35

BUFFER_BYTES: Final = 4 << 20
RECEIVE_BYTES: Final = 65_536
READS_PER_WAKEUP: Final = 8
STALE_NS: Final = 500_000_000
"""What waited longer in the kernel is dropped unread. A node that is starved of processor time for a while would else
work for ever on what is seconds old: the buffer holds some 4,000 small datagrams, and its peers have repeated, or
given up, all that waits in it. Dropping costs a hundredth of reading, so the node is up to date again at once, and
what its peers measure is half a second and not twelve."""
STALE_PER_WAKEUP: Final = 4_096
SEGMENTS_MAX: Final = 64
SEGMENTED_BYTES_MAX: Final = 65_000
WAITING_MAX: Final = 1_024
"""Runs of datagrams that wait for a full socket; beyond them they are lost, as on any wire."""
PLAIN_DESTINATIONS_MAX: Final = 256

_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(20) + socket.CMSG_SPACE(16)
_TIMESPEC: Final = struct.Struct("@ll")
_NO_SEGMENTS: Final = {errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT}


class UdpSocket:
    """The node's socket. Give it to a loop with `attach`; close it with `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        segmented_out: bool = True,
        segmented_in: bool = True,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Bind at once. `wall_ns` is the clock of the kernel's timestamps (socket(7), SO_TIMESTAMPNS).

        Raises ConfigError `link.listen` when that address cannot be had.
        """
        self._socket = _bound(host, port)
        self._v6 = self._socket.family == socket.AF_INET6
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        name: SockAddr = self._socket.getsockname()
        self._any = ipaddress.ip_address(name[0].partition("%")[0]).is_unspecified
        if self._any:
            self._ask_for_local_address()
        self._wall_ns = wall_ns
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.segments_in = segmented_in and self._try_option(UDP_GRO, 1)
        self.segments_out = segmented_out and self._try_option(UDP_SEGMENT, 0)
        self.address = (name[0], name[1])
        self.counters: Counter[str] = Counter()
        self._buffer = bytearray(RECEIVE_BYTES)
        self._view = memoryview(self._buffer)
        self._waiting: deque[tuple[list[bytes], PathAddr]] = deque()
        self._plain: set[SockAddr] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def family(self) -> socket.AddressFamily:
        return self._socket.family

    @property
    def buffer_bytes(self) -> tuple[int, int]:
        """What the kernel granted for receiving and sending; it doubles what it was asked for."""
        get = self._socket.getsockopt
        return get(socket.SOL_SOCKET, socket.SO_RCVBUF), get(socket.SOL_SOCKET, socket.SO_SNDBUF)

    def attach(self, loop: asyncio.AbstractEventLoop, readable: Callable[[], None]) -> None:
        self._loop = loop
        loop.add_reader(self._socket.fileno(), readable)

    def receive(self, sink: Sink) -> int:
        """Hand every waiting datagram to `sink`, at most `READS_PER_WAKEUP` reads; how many there were.

        What is stale is dropped and counted, and takes no read from those that are not.
        """
        count, reads, stale = 0, 0, 0
        fresh_ns = self._wall_ns() - STALE_NS
        while reads < READS_PER_WAKEUP and stale < STALE_PER_WAKEUP:
            reads += 1
            try:
                length, ancillary, flags, sender = self._socket.recvmsg_into([self._buffer], _ANCILLARY_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                # An ICMP error for something we sent earlier: that connection's timers notice by themselves.
                self.counters[f"receive.{errno.errorcode.get(error.errno or 0, 'error')}"] += 1
                continue
            if flags & socket.MSG_TRUNC:
                self.counters["receive.truncated"] += 1
                continue
            segment, local, came_ns = self._read_ancillary(ancillary, length)
            if 0 < came_ns < fresh_ns:
                stale += 1
                reads -= 1
                self.counters["receive.stale"] += -(-length // segment)
                continue
            path: PathAddr = (sender, local)
            view = self._view
            for start in range(0, length, segment):
                sink(bytes(view[start : min(start + segment, length)]), path)
                count += 1
        return count

    def send(self, datagrams: list[bytes], path: PathAddr) -> None:
        """Send in order; what the full socket refuses waits (bounded), what the network refuses is lost."""
        if self._waiting:
            self._wait(datagrams, path)
            return
        if not self.segments_out or len(datagrams) == 1 or path[0] in self._plain:
            self._send_each(datagrams, path)
            return
        for run in _equal_runs(datagrams):
            self._send_run(run, path)

    def close(self) -> None:
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._waiting.clear()
        self._socket.close()

    # --- receiving ----------------------------------------------------------------------------------------

    def _read_ancillary(self, ancillary: list[tuple[int, int, bytes]], length: int) -> tuple[int, bytes | None, int]:
        """Bytes of each datagram, the address of ours that was asked, and when it came (0: the kernel does not say)."""
        segment, local, came_ns = max(length, 1), None, 0
        for level, kind, data in ancillary:
            if level == SOL_UDP and kind == UDP_GRO:
                segment = int.from_bytes(data[:4], sys.byteorder) if len(data) >= 4 else segment
            elif level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack(data)
                came_ns = seconds * 1_000_000_000 + nanoseconds
            elif level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                local = data[4:8]
            elif level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                local = data[:16]
        return max(segment, 1), local, came_ns

    def _ask_for_local_address(self) -> None:
        if self._v6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)

    def _try_option(self, option: int, value: int) -> bool:
        try:
            self._socket.setsockopt(SOL_UDP, option, value)
        except OSError:
            return False
        return True

    # --- sending ------------------------------------------------------------------------------------------

    def _send_run(self, run: list[bytes], path: PathAddr) -> None:
        if len(run) == 1:
            self._send_each(run, path)
            return
        ancillary = [*_from_local(path[1]), (SOL_UDP, UDP_SEGMENT, struct.pack("=H", len(run[0])))]
        try:
            self._socket.sendmsg(run, ancillary, 0, path[0])
        except (BlockingIOError, InterruptedError):
            self._wait(run, path)
        except OSError as error:
            if error.errno not in _NO_SEGMENTS:
                self._lost(error, len(run))
                return
            # This route or device does not segment: remember, and send one by one.
            if len(self._plain) >= PLAIN_DESTINATIONS_MAX:
                self._plain.clear()
            self._plain.add(path[0])
            self.counters["send.unsegmented"] += 1
            self._send_each(run, path)

    def _send_each(self, datagrams: list[bytes], path: PathAddr) -> None:
        sockaddr, local = path
        ancillary = _from_local(local)
        for index, datagram in enumerate(datagrams):
            try:
                if ancillary:
                    self._socket.sendmsg([datagram], ancillary, 0, sockaddr)
                else:
                    self._socket.sendto(datagram, sockaddr)
            except (BlockingIOError, InterruptedError):
                self._wait(datagrams[index:], path)
                return
            except OSError as error:
                self._lost(error, 1)

    def _lost(self, error: OSError, count: int) -> None:
        self.counters[f"send.{errno.errorcode.get(error.errno or 0, 'error')}"] += count

    def _wait(self, datagrams: list[bytes], path: PathAddr) -> None:
        if len(self._waiting) >= WAITING_MAX or self._loop is None:
            self.counters["send.full"] += len(datagrams)
            return
        if not self._waiting:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        self._waiting.append((datagrams, path))

    def _writable(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        assert self._loop is not None
        self._loop.remove_writer(self._socket.fileno())
        for datagrams, path in waiting:
            self.send(datagrams, path)


def _equal_runs(datagrams: list[bytes]) -> list[list[bytes]]:
    """Cut into runs of equal size (the last may be shorter) that one segmented send takes."""
    runs: list[list[bytes]] = []
    run: list[bytes] = []
    size = total = 0
    open_ended = False
    for datagram in datagrams:
        length = len(datagram)
        fits = open_ended and length <= size and len(run) < SEGMENTS_MAX and total + length <= SEGMENTED_BYTES_MAX
        if fits:
            run.append(datagram)
            total += length
            open_ended = length == size
            continue
        run, size, total, open_ended = [datagram], length, length, True
        runs.append(run)
    return runs


def _from_local(local: bytes | None) -> list[tuple[int, int, bytes]]:
    if local is None:
        return []
    if len(local) == 4:
        return [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, local, bytes(4)))]
    return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, struct.pack("=16sI", local, 0))]


def _bound(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _no_listen(host, port, error) from error
    family, _, _, _, sockaddr = found[0]
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(sockaddr)
    except OSError as error:
        made.close()
        raise _no_listen(host, port, error) from error
    return made


def _no_listen(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        "link.listen",
        f"cannot listen on {host}:{port}/udp: {error.strerror or error}; a free address of this machine is needed",
        hint="ss -ulnp    # who has the port; then set listen.quic in arqon.yaml",
    )
