"""Random walks over the active views: newcomers find their places, and passive views are shuffled.

A shuffle carries the way it came, and its answer goes the same way back, because messages travel over links that exist
and none may be opened only to answer. Whoever passes one on keeps nothing. The origin takes one answer per question,
from the neighbour that it had asked.
"""

from __future__ import annotations

from arqonmesh.config.model import OverlaySettings
from arqonmesh.core.events import Dropped, Fault
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Env, Instant, Lane, Send
from arqonmesh.core.overlay.attempts import Why
from arqonmesh.core.overlay.neighbourhood import WALKS_MAX, Neighbourhood
from arqonmesh.core.overlay.pauses import Pauses
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import MAX_HOPS, OverlayForwardJoin, OverlayShuffle, OverlayShuffleReply

JOINED_MAX = 256


class Walks:
    """What this node sends on walks and does with those of others."""

    def __init__(self, env: Env, settings: OverlaySettings, hood: Neighbourhood) -> None:
        self._me = env.node_id
        self._rng = env.rng
        self._settings = settings
        self._hood = hood
        self._announced = Pauses(settings.backoff_ms * MILLISECOND, JOINED_MAX)
        """Newcomers whose walks began here lately: one join is worth one round of walks."""
        self._question: tuple[int, NodeId, tuple[NodeId, ...]] | None = None
        """Nonce, whom we asked, and what we told."""

    # --- newcomers ----------------------------------------------------------------------------------------

    def announce(self, now: Instant, joiner: NodeId) -> list[Effect]:
        """A newcomer joined through us: one walk begins at each other neighbour."""
        if self._announced.holds(now, joiner):
            return [Emit(Dropped("overlay", "join-again", 1, joiner))]
        self._announced.begin(now, joiner)
        walk = OverlayForwardJoin(joiner, self._settings.arwl)
        return [Send(peer, Lane.CONTROL, walk) for peer in self._hood.active.nodes() if peer != joiner]

    def forward_join(self, now: Instant, sender: NodeId, message: OverlayForwardJoin) -> list[Effect]:
        """Pass it on; at its end offer ourselves, and count the newcomer only when it answers."""
        hood, joiner = self._hood, NodeId(message.joiner)
        ttl = min(message.ttl, self._settings.arwl)
        onward = hood.active.sample(self._rng, 1, (sender, joiner)) if ttl > 0 else []
        if joiner == self._me or not hood.usable(joiner):
            return [Send(peer, Lane.CONTROL, OverlayForwardJoin(joiner, ttl - 1)) for peer in onward]
        if onward:
            if ttl == self._settings.prwl:
                hood.note((joiner,), sender)
            return [Send(onward[0], Lane.CONTROL, OverlayForwardJoin(joiner, ttl - 1))]
        if hood.attempts.walks() < WALKS_MAX and hood.active.has_room(chosen=False):
            return hood.begin(now, joiner, Why.WALK)
        hood.note((joiner,), sender)
        return []

    # --- shuffles -----------------------------------------------------------------------------------------

    def shuffle(self) -> list[Effect]:
        """Begin one: ourselves, some neighbours, some of the passive view, to a random neighbour."""
        hood, settings = self._hood, self._settings
        target = hood.active.sample(self._rng, 1)
        if not target:
            return []
        told = hood.passive.sample(self._rng, settings.shuffle_passive)
        members = (self._me, *hood.active.sample(self._rng, settings.shuffle_active, (target[0],)), *told)
        nonce = self._rng.getrandbits(32)
        self._question = (nonce, target[0], tuple(told))
        ttl = settings.arwl - 1
        return [Send(target[0], Lane.CONTROL, OverlayShuffle(nonce, (self._me,), ttl, members))]

    def shuffled(self, sender: NodeId, message: OverlayShuffle) -> list[Effect]:
        """Pass it on, or end the walk: answer with as many as it brought, and keep what it brought."""
        hood, path = self._hood, message.path
        if path[-1] != sender or self._me in path:
            return [Emit(Dropped("overlay", "bad-path", 1, sender)), Emit(Fault(sender, "bad-route"))]
        ttl = min(message.ttl, self._settings.arwl)
        visited = tuple(NodeId(node) for node in path)
        onward = hood.active.sample(self._rng, 1, visited) if ttl > 0 and len(path) < MAX_HOPS - 1 else []
        if onward:
            passed = OverlayShuffle(message.nonce, (*path, self._me), ttl - 1, message.members)
            return [Send(onward[0], Lane.CONTROL, passed)]
        told = hood.passive.sample(self._rng, min(len(message.members), self._most))
        hood.note(self._bounded(message.members), sender, told)
        return [Send(sender, Lane.CONTROL, OverlayShuffleReply(message.nonce, path, tuple(told)))]

    def answered(self, sender: NodeId, message: OverlayShuffleReply) -> list[Effect]:
        """Ours, or one on its way back through us."""
        hood, path = self._hood, message.path
        if path[-1] != self._me:
            return [Emit(Dropped("overlay", "bad-path", 1, sender)), Emit(Fault(sender, "bad-route"))]
        if len(path) > 1:
            back = NodeId(path[-2])
            if back not in hood.active:
                return [Emit(Dropped("overlay", "way-back-gone"))]
            return [Send(back, Lane.CONTROL, OverlayShuffleReply(message.nonce, path[:-1], message.members))]
        if self._question is None or self._question[:2] != (message.nonce, sender):
            return [Emit(Dropped("overlay", "unasked", 1, sender))]
        told, self._question = self._question[2], None
        hood.note(self._bounded(message.members), sender, told)
        return []

    @property
    def _most(self) -> int:
        return 1 + self._settings.shuffle_active + self._settings.shuffle_passive

    def _bounded(self, members: tuple[str, ...]) -> tuple[NodeId, ...]:
        """No more than we would have sent."""
        return tuple(NodeId(node) for node in members[: self._most])
