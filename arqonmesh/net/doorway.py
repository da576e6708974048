"""The endpoint's door: from a datagram that leads to no connection to a handshake that has begun, or to nothing.

    datagram ─▶ its sender waits already: kept for its turn
             ─▶ intake (judges it by itself) ─▶ an answer without a connection, a refusal, or a place to wait
    turn     ─▶ the handshake begins; until it is over, its place at the intake is taken

Where others wait for places, handshakes of those whom nobody knows are ended early (`UNKNOWN_S`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final, Protocol

from arqonmesh.net.addresses import show_address
from arqonmesh.net.entry import Entry
from arqonmesh.net.intake import UNKNOWN_S, Accept, Answer, Intake
from arqonmesh.net.udp import PathAddr
from arqonmesh.net.waiting_room import Stranger, WaitingRoom

CONNECTIONS_MAX: Final = 2_048


class Inside(Protocol):
    """What is behind the door: the endpoint fits."""

    @property
    def connections(self) -> int:
        """How many there are."""

    def answer_stranger(self, datagram: bytes, path: PathAddr) -> None: ...
    def refuse_stranger(self, reason: str, address: str) -> None: ...

    def admit_stranger(self, stranger: Stranger, now: float) -> Entry | None:
        """A connection for its handshake; None when nothing of what it sent could be decrypted."""

    def begin_handshake(self, entry: Entry, now: float) -> None: ...

    def give_up(self, entry: Entry, reason: str) -> None:
        """End a handshake that is still open."""


class Doorway:
    """`counters` are the endpoint's."""

    def __init__(self, inside: Inside, intake: Intake, loop: asyncio.AbstractEventLoop, counters: Counter[str]) -> None:
        self._inside = inside
        self._intake = intake
        self._loop = loop
        self._counters = counters
        self._waiting_room = WaitingRoom(loop, self._let_in)
        self._unknown: dict[Entry, float] = {}
        """Open handshakes from where nobody is known to be, and when they began; the oldest first."""
        self._shut = False

    def knock(self, datagram: bytes, path: PathAddr, now: float) -> None:
        """A datagram that leads to no connection: is its sender to wait for one?"""
        if self._shut:
            return
        first_id = datagram[6 : 6 + datagram[5]] if len(datagram) > 6 else b""
        if self._waiting_room.knows(first_id, datagram, path):
            self._counters["intake.repeated"] += 1
            return
        if self._intake.crowded:
            self._hasten(now)
        verdict = self._intake.judge(datagram, path[0], now)
        if isinstance(verdict, Answer):
            self._counters["intake.answered"] += 1
            self._inside.answer_stranger(verdict.datagram, path)
        elif isinstance(verdict, Accept):
            places = CONNECTIONS_MAX - self._inside.connections - len(self._waiting_room)
            place = self._intake.opened(path[0])
            if places <= 0 or not self._waiting_room.take(verdict, place, first_id, datagram, path):
                self._intake.settled(place)
                self._inside.refuse_stranger("link.connection-limit", show_address(path[0]))
        elif verdict.refused:
            self._inside.refuse_stranger(verdict.reason, show_address(path[0]))
        else:
            self._counters[verdict.reason] += 1

    def settled(self, entry: Entry) -> None:
        """Its handshake is over, one way or the other. Repeats are harmless."""
        if entry.half_open is not None:
            self._intake.settled(entry.half_open)
            entry.half_open = None
            self._unknown.pop(entry, None)

    def linked(self, entry: Entry) -> None:
        """It is a member's: whoever comes from there next is known."""
        self._intake.linked(entry.connection.path[0])

    def shut(self) -> None:
        """Nobody who comes from now on is heard; who waits already is let in."""
        self._shut = True

    def close(self) -> None:
        """Nobody is let in any more."""
        self._waiting_room.close()

    def _hasten(self, now: float) -> None:
        """End handshakes that take long where others wait for their places."""
        while self._unknown:
            entry, began = next(iter(self._unknown.items()))
            if now - began < UNKNOWN_S:
                return
            self._inside.give_up(entry, f"link.handshake-timeout: {now - began:.1f} s, and others wait for the place")

    def _let_in(self, stranger: Stranger) -> None:
        """Its turn: begin the handshake."""
        now = self._loop.time()
        entry = self._inside.admit_stranger(stranger, now)
        if entry is None:  # not the beginning of a connection, and not worth keeping
            self._counters["drop.garbage"] += 1
            self._intake.settled(stranger.place)
            return
        entry.half_open = stranger.place
        if not stranger.place.known:
            self._unknown[entry] = now
        self._inside.begin_handshake(entry, now)
