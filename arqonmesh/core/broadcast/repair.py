"""What the tree did not bring: who announced it is asked, and their link taken into the tree.

    BroadcastHave, unknown ──T1──▶ BroadcastGraft to who announced it, eager at both ends ──T2──▶ the next one
    BroadcastGraft ──▶ eager; BroadcastPayload, when we have it

So a lost link of the tree is replaced by whoever announces what the tree does not bring any more.

T1 = max(`graft_min_ms`, 3 x median RTT), T2 = the longer of median RTT and the link's: a constant would be too short
for one mesh and too long for the next. Who is asked has promised to send it (promises.py).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from arqonmesh.config.model import BroadcastSettings
from arqonmesh.core.broadcast.announcements import Announcements
from arqonmesh.core.broadcast.cache import ROUND_MAX, Cache
from arqonmesh.core.broadcast.neighbours import Neighbours
from arqonmesh.core.broadcast.promises import Promises
from arqonmesh.core.broadcast.wanted import Want, Wanted
from arqonmesh.core.events import Dropped, Fault
from arqonmesh.core.kernel import MILLISECOND, Effect, Emit, Instant, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import BroadcastGraft, BroadcastHave, BroadcastPayload

GRAFT_RTTS: Final = 3


class Repair:
    """Asks for what was announced and has not come, and answers who asks."""

    def __init__(
        self,
        settings: BroadcastSettings,
        *,
        neighbours: Neighbours,
        cache: Cache,
        wanted: Wanted,
        promises: Promises,
        announcements: Announcements,
        counters: defaultdict[str, int],
    ) -> None:
        self._graft_min_us = settings.graft_min_ms * MILLISECOND
        self._neighbours = neighbours
        self._cache = cache
        self._wanted = wanted
        self._promises = promises
        self._announcements = announcements
        self._counters = counters

    def announced(self, now: Instant, link_peer: NodeId, message: BroadcastHave) -> list[Effect]:
        """A peer tells what it has."""
        neighbour = self._neighbours.get(link_peer)  # None: its side came up first, and its message rate bounds it
        over = 0 if neighbour is None else neighbour.announced_over(now, len(message.have))
        have = message.have[: len(message.have) - over]
        self._counters["announcements_received"] += len(have)
        due = now + max(self._graft_min_us, GRAFT_RTTS * self._neighbours.median_us)
        for id_, round_, wave in have:
            if self._cache.get(id_) is None:
                if not self._wanted.announced(id_, link_peer, round_, wave, due):
                    self._counters["announcements_refused"] += 1
            else:
                self._announcements.forget(link_peer, id_)
        return [Emit(Dropped("broadcast", "announcements", over, link_peer))] if over else []

    def ask(self, now: Instant) -> list[Effect]:
        """A timer fires: whoever has what is due is asked for it."""
        effects: list[Effect] = []
        for id_, want in self._wanted.due(now):
            effects += self._ask(now, id_, want)
        return effects

    def blame(self, now: Instant) -> list[Effect]:
        """A timer fires: who was asked and did not send it, though its link loses little, is told of."""
        effects: list[Effect] = []
        for peer in self._promises.broken(now, self._neighbours.is_silent):
            if self._neighbours.lossy(peer):
                self._counters["promises_excused"] += 1
                continue
            self._counters["broken_promises"] += 1
            effects.append(Emit(Fault(peer, "broken-promise")))
        return effects

    def asked(self, now: Instant, link_peer: NodeId, message: BroadcastGraft) -> list[Effect]:
        """A peer wants this link in the tree, and a payload, when it names one."""
        self._counters["grafts_received"] += 1
        if message.id:
            self._announcements.disturbed(now)
        neighbour = self._neighbours.get(link_peer) or self._neighbours.parted(link_peer)
        if neighbour is None:
            self._counters["grafts_refused"] += 1
            return []
        neighbour.eager = True
        known = self._cache.get(message.id) if message.id else None
        if known is None or known.data is None:
            return []
        if not neighbour.may_have(now, message.id, len(known.data)):
            self._counters["grafts_refused"] += 1
            return []
        served = BroadcastPayload(
            round=min(known.round + 1, ROUND_MAX), wave=known.wave, topic=known.topic, data=known.data
        )
        return [Send(link_peer, Lane.CONTROL, served)]

    def _ask(self, now: Instant, id_: bytes, want: Want) -> list[Effect]:
        """The tree did not bring it: ask the next who has it, and take that link into the tree."""
        for peer in want.announcers:
            neighbour = self._neighbours.get(peer)
            if neighbour is not None and peer not in want.asked:
                want.asked[peer] = None
                neighbour.eager = True
                self._counters["grafts_sent"] += 1
                self._announcements.disturbed(now)
                self._promises.made(peer, id_, now + self._neighbours.promise_us(peer))
                self._wanted.again(id_, want, now + max(neighbour.measured_us, self._neighbours.median_us))
                return [Send(peer, Lane.CONTROL, BroadcastGraft(id=id_))]
        self._counters["given_up"] += 1
        self._wanted.came(id_)
        return []
