"""A cluster hangs together by links of its own: what no export rule lets out travels between its nodes alone.

Each node says in a row of its table to which mates it is linked, so each can tell which mates it reaches without
leaving the cluster. A mate that lives and has been out of such reach for PATIENCE_US is wanted as a neighbour (topology
dials): the first after us in the ring of ids, so that not everybody picks the same; then the next, up to WISHES_MAX,
while there are any. A wish lasts until that mate leaves, through restarts too, or its link would go as soon as it has
done its work, and what waits for it would wait for ever. With `links.auto: none` nothing is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from arqonmesh.core.bus.cluster.table import Table
from arqonmesh.core.events import LinkWanted
from arqonmesh.core.kernel import SECOND, Delete, Effect, Emit, Instant, Persist, Put, Row
from arqonmesh.ids import NodeId

LINKS: Final = "$links"
"""The row, of no client, that names a node's linked mates."""
PATIENCE_US: Final = 3 * SECOND
WISHES_MAX: Final = 4
"""Mates out of reach that are dialled at one time; one of them may be behind a wall."""
_ON_DISK: Final = "mate/"
_IDS_PER_TEXT: Final = 15
_TEXTS_MAX: Final = 16


class Reach:
    """Which mates are within reach, and the wish for one that is not."""

    def __init__(self, me: NodeId, wants_links: bool) -> None:
        self._me = me
        self._wants_links = wants_links
        self._living: dict[NodeId, None] = {}
        """Mates that membership finds alive."""
        self._addresses: dict[NodeId, tuple[str, ...]] = {}
        self.wished: dict[NodeId, None] = {}
        """Also on disk, as scalars `mate/NODE`."""
        self.look_at: Instant | None = None

    def load(self, scalars: Sequence[Row]) -> None:
        """The wishes of an earlier life; each is told again once it is known where the mate listens."""
        for core, name, _ in scalars:
            if core == "bus" and str(name).startswith(_ON_DISK):
                self.wished[NodeId(str(name).removeprefix(_ON_DISK))] = None

    def described(self, mate: NodeId, addresses: tuple[str, ...]) -> list[Effect]:
        """Where a mate listens."""
        if not addresses:
            self._addresses.pop(mate, None)
            return []
        self._addresses[mate] = addresses
        return [self._wish(mate)] if mate in self.wished else []

    def lives(self, now: Instant, mate: NodeId) -> None:
        self._living[mate] = None
        self.changed(now)

    def died(self, now: Instant, mate: NodeId, *, for_good: bool) -> list[Effect]:
        self._living.pop(mate, None)
        self.changed(now)
        if for_good:
            self._addresses.pop(mate, None)
            if self.wished.pop(mate, self) is not self:
                return [Persist(-1, (Delete("scalars", ("bus", _ON_DISK + mate)),))]
        return []

    def changed(self, now: Instant) -> None:
        """Links or lives have changed: look in a while whether everyone is within reach."""
        if self._wants_links and self.look_at is None and self._living:
            self.look_at = now + PATIENCE_US

    def clear(self) -> list[Effect]:
        """The mesh is left."""
        self._living.clear()
        self._addresses.clear()
        self.look_at = None
        wished, self.wished = self.wished, {}
        deletes = tuple(Delete("scalars", ("bus", _ON_DISK + mate)) for mate in wished)
        return [Persist(-1, deletes)] if deletes else []

    def look(self, now: Instant, linked: Sequence[NodeId], copies: Mapping[NodeId, Table]) -> list[Effect]:
        """The time has come: whom to want as a neighbour, if anybody."""
        self.look_at = None
        reached = self._reached(linked, copies)
        missing = sorted(mate for mate in self._living if mate not in reached)
        if not missing:
            return []
        self.look_at = now + PATIENCE_US
        ring = [mate for mate in missing if mate > self._me] + [mate for mate in missing if mate < self._me]
        wanted = next((mate for mate in ring if mate in self._addresses and mate not in self.wished), None)
        if wanted is None or sum(mate in self.wished for mate in missing) >= WISHES_MAX:
            return []
        self.wished[wanted] = None
        return [Persist(-1, (Put("scalars", ("bus", _ON_DISK + wanted, b"")),)), self._wish(wanted)]

    def _wish(self, mate: NodeId) -> Effect:
        return Emit(LinkWanted(mate, "bus", self._addresses[mate]))

    def _reached(self, linked: Sequence[NodeId], copies: Mapping[NodeId, Table]) -> dict[NodeId, None]:
        """Ourselves, and mates by links of living mates."""
        reached = dict.fromkeys([self._me, *linked])
        queue = list(linked)
        while queue:
            table = copies.get(queue.pop())
            for mate in [] if table is None else linked_by(table):
                if mate in self._living and mate not in reached:
                    reached[mate] = None
                    queue.append(mate)
        return reached


def links_row(mates: Sequence[NodeId]) -> tuple[str, ...]:
    """Linked mates as the facts of a row."""
    ids = sorted(mates)[: _IDS_PER_TEXT * _TEXTS_MAX]
    return tuple(" ".join(ids[i : i + _IDS_PER_TEXT]) for i in range(0, len(ids), _IDS_PER_TEXT))


def linked_by(table: Table) -> list[NodeId]:
    """The mates to which the writer of this table says it is linked."""
    row = table.rows.get(("", LINKS))
    return [] if row is None else [NodeId(mate) for text in row[5] for mate in text.split()]
