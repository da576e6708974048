"""The peer store: which rows of the tables `peers` and `peer_causes` are due to be written, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from arqonmesh.core.kernel import SECOND, Delete, Durable, Effect, Instant, Persist, Put, Row, Write
from arqonmesh.core.peers.file import Change, File
from arqonmesh.core.peers.peer import Peer
from arqonmesh.core.peers.score import Score
from arqonmesh.ids import NodeId
from arqonmesh.wire.packing import node_bytes, node_text

SAVE_SOON_US: Final = SECOND
SAVE_LATER_US: Final = 60 * SECOND
"""Latency, last seen and deliveries may be a minute old on disk; what a score says may not."""
SAVE_ROWS_MAX: Final = 512


class Store:
    """What is not on disk yet."""

    def __init__(self) -> None:
        self._peers: dict[NodeId, None] = {}
        self._changes: dict[tuple[NodeId, int], Change | None] = {}
        self.due_at: Instant | None = None

    @property
    def waiting(self) -> int:
        """Rows that are to be written."""
        return len(self._peers) + len(self._changes)

    def touch(self, node: NodeId, save_at: Instant) -> None:
        """The row of this peer has changed."""
        self._peers[node] = None
        if self.due_at is None or save_at < self.due_at:
            self.due_at = save_at

    def note(self, node: NodeId, change: Change, evicted: int | None) -> None:
        """A change is new or has grown; `evicted`: the number of the one that made room for it."""
        if evicted is not None:
            self._changes[node, evicted] = None
        self._changes[node, change.n] = change

    def at_once(self, now: Instant, wall_ms: int, peer: Peer, change: Change) -> Effect:
        """On disk with this step: a verdict must not be undone by a crash of ours."""
        self._peers.pop(peer.node, None)
        self._changes.pop((peer.node, change.n), None)
        return Persist(-1, (Put("peer_causes", _change_row(peer.node, change)), Put("peers", peer.row(now, wall_ms))))

    def save(self, now: Instant, wall_ms: int, peers: Mapping[NodeId, Peer]) -> list[Effect]:
        """Write what changed, at most 512 rows at a time, the rest a second later."""
        writes: list[Write] = []
        for node, n in list(self._changes)[:SAVE_ROWS_MAX]:
            change = self._changes.pop((node, n))
            if change is None:
                writes.append(Delete("peer_causes", (node_bytes(node), n)))
            else:
                writes.append(Put("peer_causes", _change_row(node, change)))
        for node in list(self._peers)[: SAVE_ROWS_MAX - len(writes)]:
            del self._peers[node]
            writes.append(Put("peers", peers[node].row(now, wall_ms)))
        if not self._peers:
            self._peers = {}  # the old one would keep the room of all that were ever in it
        self.due_at = now + SAVE_SOON_US if self.waiting else None
        return [Persist(-1, tuple(writes), sync=False)] if writes else []


def restored(now: Instant, wall_ms: int, durable: Durable, half_life_us: int, causes_max: int) -> Iterator[Peer]:
    """Every peer as it was kept, with what has been forgiven since, and its timeline. Who it is and where, its
    statements tell soon after."""
    peers: dict[NodeId, Peer] = {}
    for row in durable.get("peers", ()):
        peer = _peer(now, wall_ms, row, half_life_us, causes_max)
        peers[peer.node] = peer
    for raw, n, at_ms, delta_ppm, cause, evidence in durable.get("peer_causes", ()):
        known = peers.get(_node(raw))
        if known is not None and isinstance(n, int) and isinstance(at_ms, int) and isinstance(delta_ppm, int):
            told = evidence if isinstance(evidence, bytes) else b""
            if known.file is None:
                known.file = File.opened(Score(now, half_life_us), causes_max)
            known.file.take(Change(n, at_ms, delta_ppm, str(cause), told))
    yield from peers.values()


def _peer(now: Instant, wall_ms: int, row: Row, half_life_us: int, causes_max: int) -> Peer:
    """One row of the table `peers`, in the order of its columns."""
    raw, first_ms, last_ms, score_ppm, at_ms, latency_us, deliveries = row
    peer = Peer(
        node=_node(raw),
        first_seen_ms=_int(first_ms, wall_ms),
        last_seen_ms=_int(last_ms, wall_ms),
        latency_us=latency_us if isinstance(latency_us, int) else None,
        deliveries=_int(deliveries, 0),
    )
    if isinstance(score_ppm, int):
        peer.file = File.opened(Score(now, half_life_us), causes_max)
        peer.file.score.restore(now, score_ppm, max(0, wall_ms - _int(at_ms, wall_ms)) * 1_000)
    peer.ignored = peer.convicted
    return peer


def _node(raw: object) -> NodeId:
    return NodeId(node_text(raw) if isinstance(raw, bytes) else "")


def _change_row(node: NodeId, change: Change) -> Row:
    return (node_bytes(node), change.n, change.at_ms, change.delta_ppm, change.cause, change.evidence)


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) else default
