"""Addresses as people type them: quic://HOST:PORT, HOST:PORT, [V6]:PORT."""

from __future__ import annotations

from arqonmesh.errors import UsageError


def link_address(text: str) -> str:
    """HOST:PORT of a link address. Raises UsageError for another scheme or a missing or impossible port."""
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme != "quic":
        raise UsageError(
            "cli.address",
            f"{text!r} begins with {scheme!r}; links need quic://HOST:PORT",
            hint="arqon link add quic://HOST:9130",
        )
    host, colon, port = rest.rstrip("/").rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(
            "cli.address",
            f"{text!r} names no host and port; it needs the form HOST:PORT, or [ADDRESS]:PORT for IPv6",
            hint="arqon link add quic://HOST:9130",
        )
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise UsageError(
            "cli.address",
            f"{text!r} has an IPv6 address without brackets; it needs [{host}]:{port}",
            hint=f"arqon link add quic://[{host}]:{port}",
        )
    return f"{host}:{port}"
