"""Wishes for links, and when each is tried next: for ever, with exponential back-off and jitter.

Sans-IO. `now` is seconds on the caller's monotonic clock.

    WAITING --due--> DIALLING --a link to the peer--> UP
       ^                |  ^                           |
       +--- failed -----+  +------ link down ----------+

A wish names a peer with its addresses, or, before one knows who is there, addresses alone; it then learns its peer
from the first link. Several addresses are tried in turn. The back-off doubles from min to max, drawn from its upper
half (AWS, "Exponential backoff and jitter", equal jitter), and starts over after a link has held for a while.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

from arqonmesh.ids import NodeId
from arqonmesh.net.api import DialInfo

WISHES_MAX: Final = 1_024
DIALLING_MAX: Final = 32
"""Dials under way at once; more wait their turn."""
STEADY_S: Final = 5.0
"""A link that held this long starts the back-off over."""
ADDRESSES_MAX: Final = 16

State = Literal["dialling", "waiting", "up", "given-up"]


@dataclass(slots=True, eq=False)
class Wish:
    """One wish, updated in place."""

    peer: NodeId | None
    addresses: tuple[str, ...]
    learned: NodeId | None = None
    """Who answered, for a wish that names no peer."""
    state: State = "waiting"
    attempt: int = 0
    """Dials since the last steady link."""
    last_error: str = ""
    next_at: float = 0.0
    up_since: float = 0.0
    turn: int = 0

    @property
    def target(self) -> NodeId | None:
        return self.peer or self.learned

    @property
    def address(self) -> str:
        """The one to try now."""
        return self.addresses[self.turn % len(self.addresses)]


class Dialer:
    """All wishes of a node."""

    def __init__(self, *, min_s: float, max_s: float, rng: random.Random) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._rng = rng
        self._wishes: dict[str, Wish] = {}

    def want(self, peer: NodeId | None, addresses: tuple[str, ...], now: float, *, linked: bool = False) -> bool:
        """Remember the wish; repeats only renew the addresses. False, remembering nothing, without an address or
        above the bound."""
        if not addresses:
            return False
        addresses = addresses[:ADDRESSES_MAX]
        key = peer or addresses[0]
        known = self._wishes.get(key)
        if known is not None:
            known.addresses = addresses
            return True
        if len(self._wishes) >= WISHES_MAX:
            return False
        wish = self._wishes[key] = Wish(peer, addresses, next_at=now)
        if linked:
            self._rise(wish, now)
        return True

    def forget(self, peer: NodeId | None, address: str | None) -> None:
        """End the wish that names this peer; with an address, every wish for it that holds that; with an address alone,
        the wish that names nobody. Another wish for who happens to be there is somebody else's: what an operator wished
        for by address stands, whatever the mesh wants of who answered there."""
        for key, wish in list(self._wishes.items()):
            if address is None:
                ends = wish.peer == peer
            else:
                ends = (wish.target == peer if peer is not None else wish.peer is None) and address in wish.addresses
            if ends:
                del self._wishes[key]

    def due(self, now: float, linked: dict[NodeId, object]) -> list[Wish]:
        """The wishes to dial now; each is marked as dialling."""
        due: list[Wish] = []
        dialling = {wish.target for wish in self._wishes.values() if wish.state == "dialling"}
        under_way = sum(wish.state == "dialling" for wish in self._wishes.values())
        for wish in self._wishes.values():
            if wish.state != "waiting" or wish.next_at > now:
                continue
            if wish.target is not None and wish.target in linked:
                self._rise(wish, now)
                continue
            if under_way + len(due) >= DIALLING_MAX or (wish.target is not None and wish.target in dialling):
                wish.next_at = now + self._min_s
                continue
            wish.state = "dialling"
            wish.attempt += 1
            dialling.add(wish.target)
            due.append(wish)
        return due

    def failed(self, wish: Wish, error: str, now: float) -> None:
        """A dial came to nothing; the next address's turn, after a pause."""
        wish.last_error = error
        if wish.state != "dialling":
            return
        wish.turn += 1
        self._wait(wish, now)

    def give_up(self, wish: Wish, error: str) -> None:
        """This wish can never come true: the address is our own."""
        wish.last_error = error
        wish.state = "given-up"

    def link_up(self, peer: NodeId, now: float, wish: Wish | None = None) -> None:
        """A link to this peer stands; `wish`: the one whose dial it was."""
        if wish is not None and wish.peer is None:
            wish.learned = peer
        for candidate in self._wishes.values():
            if candidate.target == peer and candidate.state != "given-up":
                self._rise(candidate, now)

    def link_down(self, peer: NodeId, reason: str, now: float) -> None:
        for wish in self._wishes.values():
            if wish.target == peer and wish.state == "up":
                wish.last_error = reason
                if now - wish.up_since >= STEADY_S:
                    wish.attempt = 0
                self._wait(wish, now)

    def deadline(self) -> float | None:
        """When `due` has something next; None while nothing waits."""
        return min((wish.next_at for wish in self._wishes.values() if wish.state == "waiting"), default=None)

    def infos(self, now: float) -> list[DialInfo]:
        return [
            DialInfo(
                address=wish.address,
                peer=wish.target,
                state=wish.state,
                attempt=wish.attempt,
                last_error=wish.last_error,
                next_try_in_s=max(0.0, wish.next_at - now) if wish.state == "waiting" else None,
                addresses=wish.addresses,
            )
            for wish in self._wishes.values()
        ]

    def holds(self, wish: Wish) -> bool:
        """Whether the wish is still wished."""
        return any(known is wish for known in self._wishes.values())

    def _rise(self, wish: Wish, now: float) -> None:
        if wish.state != "up":
            wish.state = "up"
            wish.up_since = now

    def _wait(self, wish: Wish, now: float) -> None:
        wish.state = "waiting"
        pause = min(self._max_s, self._min_s * 2.0 ** min(max(wish.attempt - 1, 0), 30))
        wish.next_at = now + pause / 2 + self._rng.random() * pause / 2
