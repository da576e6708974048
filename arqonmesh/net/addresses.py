"""Addresses as people write them, and as the socket wants them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterable
from typing import Final

from arqonmesh.errors import ConfigError, PeerError
from arqonmesh.net.udp import SockAddr

SCHEME: Final = "quic://"
PORT_DIGITS_MAX: Final = 5
LOOK_UPS_MAX: Final = 16
"""Names being looked up at once; one more fails at once and is tried again later."""
_EVERYWHERE_V4: Final = "0.0.0.0"  # noqa: S104 -- compared with, not bound to
_EVERYWHERE: Final = "::"
"""IPv4 as well (RFC 3493): the node's socket takes both."""
_LOCALHOST: Final = "127.0.0.1"
_DIALLED: Final = {_EVERYWHERE_V4: _LOCALHOST, _EVERYWHERE: "::1"}
"""Where Linux sends what is for no host at all: to this machine."""
_looking_up: Final = threading.BoundedSemaphore(LOOK_UPS_MAX)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[V6]:PORT` or `quic://...`. Raises ConfigError `link.address`."""
    host, colon, port = text.removeprefix(SCHEME).rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    fits = port.isascii() and port.isdigit() and len(port) <= PORT_DIGITS_MAX and int(port) < 65_536
    if not colon or not host or not fits:
        raise ConfigError(
            "link.address",
            f"address {text!r} does not fit; it needs to be HOST:PORT, [IPV6]:PORT or quic://HOST:PORT",
            hint="arqon link add quic://HOST:9130",
        )
    return host, int(port)


def is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ConfigError:
        return False
    return True


def show_address(sockaddr: SockAddr) -> str:
    """`HOST:PORT`, with brackets around IPv6 and IPv4 shown as itself."""
    host = sockaddr[0].removeprefix("::ffff:") if "." in sockaddr[0] else sockaddr[0]
    return f"[{host}]:{sockaddr[1]}" if ":" in host else f"{host}:{sockaddr[1]}"


def host_of(sockaddr: SockAddr) -> str:
    """The address without port and scope, IPv4 as itself."""
    host = sockaddr[0].partition("%")[0]
    return host.removeprefix("::ffff:") if "." in host else host


def network_of(host: str) -> str:
    """Whom one sender may well have all of: an IPv4 address, an IPv6 /64 (RFC 6177: a site gets at least one)."""
    return socket.inet_pton(socket.AF_INET6, host)[:8].hex() if ":" in host else host


def literal_host(text: str) -> str | None:
    """The host of an address as `host_of` shows it; None for a name, and for what is no address."""
    try:
        return str(ipaddress.ip_address(parse_address(text)[0].partition("%")[0]))
    except (ConfigError, ValueError):
        return None


def is_among(text: str, own: Iterable[str]) -> bool:
    """Whether an address is one of `own`, as far as that is told without looking a name up: with `[::]:9130` among them
    every loopback address of that port is, with `0.0.0.0:9130` every one of IPv4. Who dials `0.0.0.0` or `[::]` reaches
    a loopback address."""
    host, port = _told(text)
    host = _DIALLED.get(host, host)
    return any(at == port and (mine == host or _loops_back(host, mine)) for mine, at in map(_told, own))


def _loops_back(host: str, mine: str) -> bool:
    """Whether `host` is a loopback address, and one that who listens on `mine` hears."""
    if mine not in (_EVERYWHERE, _EVERYWHERE_V4):
        return False
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return False
    return literal.is_loopback and (mine == _EVERYWHERE or literal.version == 4)


def _told(text: str) -> tuple[str, int]:
    """Host and port, an IP address in its one form."""
    host, port = parse_address(text)
    if host.lower() == "localhost":
        return _LOCALHOST, port
    try:
        literal = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower(), port
    mapped = getattr(literal, "ipv4_mapped", None)
    return str(mapped or literal), port


def known_sockaddr(text: str, family: socket.AddressFamily) -> SockAddr | None:
    """The socket address of a literal IP address; None when a name has to be looked up.

    Raises ConfigError `link.address`, and PeerError `link.family` for IPv6 where the socket has IPv4 only.
    """
    host, port = parse_address(text)
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return None
    return _for_family(str(literal), port, family, text)


async def look_up(text: str, family: socket.AddressFamily) -> SockAddr:
    """The socket address of a name. Raises PeerError `link.name` when there is none."""
    host, port = parse_address(text)
    if not _looking_up.acquire(blocking=False):
        raise PeerError("link.name", f"{host!r} has to wait: {LOOK_UPS_MAX} names are being looked up without answers")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | OSError] = loop.create_future()

    def ask() -> None:
        try:
            wanted = socket.AF_INET if family == socket.AF_INET else socket.AF_UNSPEC
            found: str | OSError = str(socket.getaddrinfo(host, port, wanted, socket.SOCK_DGRAM)[0][4][0])
        except (OSError, ValueError) as error:  # ValueError: no name at all, such as one with a label too long
            found = error if isinstance(error, OSError) else OSError(str(error))
        finally:
            _looking_up.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_give, answer, found)

    # A resolver that is cut off answers after half a minute. Nothing waits for such a thread, also not the process's
    # end; in the loop's own pool a few of them would keep the store and the key derivation waiting.
    threading.Thread(target=ask, daemon=True, name="look-up").start()
    found = await answer
    if isinstance(found, OSError):
        raise PeerError("link.name", f"{host!r} has no address: {found.strerror or found}") from found
    return _for_family(found, port, family, text)


def _give(answer: asyncio.Future[str | OSError], found: str | OSError) -> None:
    if not answer.done():
        answer.set_result(found)


def _for_family(host: str, port: int, family: socket.AddressFamily, text: str) -> SockAddr:
    if family == socket.AF_INET:
        if ":" in host:
            raise PeerError(
                "link.family",
                f"{text} is IPv6 and this node listens on IPv4 only",
                hint="set listen.quic to [::]:9130 in arqon.yaml",
            )
        return host, port
    if ":" not in host:
        host = f"::ffff:{host}"
    bare, _, scope = host.partition("%")
    try:
        return bare, port, 0, socket.if_nametoindex(scope) if scope else 0
    except OSError as error:
        raise PeerError("link.name", f"{text} names the interface {scope!r}, which this machine has not") from error
