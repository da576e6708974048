"""A payload on its way onward: over which links it goes, and whom it is announced to.

    eager links, and bridges between regions ──▶ BroadcastPayload
    lazy links ──▶ one below `flood_below_bytes`: BroadcastPayload, for an announcement costs as much
               ──▶ on the first hops: BroadcastPayload to some of them, each copy a wave of its own (fan_out.py)
               ──▶ else BroadcastHave, batched (announcements.py)

A payload is announced on a dozen lazy links (`ANNOUNCE_LINKS`), and on all of them that rest (resting.py).

A peer whose link comes up is told what was spread lately, so that what it missed meanwhile is not lost; but not where
the topic's core compares what it holds with a new neighbour itself (`mended`): a newcomer would fetch all of that
twice, and the second time payload by payload.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast.announcements import Announcements
from arqonmesh.core.broadcast.bridges import Bridges
from arqonmesh.core.broadcast.cache import ROUND_MAX, Cache, Known
from arqonmesh.core.broadcast.fan_out import FanOut
from arqonmesh.core.broadcast.neighbours import Neighbours
from arqonmesh.core.broadcast.resting import Resting
from arqonmesh.core.broadcast.wanted import Want
from arqonmesh.core.kernel import Effect, Env, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BroadcastHave, BroadcastPayload

ANNOUNCE_LINKS: Final = 12
"""Lazy links on which one payload is announced, and links on which a small one is flooded beside the tree: in a full
mesh everyone has as many links as there are members, and a dozen announcements reach everyone as surely as all."""
HAVES_ON_LINK_UP: Final = 256
"""The newest payloads that a peer is told of when its link comes up."""


class Spreading:
    """What is known and accepted goes to the neighbours, as it is or by its name."""

    def __init__(
        self,
        env: Env,
        settings: BroadcastSettings,
        *,
        mended: frozenset[str],
        neighbours: Neighbours,
        resting: Resting,
        bridges: Bridges,
        cache: Cache,
        fan_out: FanOut,
        announcements: Announcements,
        counters: defaultdict[str, int],
    ) -> None:
        self._env = env
        self._settings = settings
        self._mended = mended
        self._neighbours = neighbours
        self._resting = resting
        self._bridges = bridges
        self._cache = cache
        self._fan_out = fan_out
        self._announcements = announcements
        self._counters = counters
        self._salt = int.from_bytes(env.public_key[:4], "big")
        """So that nodes that know the same peers in the same order do not all choose the same ones of them."""

    def pass_on(self, now: Instant, id_: bytes, known: Known, data: bytes, want: Want | None) -> list[Effect]:
        """To every eager link but the one it came from, and to the lazy ones a copy or an announcement. `want`: what
        was noted about it before it came."""
        self._cache.keep(id_, known, data)
        if known.round >= ROUND_MAX:
            self._counters["too_far"] += 1
            return []
        onward = BroadcastPayload(round=known.round + 1, wave=known.wave, topic=known.topic, data=data)
        effects: list[Effect] = []
        lazy: list[NodeId] = []
        for peer, neighbour in self._neighbours.items():
            if peer == known.source:
                continue
            if neighbour.eager:
                neighbour.used = True
                effects.append(Send(peer, Lane.CONTROL, onward))
            elif peer in self._bridges.leaders and self._bridges.crossed_by(known):
                effects.append(self._of_its_own_wave(peer, known, data))
                self._counters["across_regions"] += 1
            else:
                lazy.append(peer)
        if not lazy:
            return effects
        if len(lazy) > 1:
            first = (self._salt ^ int.from_bytes(id_[:4], "big")) % len(lazy)
            lazy = [*lazy[first:], *lazy[:first]]
            if len(lazy) > ANNOUNCE_LINKS:  # one that rests may be the only way to its peer
                lazy = lazy[:ANNOUNCE_LINKS] + [peer for peer in lazy[ANNOUNCE_LINKS:] if peer in self._resting]
        if len(data) < self._settings.flood_below_bytes:
            return effects + [Send(peer, Lane.CONTROL, onward) for peer in lazy]
        return effects + self._beside(now, id_, known, data, want, lazy)

    def announce_due(self, now: Instant) -> list[Effect]:
        """A timer fires: what has waited long enough is announced."""
        return [self._announce(peer, have) for peer, have in self._announcements.due(now)]

    def catch_up(self, now: Instant, peer: NodeId) -> list[Effect]:
        """Its link comes up: what was spread lately is announced to it."""
        newest = self._cache.newest(now, HAVES_ON_LINK_UP, without=self._mended)
        recent = tuple((id_, known.round, known.wave) for id_, known in newest)
        return [self._announce(peer, recent)] if recent else []

    def _beside(
        self, now: Instant, id_: bytes, known: Known, data: bytes, want: Want | None, lazy: list[NodeId]
    ) -> list[Effect]:
        """The links beside the tree: copies on the first hops, each a wave of its own; then announcements. Who told us
        that it has the payload needs neither."""
        if want is not None:
            lazy = [peer for peer in lazy if peer not in want.announcers]
        copies = self._fan_out.copies(now, id_, known, links=len(self._neighbours), lazy=len(lazy))
        effects: list[Effect] = []
        for peer in lazy:
            if copies > 0:
                copies -= 1
                effects.append(self._of_its_own_wave(peer, known, data))
                self._counters["beside_the_tree"] += 1
            elif self._announcements.add(now, peer, id_, known.round, known.wave):
                effects.append(self._announce(peer, self._announcements.take(peer)))
        return effects

    def _of_its_own_wave(self, peer: NodeId, known: Known, data: bytes) -> Send:
        wave = self._env.rng.getrandbits(32) or 1
        return Send(
            peer, Lane.CONTROL, BroadcastPayload(round=known.round + 1, wave=wave, topic=known.topic, data=data)
        )

    def _announce(self, peer: NodeId, have: tuple[tuple[bytes, int, int], ...]) -> Send:
        self._counters["announcements_sent"] += len(have)
        return Send(peer, Lane.CONTROL, BroadcastHave(have=have))
