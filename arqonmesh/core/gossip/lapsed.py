"""Which of our tickets and admissions are over: nobody belongs to the mesh by them any more, and has not for long.

A node is *gone* while it is no member, or one that this node holds dead, or that has left. Who has been gone for the
whole horizon, in this life of ours, has lapsed, unless somebody still depends on it:

    it votes                                 a dead voter counts until the founder has taken its vote
    somebody who has not lapsed came in by   its admission or its ticket, or by those of one who did

Order keeps an old proof from being shown again. A ticket is over once it is out of time and everyone it let in has
lapsed; an admission by ticket only when no invite for that ticket is held any more. So the key by which a joiner's
signature could be judged goes first, and whoever repeats the admission then, under any name, proves nothing.

Each author decides about its own statements, and says so by a floor (own.py); nobody's clock but its own is asked.

A side without a quorum can not tell who is gone from who is on the other side: it voids nothing (`writable`), and no
absence begins to count before the day on which it may write again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

from arqonmesh.core.gossip.log import Record
from arqonmesh.core.gossip.views import Views
from arqonmesh.core.gossip.waiting import KeyOf
from arqonmesh.core.kernel import Env, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Admission, Invite, Kind, Vote

IsOver: TypeAlias = Callable[[Record], bool]


class Lapsed:
    """Since when whom is gone, as far as this node knows: members, and who is none although an admission of ours says
    so. Beyond `entries_max` nobody is noted any more, and whoever is not noted counts as present."""

    def __init__(
        self, env: Env, keys: KeyOf, views: Views, horizon_us: int, entries_max: int, counters: dict[str, int]
    ) -> None:
        self._env = env
        self._keys = keys
        self._views = views
        self._horizon_us = horizon_us
        self._entries_max = entries_max
        self._counters = counters
        self.writable = False
        """Whether this side has a quorum, as far as partition has said."""
        self._counts_from: Instant = 0
        """Our start, or when we could write again after that: what was before it is no absence."""
        self._gone: dict[NodeId, Instant] = {}
        """Those who are no members, and are not noted, have been gone since `_counts_from`."""

    def __len__(self) -> int:
        return len(self._gone)

    def started(self, now: Instant) -> None:
        self._counts_from = now

    def governed(self, now: Instant, writable: bool) -> None:
        """What partition says of our side."""
        if writable and not self.writable:
            self._counts_from = now
        self.writable = writable

    def gone(self, now: Instant, node: NodeId) -> None:
        """It is dead, or has left."""
        if node not in self._gone:
            self._note(now, node)

    def admitted(self, now: Instant, node: NodeId) -> None:
        """It is a member, and was not heard yet: it has the whole horizon for that."""
        self._note(now, node)

    def present(self, node: NodeId) -> None:
        self._gone.pop(node, None)
        if not self._gone:
            self._gone = {}  # the old one would keep the room of all that were ever in it

    def expelled(self, now: Instant, node: NodeId) -> None:
        """It is no member any more. While an admission of ours says otherwise, it could become one again."""
        if self._views.encoded(self._env.node_id, Kind.ADMISSION, node) is not None:
            self.gone(now, node)
        else:
            self.present(node)

    def voided(self, node: NodeId) -> None:
        """Our admission of it is over."""
        if self._keys(node) is None:
            self.present(node)

    def test(self, now: Instant) -> IsOver:
        """Tells whether one of our own tickets or admissions is over. Reads every admission."""
        admissions = [
            (a, NodeId(key), b) for a, key, b in self._views.statements(Kind.ADMISSION) if type(b) is Admission
        ]
        inviters: dict[str, list[NodeId]] = {}
        for inviter, ticket_id, _ in self._views.statements(Kind.INVITE):
            inviters.setdefault(ticket_id, []).append(inviter)
        grounds: dict[NodeId, list[tuple[NodeId, str]]] = {}
        for author, node, body in admissions:
            grounds.setdefault(node, []).append((author, body.ticket_id))
        needed = self._needed(now, grounds, inviters)
        used = frozenset(body.ticket_id for _, node, body in admissions if node in needed)
        before_ms = self._env.wall_ms() - self._horizon_us // 1_000

        def is_over(record: Record) -> bool:
            body = record.body
            if type(body) is Invite:
                ended_ms = min(body.expires_ms, body.revoked_ms or body.expires_ms)
                return ended_ms < before_ms and record.key not in used
            return type(body) is Admission and record.key not in needed and body.ticket_id not in inviters

        return is_over

    def _needed(
        self, now: Instant, grounds: dict[NodeId, list[tuple[NodeId, str]]], inviters: dict[str, list[NodeId]]
    ) -> dict[NodeId, None]:
        """Who has not lapsed, and everyone by whom they came in."""
        found = dict.fromkeys((self._env.node_id, *self._voters()))
        found.update(dict.fromkeys(node for node in grounds if not self._long_gone(now, node)))
        queue = deque(found)
        while queue:
            for author, ticket_id in grounds.get(queue.popleft(), ()):
                for node in (author, *inviters.get(ticket_id, ())):
                    if node not in found:
                        found[node] = None
                        queue.append(node)
        return found

    def _voters(self) -> Iterator[NodeId]:
        return (NodeId(key) for _, key, b in self._views.statements(Kind.VOTE) if isinstance(b, Vote) and b.granted)

    def _long_gone(self, now: Instant, node: NodeId) -> bool:
        since = self._gone.get(node)
        if since is None:
            if self._keys(node) is not None:
                return False
            since = self._counts_from
        return now - max(since, self._counts_from) >= self._horizon_us

    def _note(self, now: Instant, node: NodeId) -> None:
        if node in self._gone or len(self._gone) < self._entries_max:
            self._gone[node] = now
        else:
            self._counters["absences_unnoted"] = self._counters.get("absences_unnoted", 0) + 1
