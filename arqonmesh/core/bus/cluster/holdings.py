"""What this node holds of each channel, as it tells its mates: how far it has each stream, and what is missing below.

Only streams of the cluster's own members are told and taken: what came from another cluster is a matter between
clusters, with rules of its own. Events carry no signature here, so whose word it is that a stream has this event is its
cluster's: nodes of one cluster trust each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from arqonmesh.core.bus.mesh_room import NAME as MESH_ROOM
from arqonmesh.core.bus.streams import HEADS_MAX, NODE_LENGTH, Streams, is_past, life_of, newest_lives
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import HistoryHeads, Holding

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

MEMBERS_MAX: Final = 256
HOLES_TOLD_MAX: Final = 8
"""Per stream, the newest; of what is left off, who asks learns by the answer."""
NAME_LENGTH_MAX: Final = 256
ROWS_MAX: Final = 128
WEIGHT_MAX: Final = 8_000
"""Streams and holes per message: CBOR items, and bytes by the dozen."""

Row = tuple[str, tuple[Holding, ...]]


class Holdings:
    """Reads the bus's channels and shelf; knows whose streams count."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._own = bus.env.node_id[:NODE_LENGTH]
        self._members: dict[str, None] = {self._own: None}

    def joined(self, node: NodeId) -> None:
        """A member of our cluster; also one that is dead: the others have what it said."""
        if len(self._members) < MEMBERS_MAX:
            self._members[node[:NODE_LENGTH]] = None

    def expelled(self, node: NodeId) -> None:
        if node != self._bus.env.node_id:
            self._members.pop(node[:NODE_LENGTH], None)

    def is_ours(self, epoch: str) -> bool:
        """Whether this is a stream of a node of the cluster, in a life that may have been."""
        life = life_of(epoch)
        if life is None or life.node not in self._members:
            return False
        return life.node != self._own or life.boot <= self._bus.env.boot_epoch

    def published_here(self, epoch: str) -> bool:
        life = life_of(epoch)
        return life is not None and life.node == self._own

    def streams(self, name: str) -> Streams | None:
        channel = self._bus.channels.find(name)
        return self._bus.shelf.look(name) if channel is None else channel.streams

    def row(self, name: str) -> Row | None:
        """None when there is nothing to tell."""
        streams = self.streams(name)
        if streams is None or name == MESH_ROOM or len(name) > NAME_LENGTH_MAX:
            return None
        told = [
            (epoch, head, tuple(streams.holes.get(epoch, ())[-HOLES_TOLD_MAX:]))
            for epoch, head in streams.position().items()
            if head and self.is_ours(epoch)
        ]
        return (name, tuple(told[-HEADS_MAX:])) if told else None

    def lacking(self, name: str, holding: Holding) -> list[tuple[int, int]]:
        """What somebody has by his word and we have not."""
        epoch, head, holes = holding
        if not self.is_ours(epoch) or head == 0:
            return []
        streams = self.streams(name)
        if streams is None:
            return [] if self.published_here(epoch) and self._is_current(epoch) else Streams("").lacking(*holding)
        if (
            epoch not in streams.heads
            and len(streams.heads) >= HEADS_MAX
            and is_past(epoch, newest_lives(streams.heads))
        ):
            return []  # it made room for newer ones
        return streams.lacking(epoch, head, holes)

    def exceeds(self, name: str, told: Sequence[Holding]) -> bool:
        """Whether we have more of the channel than these holdings."""
        row = self.row(name)
        if row is None:
            return False
        theirs = {epoch: (head, holes) for epoch, head, holes in told}
        for epoch, head, holes in row[1]:
            their_head, their_holes = theirs.get(epoch, (0, ()))
            if head > their_head or any(hole not in holes for hole in their_holes):
                return True
        return False

    def _is_current(self, epoch: str) -> bool:
        life = life_of(epoch)
        return life is not None and life.boot == self._bus.env.boot_epoch


def packed(rows: Iterable[Row], *, answer: bool) -> list[HistoryHeads]:
    """As messages of a size that every node takes."""
    messages: list[HistoryHeads] = []
    part: list[Row] = []
    weight = 0
    for row in rows:
        heavy = sum(1 + len(holes) for _, _, holes in row[1])
        if part and (len(part) >= ROWS_MAX or weight + heavy > WEIGHT_MAX):
            messages.append(HistoryHeads(answer, tuple(part)))
            part, weight = [], 0
        part.append(row)
        weight += heavy
    if part:
        messages.append(HistoryHeads(answer, tuple(part)))
    return messages
