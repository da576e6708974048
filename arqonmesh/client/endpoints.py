"""Where to connect, and when again: the nodes of one cluster in turn, with full-jitter back-off.

Any node of a cluster will do, so a lost client first goes round them all without waiting longer each time; only a
whole round without success doubles the wait. "Full jitter" draws each wait evenly from zero to the present bound:
of the ways to spread a thousand clients that lost one node it does the least work in all
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote, urlsplit

from arqonmesh.client.failures import bad_address

RECONNECT_MIN_S: Final = 0.2
RECONNECT_MAX_S: Final = 15.0
RECONNECT_LOCAL_MAX_S: Final = 1.0
"""To a node on this machine: knocking costs nobody anything there, and a restart takes a few seconds. Still drawn from
zero, so that all its clients come back spread over a second."""
STEADY_S: Final = 5.0
"""How long a connection has to live for its node to count as one that works."""


class Endpoints:
    """The addresses of one cluster; `current` is the one in use."""

    def __init__(self, urls: str | Sequence[str], *, name: str = "", kind: str = "") -> None:
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given:
            raise bad_address("")
        self.urls = tuple(map(_checked, given))
        told = (("name", name), ("type", kind))
        self._query = "&".join(f"{key}={quote(value, safe='')}" for key, value in told if value)
        self._at = 0
        self._failed = 0

    @property
    def current(self) -> str:
        return self.urls[self._at]

    @property
    def target(self) -> str:
        """The current address with what the bus should know of this client."""
        return _with_query(self.current, self._query)

    def failed(self) -> None:
        """The current address did not take the client; go on to the next."""
        self._failed += 1
        self._at = (self._at + 1) % len(self.urls)

    def lost(self, lived_s: float) -> None:
        """A connection ended. One that had lived is a new story; one that had not counts as one more failure."""
        if lived_s >= STEADY_S:
            self._failed = 0
            self._at = (self._at + 1) % len(self.urls)
        else:
            self.failed()

    def wait_s(self) -> float:
        """How long to wait before the next attempt."""
        rounds = self._failed // len(self.urls)
        most_s = RECONNECT_LOCAL_MAX_S if _is_local(self.current) else RECONNECT_MAX_S
        bound_s = min(RECONNECT_MIN_S * 2.0 ** min(rounds, 32), most_s)
        return random.random() * bound_s


def _checked(url: str) -> str:
    whole = url if "://" in url else f"ws://{url}"
    try:
        parts = urlsplit(whole)
        fine = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise bad_address(url)
    return whole


def _is_local(url: str) -> bool:
    """Whether this address never leaves the machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _with_query(url: str, query: str) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"
