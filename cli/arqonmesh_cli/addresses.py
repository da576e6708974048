"""Addresses as people type them: quic://HOST:PORT, HOST:PORT, [V6]:PORT."""

from __future__ import annotations

import re
from typing import Final

from arqonmesh.errors import UsageError

LINK: Final = "arqon link add quic://{}"
"""The command in which an address is given; what is right is put in its place."""
_HOST: Final = re.compile(r"[^\s/@\[\]:]+|\[[0-9A-Fa-f:.]+(%[^\s/@\[\]:]+)?\]")


def link_address(text: str, command: str = LINK) -> str:
    """HOST:PORT of a link address. Raises UsageError for another scheme, no host, or an impossible port; `command` is
    what the hint shows."""
    scheme, separator, rest = text.rpartition("://")
    if separator and scheme != "quic":
        raise _refused(f"{text!r} begins with {scheme!r}; links need quic://HOST:PORT", command, "HOST:9130")
    host, colon, port = rest.rstrip("/").rpartition(":")
    if colon and ":" in host and "[" not in host and "]" not in host:
        said = f"{text!r} has an IPv6 address without brackets; it needs [{host}]:{port}"
        raise _refused(said, command, f"[{host}]:{port}")
    right = colon and _HOST.fullmatch(host) and port.isascii() and port.isdigit()
    if not right or not 0 < int(port[:9]) < 65_536:
        said = f"{text!r} names no host and port; it needs the form HOST:PORT, or [ADDRESS]:PORT for IPv6"
        raise _refused(said, command, "HOST:9130")
    return f"{host}:{port}"


def _refused(sentence: str, command: str, right: str) -> UsageError:
    return UsageError("cli.address", sentence, hint=command.format(right))
