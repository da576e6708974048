"""Addresses as people write them, and as the socket wants them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from arqonmesh.errors import ConfigError, PeerError
from arqonmesh.net.udp import SockAddr

SCHEME = "quic://"


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`, `[V6]:PORT` or `quic://...`. Raises ConfigError `link.address`."""
    host, colon, port = text.removeprefix(SCHEME).rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not port.isascii() or not port.isdigit() or not int(port) < 65_536:
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
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host, port, family=socket.AF_INET if family == socket.AF_INET else 0, type=socket.SOCK_DGRAM
        )
    except OSError as error:
        raise PeerError("link.name", f"{host!r} has no address: {error.strerror or error}") from error
    return _for_family(str(found[0][4][0]), port, family, text)


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
    return bare, port, 0, socket.if_nametoindex(scope) if scope else 0
