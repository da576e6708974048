"""What the other nodes of the cluster say of their clients: a copy of each one's table, and the view made of them.

Rows come from their author or from anybody who holds them. Whoever lacks what came before is not confused by it but
asks. What news there is goes into the view and, as notices, to the members here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus.cluster.table import ROWS_MAX, Table
from arqonmesh.core.bus.cluster.view import View
from arqonmesh.core.bus.presence import notice
from arqonmesh.core.events import Dropped
from arqonmesh.core.kernel import Effect, Emit, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import PresenceDigest, PresenceRow, PresenceRows

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

NODES_MAX: Final = 256
"""Nodes of one cluster whose clients are known; a digest names no more."""
ROWS_PER_MESSAGE: Final = 128


class Copies:
    """The tables of the cluster's other nodes."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.view = View()
        self.tables: dict[NodeId, Table] = {}
        self.shut: dict[NodeId, None] = {}
        """Dead, or gone: no rows of these are taken."""
        self._incoming: dict[tuple[NodeId, NodeId], tuple[int, list[PresenceRow]]] = {}
        """(from, of) -> (epoch, rows so far) of all rows on their way."""
        self.taken = 0
        self.refused = 0
        """Rows."""

    def is_mate(self, node: NodeId) -> bool:
        """Whether this is another node of our cluster."""
        env = self._bus.env
        return node != env.node_id and self._bus.cluster_of(node) == env.cluster

    def is_welcome(self, node: NodeId) -> bool:
        """Whether rows of this node are taken."""
        return self.is_mate(node) and node not in self.shut

    def head(self, node: NodeId) -> tuple[int, int]:
        """(epoch, version) up to which this node was heard; zeros for nothing."""
        table = self.tables.get(node)
        return (0, 0) if table is None else table.head

    def take(self, peer: NodeId, message: PresenceRows) -> list[Effect]:
        """Rows of some node from this mate. What was news shows in `head`."""
        node = NodeId(message.origin)
        if not self.is_welcome(node) or (node not in self.tables and len(self.tables) >= NODES_MAX):
            self.refused += len(message.rows)
            return []
        head = (message.epoch, message.upto)
        copy = self.tables.get(node)
        if copy is not None and head <= copy.head:
            return []
        if message.base == 0:
            return self._take_all(peer, node, head, message)
        if copy is None or copy.epoch != message.epoch or copy.version < message.base:
            return [Send(peer, Lane.CONTROL, PresenceDigest(False, ((node, *self.head(node)),)))]
        newer = [row for row in message.rows if row[0] > copy.version]
        if any(later[0] <= row[0] for row, later in pairwise(newer)):
            return self._refused(peer, len(newer))
        if len(copy.rows) + len(newer) > ROWS_MAX + ROWS_PER_MESSAGE:
            return self._refused(peer, len(newer))
        for row in newer:
            copy.put(row)
        copy.version = message.upto
        self.taken += len(newer)
        return self._apply(node, newer)

    def forget(self, node: NodeId) -> list[Effect]:
        """All that was held of this node, with notices to those who shared channels with its clients."""
        for key in [key for key in self._incoming if key[1] == node]:
            del self._incoming[key]
        if self.tables.pop(node, None) is None:
            return []
        effects: list[Effect] = []
        for remote, channel in self.view.forget(node):
            effects += notice(self._bus, channel, remote, "left")
        return effects

    def forget_all(self) -> list[Effect]:
        """The mesh is left."""
        effects: list[Effect] = []
        for node in list(self.tables):
            effects += self.forget(node)
        self.shut.clear()
        self._incoming.clear()
        return effects

    def link_lost(self, peer: NodeId) -> None:
        """The rest of what this mate was sending does not come."""
        for key in [key for key in self._incoming if key[0] == peer]:
            del self._incoming[key]

    def _take_all(self, peer: NodeId, node: NodeId, head: tuple[int, int], message: PresenceRows) -> list[Effect]:
        """A part of all rows of a node; with the last one they take the place of what was held."""
        so_far = self._incoming.pop((peer, node), None)
        gathered = so_far[1] if so_far is not None and so_far[0] == message.epoch else []
        gathered.extend(message.rows)
        if len(gathered) > ROWS_MAX:
            return self._refused(peer, len(gathered))
        if not message.last:
            self._incoming[peer, node] = (message.epoch, gathered)
            return []
        if len({row[0] for row in gathered}) != len(gathered):
            return self._refused(peer, len(gathered))
        before = self.tables.get(node)
        table = Table.of(*head, gathered)
        self.tables[node] = table
        self.taken += len(gathered)
        changes: list[PresenceRow] = []
        if before is not None:
            changes = [(0, row[1], row[2], 0, False, ()) for row in before.living() if row[1:3] not in table.rows]
        return self._apply(node, [*changes, *table.living()])

    def _apply(self, node: NodeId, rows: Iterable[PresenceRow]) -> list[Effect]:
        """Into the view, and to the members here. Who a client is comes before where it is."""
        effects: list[Effect] = []
        for row in sorted(rows, key=_who_first):
            word, told = self.view.apply(node, row)
            for remote, channel in told:
                effects += notice(self._bus, channel, remote, word)
        return effects

    def _refused(self, peer: NodeId, count: int) -> list[Effect]:
        self.refused += count
        return [Emit(Dropped("bus", "presence-rows", count, peer))]


def _who_first(row: PresenceRow) -> tuple[bool, bool]:
    return row[4], row[2] != ""
