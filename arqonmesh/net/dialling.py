"""Dials, from a wish to a first packet: names are looked up, turns are taken, and one timer waits for the next turn.

`dialer.py` decides who is tried when; this performs it on the event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from socket import AddressFamily
from typing import Final

from arqonmesh.config.model import LinkSettings
from arqonmesh.errors import ArqonError
from arqonmesh.ids import NodeId
from arqonmesh.net.addresses import is_address, known_sockaddr, look_up
from arqonmesh.net.api import Authority, DialInfo
from arqonmesh.net.dialer import Dialer, Wish
from arqonmesh.net.udp import SockAddr

DIAL_S: Final = 1.0
"""How long the first dial of each address may take. The next one gets twice the time, up to the whole handshake's: a
peer that is only starved of processor time answers a dial late, and each fresh one costs it another handshake. Within
a dial first packets are repeated steadily (quic_core.PROBE_DOUBLINGS_MAX), so a path that heals is found as soon."""
TURN_S: Final = 4.0
"""The most for one of several addresses: another one's turn must come. Every so many dials one gets the whole time."""
LONG_DIAL_EVERY: Final = 16


class Dialling:
    """Performs the wishes. `start(wish, sockaddr, patience_s)` opens a connection for one."""

    def __init__(
        self,
        settings: LinkSettings,
        *,
        rng: random.Random,
        loop: asyncio.AbstractEventLoop,
        family: AddressFamily,
        authority: Authority,
        linked: Mapping[NodeId, object],
        counters: Counter[str],
        handshake_s: float,
        start: Callable[[Wish, SockAddr, float], None],
        spawn: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._dialer = Dialer(min_s=settings.reconnect_min_ms / 1_000, max_s=settings.reconnect_max_ms / 1_000, rng=rng)
        self._loop = loop
        self._family = family
        self._authority = authority
        self._linked = linked
        self._counters = counters
        self._handshake_s = handshake_s
        self._start = start
        self._spawn = spawn
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    # --- wishes -------------------------------------------------------------------------------------------

    def want(self, peer: NodeId | None, addresses: tuple[str, ...]) -> None:
        """Addresses come from other nodes, too: one that is none is counted and left out (see `parse_address`)."""
        usable = tuple(address for address in addresses if is_address(address))
        if len(usable) < len(addresses):
            self._counters["dial.bad-address"] += len(addresses) - len(usable)
        linked = peer is not None and peer in self._linked
        if not self._dialer.want(peer, usable, self._loop.time(), linked=linked):
            self._counters["dial.refused-wish"] += 1
        self._arm()

    def forget(self, peer: NodeId | None, address: str | None) -> None:
        self._dialer.forget(peer, address)

    def holds(self, wish: Wish) -> bool:
        """Whether the wish is still wished."""
        return self._dialer.holds(wish)

    def infos(self) -> list[DialInfo]:
        return self._dialer.infos(self._loop.time())

    def stop(self) -> None:
        """No dial begins any more."""
        self._stopped = True
        self._arm()

    # --- what became of them ------------------------------------------------------------------------------

    def link_up(self, peer: NodeId, now: float, wish: Wish | None) -> None:
        """A link to this peer stands; `wish`: the one whose dial it was."""
        self._dialer.link_up(peer, now, wish)

    def link_down(self, peer: NodeId, reason: str, now: float) -> None:
        self._dialer.link_down(peer, reason, now)
        self._arm()

    def failed(self, wish: Wish, code: str, error: str, now: float) -> None:
        """A dial came to nothing."""
        if code == "link.self" and wish.peer is None:
            self._dialer.give_up(wish, error)
        else:
            self._dialer.failed(wish, error, now)
        self._arm()

    # --- turns --------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._dialer.deadline()
        if at is not None and not self._stopped:
            self._timer = self._loop.call_at(at, self._on_due)

    def _on_due(self) -> None:
        now = self._loop.time()
        for wish in self._dialer.due(now, dict.fromkeys(self._linked)):
            try:
                sockaddr = known_sockaddr(wish.address, self._family)
            except ArqonError as error:
                self._dialer.failed(wish, f"{error.code}: {error.sentence}", now)
                continue
            if sockaddr is None:
                self._spawn(self._dial_name(wish, wish.address))
            else:
                self._dial(wish, sockaddr)
        self._arm()

    async def _dial_name(self, wish: Wish, address: str) -> None:
        try:
            async with asyncio.timeout(self._handshake_s):
                sockaddr = await look_up(address, self._family)
        except (ArqonError, TimeoutError) as error:
            reason = f"{error.code}: {error}" if isinstance(error, ArqonError) else f"link.name: {address} not resolved"
            self.failed(wish, "link.name", reason, self._loop.time())
            return
        if self._dialer.holds(wish) and wish.state == "dialling":
            self._dial(wish, sockaddr)

    def _dial(self, wish: Wish, sockaddr: SockAddr) -> None:
        if self._authority.mesh_id is None:
            self.failed(wish, "link.no-mesh", "link.no-mesh: this node belongs to no mesh yet", self._loop.time())
            return
        self._start(wish, sockaddr, dial_patience_s(wish.attempt, len(wish.addresses), self._handshake_s))


def dial_patience_s(attempt: int, addresses: int, handshake_s: float) -> float:
    """How long the `attempt`-th dial (from 1) of a wish with so many addresses may take."""
    if attempt % LONG_DIAL_EVERY == 0:
        return handshake_s
    grown_s = DIAL_S * 2.0 ** min((attempt - 1) // addresses, 10)
    return min(grown_s, handshake_s if addresses == 1 else TURN_S, handshake_s)
