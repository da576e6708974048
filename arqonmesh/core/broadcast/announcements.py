"""Announcements that wait: of what lazy peers will be told, when, and which end of a link tells it.

What one peer is to be told shares messages, whose fixed part costs more than five names. The first news after a quiet
time leaves after `first_us`, on every link. Of a steady trickle all that comes within `PAUSE_US` leaves together, and
one end of each lazy link *begins*: the other one holds back for `HELD_BACK_US`, by which time the first has told what
it knows, and says only what it was not told. So in a trickle a payload is announced once per lazy link and not twice,
and whoever lacks one still hears of it from every lazy neighbour that has it, at the latest after both times.

Nobody holds back before a trickle has run for `CALM_US`, nor so long after a link came or went or a payload was asked
for: news of a death come in dozens, and the tree that carries them is torn just then.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import MILLISECOND, SECOND, Instant
from arqonmesh.ids import NodeId

PAUSE_US: Final = 400 * MILLISECOND
"""After announcements the next ones wait so long: at 15 payloads a second six share a message, whose fixed part costs
more than they do."""
HELD_BACK_US: Final = 600 * MILLISECOND
"""So long waits the end that does not begin: for the other one's pause, the way from there, and because the payload may
have come there later than here."""
CALM_US: Final = 2 * SECOND
TRICKLE_MAX: Final = 24
"""When more than so many wait for one peer it is no trickle, and it is told at once: in a burst the tree learns from
early announcements which ways are short."""
PER_MESSAGE: Final = 256


def begins(self_id: NodeId, peer: NodeId) -> bool:
    """Whether of the link between these two our end tells first. Both find the same, and everyone begins on about half
    of its links, whatever its name."""
    return (self_id < peer) == ((ord(self_id[-1]) + ord(peer[-1])) % 2 == 0)


class Announcements:
    """By peer: id to (round, wave, since when it waits), oldest first. Bounded by `PER_MESSAGE` each and the links."""

    def __init__(self, self_id: NodeId, first_us: int) -> None:
        self._self_id = self_id
        self._first_us = first_us
        self._waiting: dict[NodeId, dict[bytes, tuple[int, int, Instant]]] = {}
        self._at: Instant | None = None
        self._next: Instant = 0
        """Nothing leaves before this, but for what fills a message."""
        self._calm_from: Instant = 0
        """From then on the tree is taken to be whole, and the trickle to last."""

    def add(self, now: Instant, peer: NodeId, id_: bytes, round_: int, wave: int) -> bool:
        """`peer` will be told of it. True when that fills a message: `take` it now."""
        waiting = self._waiting.get(peer)
        if waiting is None:
            waiting = self._waiting[peer] = {}
        waiting[id_] = (round_, wave, now)
        if self._at is None:
            self._at = max(now + self._first_us, self._next)
        return len(waiting) >= PER_MESSAGE

    def forget(self, peer: NodeId, id_: bytes) -> None:
        """It has it: it said so, or sent it."""
        waiting = self._waiting.get(peer)
        if waiting is not None:
            waiting.pop(id_, None)

    def drop(self, peer: NodeId) -> None:
        """Its link is down."""
        self._waiting.pop(peer, None)

    def disturbed(self, now: Instant) -> None:
        """The tree may be torn."""
        self._calm_from = now + CALM_US

    def take(self, peer: NodeId, until: Instant | None = None) -> tuple[tuple[bytes, int, int], ...]:
        """What `peer` is told now, as (id, round, wave): all that waits, or what has waited since `until`."""
        waiting = self._waiting[peer]
        if until is None:
            self._waiting[peer] = {}
            return tuple((id_, round_, wave) for id_, (round_, wave, _) in waiting.items())
        ripe: list[tuple[bytes, int, int]] = []
        for id_, (round_, wave, since) in waiting.items():
            if since > until:
                break
            ripe.append((id_, round_, wave))
        for id_, _, _ in ripe:
            del waiting[id_]
        return tuple(ripe)

    def due(self, now: Instant) -> list[tuple[NodeId, tuple[tuple[bytes, int, int], ...]]]:
        """Who is told what, now that a timer fires."""
        if self._at is None or self._at > now:
            return []
        if self._at != self._next:
            self._calm_from = max(self._calm_from, now + CALM_US)
        calm = now >= self._calm_from
        self._at, self._next = None, now + PAUSE_US
        told = []
        for peer, waiting in self._waiting.items():
            if not waiting:
                continue
            holds_back = calm and len(waiting) <= TRICKLE_MAX and not begins(self._self_id, peer)
            have = self.take(peer, now - HELD_BACK_US if holds_back else None)
            if have:
                told.append((peer, have))
            if self._waiting[peer]:
                self._at = self._next
        return told

    def next_due(self) -> Instant | None:
        return self._at
