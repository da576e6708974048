"""Strangers whose first datagram has come and whose handshake has not begun: bounded, let in one per turn of the loop.

A handshake costs milliseconds, a heartbeat of a standing link a tenth of one. When a whole mesh knocks at once, the
links that stand must not wait behind all of it, or they fall, too, and knock with the others. A first datagram that
is repeated while its sender waits belongs to the same stranger and costs nothing. What may be part of a handshake is
kept, up to one large datagram's bytes: 4 MB in all, whoever fills the room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from arqonmesh.net.intake import INITIAL_BYTES_MAX, Accept, Place
from arqonmesh.net.udp import PathAddr

WAITING_MAX: Final = 256
DATAGRAMS_MAX: Final = 4
"""Kept of one stranger; a ClientHello fits two."""
BYTES_MAX: Final = INITIAL_BYTES_MAX
"""Kept of one stranger: all of the above at the size that fits every path, or the largest there is once."""

LONG_HEADER: Final = 0x80
"""RFC 9000, 17.2: all packets of a handshake have one."""


class Stranger(NamedTuple):
    """Judged at the door. `datagrams` are those that came so far, the first one first."""

    verdict: Accept
    path: PathAddr
    place: Place
    datagrams: list[bytes]


class WaitingRoom:
    """In the order in which they came. `let_in` begins one handshake."""

    def __init__(self, loop: asyncio.AbstractEventLoop, let_in: Callable[[Stranger], None]) -> None:
        self._loop = loop
        self._let_in = let_in
        self._strangers: dict[bytes, Stranger] = {}
        """By the connection id of the first datagram, which its sender drew."""
        self._turn: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._strangers)

    def knows(self, first_id: bytes, datagram: bytes, path: PathAddr) -> bool:
        """Whether this datagram's sender waits already; what is new in it is kept for its turn."""
        known = self._strangers.get(first_id)
        if known is None:
            return False
        kept = known.datagrams
        if (
            known.path == path
            and datagram[0] & LONG_HEADER
            and len(kept) < DATAGRAMS_MAX
            and sum(map(len, kept)) + len(datagram) <= BYTES_MAX
        ):
            kept.append(datagram)
        return True

    def take(self, verdict: Accept, place: Place, first_id: bytes, datagram: bytes, path: PathAddr) -> bool:
        """Let a newcomer wait; False when there is no place."""
        if len(self._strangers) >= WAITING_MAX:
            return False
        self._strangers[first_id] = Stranger(verdict, path, place, [datagram])
        if self._turn is None:
            self._turn = self._loop.call_soon(self._next)
        return True

    def close(self) -> None:
        """Nobody is let in any more."""
        self._strangers.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _next(self) -> None:
        stranger = self._strangers.pop(next(iter(self._strangers)))
        self._turn = self._loop.call_soon(self._next) if self._strangers else None
        self._let_in(stranger)
