"""How connections end: what the peer reads, what is counted, and what a dial, a join or a link hears of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from arqonmesh.errors import ArqonError
from arqonmesh.net.api import Listener
from arqonmesh.net.connection import Closed
from arqonmesh.net.dialling import Dialling
from arqonmesh.net.entry import Entry
from arqonmesh.net.join import JoinClient, JoinServer, code_of
from arqonmesh.net.link_table import SUPERSEDED, LinkTable

NO_ALPN_CODE: Final = 0x100 + 120
"""QUIC's CRYPTO_ERROR with TLS alert no_application_protocol."""


class Endings:
    """Tells each end once. `transmit` sends what a connection has to say now, `mark` in this tick's flush."""

    def __init__(
        self,
        *,
        listener: Listener,
        dialling: Dialling,
        links: LinkTable,
        counters: Counter[str],
        transmit: Callable[[Entry, float], bool],
        mark: Callable[[Entry], None],
    ) -> None:
        self._listener = listener
        self._dialling = dialling
        self._links = links
        self._counters = counters
        self._transmit = transmit
        self._mark = mark

    def refused(self, code: str, address: str, sentence: str = "") -> None:
        """A connection, or the attempt at one, that became no link."""
        self._counters[f"refused.{code}"] += 1
        self._listener.refused(code, address, sentence)

    def refuse(self, entry: Entry, error: ArqonError, now: float) -> None:
        """End a connection for what its peer is or did, and tell everyone why."""
        reason = f"{error.code}: {error.sentence}"
        if not entry.settled or isinstance(entry.session, JoinServer):
            entry.settled = True
            self.refused(error.code, entry.address, error.sentence)
            if entry.wish is not None:
                self._dialling.failed(entry.wish, error.code, f"refused here: {reason}", now)
        if isinstance(entry.session, JoinClient):
            entry.session.fail(error)
        self._end(entry, reason, now)

    def give_way(self, entry: Entry, now: float) -> None:
        """Another connection to the same peer was there first."""
        self._counters["link.superseded"] += 1
        entry.settled = True
        self._end(entry, SUPERSEDED, now)

    def closed(self, entry: Entry, closed: Closed, now: float) -> None:
        """It has ended, whoever ended it."""
        told = describe(closed)
        if entry.link is not None:
            who = "closed by the peer" if closed.by_peer else "closed here"
            self._links.down(entry, f"{who}: {told}", now)
        if isinstance(entry.session, JoinClient):
            entry.session.on_closed(Closed(closed.code, told, closed.by_peer))
        if entry.settled:
            return
        entry.settled = True
        if entry.wish is not None:
            who = "refused by peer" if closed.by_peer else "not reached"
            self._dialling.failed(entry.wish, code_of(told), f"{who}: {told}", now)
        elif closed.by_peer:
            self._counters["link.left-by-peer"] += 1
        else:
            self.refused(code_of(told) or "link.handshake", entry.address)

    def _end(self, entry: Entry, reason: str, now: float) -> None:
        if entry.connection.outbound:
            # The end of our handshake has to leave first, or the peer could not read why we go.
            self._transmit(entry, now)
        entry.connection.close(reason)
        self._mark(entry)


def describe(closed: Closed) -> str:
    """A close in words, with a code of ours in front where there is one."""
    if closed.code == NO_ALPN_CODE:
        return "link.alpn: no protocol in common"
    if closed.reason:
        return closed.reason
    return f"QUIC error {closed.code:#x}" if closed.code else "without a reason"
