"""The API keys of the cluster: made or revoked at one node, known at all.

    a key is made or revoked here ─▶ its record to every linked mate, each of which passes on what is news to it
    link up, and every repair ─▶ one digest of all ⇄ 64 digests ⇄ the records of the buckets that differ

Only the hash of a key travels, and only between nodes of one cluster, over links whose ends have proved who they are;
any of them may make keys, so each takes the others' word for theirs. A key is never changed but once, when it is
revoked, so that two records of one key need no clock to be joined (a join-semilattice: Shapiro et al. 2011, INRIA
RR-7506): what says that it is revoked wins, with the earlier time; of two keys that chance gave one prefix, the one
that was made first. A revocation that went lost is therefore found by any later repair, and none is ever taken back.
Who leaves the mesh forgets what the others made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from arqonmesh.core.bus.permissions import wrong_permission
from arqonmesh.core.bus.tenants import is_tenant
from arqonmesh.core.events import Dropped, KeysHeld, KeysLearned
from arqonmesh.core.kernel import Effect, Emit, Lane, Send
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import KeyDigests, KeyRecord, KeyRecords

if TYPE_CHECKING:
    from arqonmesh.core.bus.bus import Bus

HELD_MAX: Final = 20_000
"""Keys of a cluster, expired and revoked ones included; twice what one node makes, because of cuts."""
BUCKETS: Final = 64
RECORDS_PER_MESSAGE: Final = 64
BYTES_PER_MESSAGE: Final = 65_536
_DIGEST_BYTES: Final = 8


def joined(one: KeyRecord, other: KeyRecord) -> KeyRecord:
    """What two records of one prefix say together; in whatever order and however often, the same."""
    made = min(one, other, key=_made)
    revoked = [told.revoked_ms for told in (one, other) if told.revoked_ms]
    return msgspec.structs.replace(made, revoked_ms=min(revoked, default=0))


class ClusterKeys:
    """What this node knows of the keys of its cluster."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._buckets: list[dict[str, KeyRecord]] = [{} for _ in range(BUCKETS)]
        self._digests = [0] * BUCKETS
        """Of each bucket: the digests of its records, added bit by bit (xor), so that order is none of it."""
        self._count = 0
        self.learned = 0
        self.refused = 0
        """Records that were no key, or for which there was no room."""

    def __len__(self) -> int:
        return self._count

    def held(self, event: KeysHeld, mates: Iterable[NodeId]) -> list[Effect]:
        """What the node's own file says: to the mates, as far as it is news."""
        news = [key for key in event.keys if self._take(key)]
        return [effect for mate in mates for effect in _sent(mate, news)]

    def greeting(self, mate: NodeId) -> list[Effect]:
        """Of two that meet, the one with the lower name begins."""
        return [self._root(mate)] if self._bus.env.node_id < mate else []

    def repair(self, mate: NodeId) -> list[Effect]:
        """Now and then. Who holds nothing need not ask: who holds something does."""
        return [self._root(mate)] if self._count else []

    def on_message(self, peer: NodeId, message: KeyDigests | KeyRecords, mates: Iterable[NodeId]) -> list[Effect]:
        """From a mate."""
        if isinstance(message, KeyDigests):
            return self._compared(peer, message)
        news = [joined for told in message.keys if (joined := self._learn(told)) is not None]
        effects: list[Effect] = [Emit(KeysLearned(tuple(news)))] if news else []
        for mate in mates:
            if mate != peer:
                effects += _sent(mate, news)
        if refused := sum(1 for told in message.keys if not self._knows(told)):
            self.refused += refused
            effects.append(Emit(Dropped("bus", "cluster-keys", refused, peer)))
        self.learned += len(news)
        return effects

    def left_mesh(self) -> None:
        """What the others made was for the cluster that is left; nothing of it goes along into the next one."""
        own = [key for bucket in self._buckets for key in bucket.values() if key.made_at == self._bus.env.node_id]
        self._buckets = [{} for _ in range(BUCKETS)]
        self._digests = [0] * BUCKETS
        self._count = 0
        for key in own:
            self._take(key)

    # --- private ---------------------------------------------------------------------------------------------

    def _compared(self, peer: NodeId, message: KeyDigests) -> list[Effect]:
        if len(message.digests) != BUCKETS:
            same = message.digests[0] == self._digest_of_all()
            return [] if same else [Send(peer, Lane.CONTROL, KeyDigests(True, self._all_digests()))]
        mine = self._all_digests()
        effects: list[Effect] = []
        for place, digest in enumerate(message.digests):
            if digest != mine[place]:
                effects += _sent(peer, list(self._buckets[place].values()))
        if message.answer and mine != message.digests:
            effects.append(Send(peer, Lane.CONTROL, KeyDigests(False, mine)))
        return effects

    def _learn(self, told: KeyRecord) -> KeyRecord | None:
        """What is known of this key now, if it is more than before."""
        if wrong_permission(told.permissions) or (told.tenant and not is_tenant(told.tenant)):
            return None
        return self._buckets[_place(told.prefix)][told.prefix] if self._take(told) else None

    def _knows(self, told: KeyRecord) -> bool:
        return told.prefix in self._buckets[_place(told.prefix)]

    def _take(self, told: KeyRecord) -> bool:
        """Whether that is news."""
        place = _place(told.prefix)
        bucket = self._buckets[place]
        before = bucket.get(told.prefix)
        if before is None and self._count >= HELD_MAX:
            return False
        now = told if before is None else joined(before, told)
        if now == before:
            return False
        self._digests[place] ^= _digest(now) ^ (0 if before is None else _digest(before))
        self._count += before is None
        bucket[told.prefix] = now
        return True

    def _all_digests(self) -> tuple[bytes, ...]:
        return tuple(digest.to_bytes(_DIGEST_BYTES, "big") for digest in self._digests)

    def _digest_of_all(self) -> bytes:
        return hashlib.sha256(b"".join(self._all_digests())).digest()[:_DIGEST_BYTES]

    def _root(self, mate: NodeId) -> Effect:
        return Send(mate, Lane.CONTROL, KeyDigests(False, (self._digest_of_all(),)))


def _made(key: KeyRecord) -> tuple[int, bytes, bytes]:
    """Orders two keys of one prefix: the earlier is meant; then whatever, as long as all agree."""
    return key.created_ms, key.hash, msgspec.msgpack.encode(msgspec.structs.replace(key, revoked_ms=0))


def _place(prefix: str) -> int:
    return hashlib.sha256(prefix.encode()).digest()[0] % BUCKETS


def _digest(key: KeyRecord) -> int:
    return int.from_bytes(hashlib.sha256(msgspec.msgpack.encode(key)).digest()[:_DIGEST_BYTES], "big")


def _sent(mate: NodeId, keys: list[KeyRecord]) -> Iterator[Effect]:
    """As messages of a bounded size."""
    part: list[KeyRecord] = []
    size = 0
    for key in keys:
        weight = 256 + sum(4 * len(permission) + 5 for permission in key.permissions)
        if part and (len(part) >= RECORDS_PER_MESSAGE or size + weight > BYTES_PER_MESSAGE):
            yield Send(mate, Lane.CONTROL, KeyRecords(tuple(part)))
            part, size = [], 0
        part.append(key)
        size += weight
    if part:
        yield Send(mate, Lane.CONTROL, KeyRecords(tuple(part)))
