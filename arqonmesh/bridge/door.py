"""Who asks: the seam between the servers of this room and whatever judges tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import TypeAlias
from urllib.parse import urlsplit

from arqonmesh.core.bus.identity import ANONYMOUS, Identity

Gate: TypeAlias = Callable[[Mapping[str, str], Mapping[str, list[str]]], Identity]
"""Headers (names in lower case) and query of a request in; who that is out. Raises AuthRefused when what it shows is
not enough, Denied for who shows nothing and asks by a name that may be made to lead here."""


def anyone(headers: Mapping[str, str], query: Mapping[str, list[str]]) -> Identity:
    """Where no authentication is configured."""
    return ANONYMOUS


def needs_no_dns(url: str) -> bool:
    """Whether the URL's host is localhost or an address. Any other name's owner can let it lead to this machine, and
    its pages are then of the host that they ask (DNS rebinding)."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or host.endswith(".localhost") or bool(ip_address(host))
    except ValueError:
        return False
