"""Our own statements: numbered, chained, signed, and on disk before anyone hears of them.

**Persist before send**: a statement leaves only once it is on disk, and each life signs under its own epoch, so a
crash can lose what nobody has seen and never makes us contradict ourselves. What is published while the disk is busy
waits, newest per (kind, key), and is signed as one batch.

**Floor**: of the tickets and of the admissions that are over we say, once enough of them have come together, that they
are void up to a point (`wire.statement.Floor`). The records that must stay and lie before that point are said again
first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from arqonmesh.core.events import Dropped
from arqonmesh.core.gossip import disk
from arqonmesh.core.gossip.lapsed import IsOver
from arqonmesh.core.gossip.log import Position, Record
from arqonmesh.core.gossip.replica import Replica
from arqonmesh.core.kernel import Effect, Emit, Env, Persist
from arqonmesh.wire.statement import (
    FLOOR_KEYS,
    GENESIS_HASH,
    MAX_STATEMENT_BYTES,
    Body,
    Floor,
    Kind,
    Statement,
)

VOID_BATCH: Final = 64
"""So many records that are over are worth a floor."""
BLOCKERS_MAX: Final = 256
"""So many records that must stay are said again for it at the most."""


class OwnStatements:
    """Signs what is published and keeps our log in order."""

    def __init__(self, env: Env, replica: Replica) -> None:
        self._env = env
        self._replica = replica
        self.epoch = env.boot_epoch
        self._queue: dict[tuple[int, str], Body] = {}
        self._writing: tuple[int, list[Record]] | None = None
        self._next_token = 0

    def speak_beyond(self, position: Position) -> None:
        """A life of ours that this disk has forgotten got this far: take a later epoch (OSPF, RFC 2328, 13.4)."""
        self.epoch = max(self.epoch, position[0] + 1)

    def publish(self, kind: int, key: str, body: Body) -> list[Effect]:
        self._queue.pop((kind, key), None)
        self._queue[kind, key] = body
        return self.write()

    def write(self) -> list[Effect]:
        """Sign all that is queued and persist it as one transaction, unless one is on its way already."""
        if self._writing is not None or not self._queue:
            return []
        queue, self._queue = self._queue, {}
        if self._replica.cut(self._env.node_id) is not None:
            return [Emit(Dropped("gossip", "forked-ourselves", len(queue), "our key was used twice; nobody listens"))]
        log = self._replica.authors.get(self._env.node_id)
        seq, previous = (0, GENESIS_HASH) if log is None else (log.head[1], log.head_hash)
        if log is not None and log.head[0] != self.epoch:
            seq = 0
        records: list[Record] = []
        effects: list[Effect] = []
        for (kind, key), body in queue.items():
            record = self._sign(seq + 1, previous, kind, key, body)
            refusal = self._replica.refusal(record)
            if len(record.encoded) > MAX_STATEMENT_BYTES:
                refusal = "statement-too-large"
            if refusal is not None:
                effects.append(Emit(Dropped("gossip", refusal, 1, f"our own statement of kind {kind}")))
                continue
            records.append(record)
            seq, previous = seq + 1, record.hash
        if not records:
            return effects
        token, self._next_token = self._next_token, self._next_token + 1
        self._writing = (token, records)
        writes = [*disk.rows(records), disk.head_row(records[-1].author, records[-1].position, records[-1].hash)]
        effects.append(Persist(token, tuple(writes), sync=True))
        return effects

    def written(self, token: int) -> tuple[list[Record], list[Record]]:
        """The transaction is on disk: hold what it wrote. Returns what is ours now, and what it made void.

        Something of it may be superseded or known already, when an earlier life of ours, forgotten here, came back from
        a peer meanwhile; and nothing of it counts when a fork of ours was proven meanwhile.
        """
        if self._writing is None or self._writing[0] != token:
            return [], []
        records, self._writing = self._writing[1], None
        current: list[Record] = []
        void: list[Record] = []
        for record in records:
            if self._is_superseded(record):
                continue
            self._replica.put(record)
            current.append(record)
            if record.kind == Kind.FLOOR:
                void += self._replica.void(record.author)
        return current, void

    def floor(self, over_by: Callable[[], IsOver]) -> list[Effect]:
        """Void what is over, if that is enough to be worth a statement. Meant to be called now and then. `over_by`
        makes the test, which reads every admission, so only an author of many tickets or admissions asks for it. Not
        to be called on a side without a quorum (lapsed.py)."""
        log = self._replica.authors.get(self._env.node_id)
        if log is None or self._writing is not None or self._queue:
            return []
        is_over: IsOver | None = None
        for kind, floor_key in FLOOR_KEYS.items():
            own = [record for record in log.ordered() if record.kind == kind]
            if len(own) < VOID_BATCH:
                continue
            is_over = is_over or over_by()
            blockers, last = _worth_a_floor(own, is_over)
            for record in blockers:
                if record.body is not None:
                    self._queue[record.kind, record.key] = record.body
            if last is not None and not blockers:
                self._queue[Kind.FLOOR, floor_key] = Floor(*last.position)
        return self.write()

    def _sign(self, seq: int, previous: bytes, kind: int, key: str, body: Body) -> Record:
        unsigned = Statement(
            mesh_id=self._env.mesh_id,
            author=self._env.node_id,
            epoch=self.epoch,
            seq=seq,
            prev_hash=previous,
            kind=kind,
            key=key,
            body=body.encode(),
            signature=bytes(64),
        )
        signature = self._env.crypto.sign(unsigned.signed_bytes())
        statement = msgspec.structs.replace(unsigned, signature=signature)
        return Record.of(statement, statement.encode())

    def _is_superseded(self, record: Record) -> bool:
        if self._replica.cut(record.author) is not None:
            return True
        log = self._replica.authors.get(record.author)
        return log is not None and (
            log.supersedes(record.position, record.kind, record.key) or log.at(record.position) is not None
        )


def _worth_a_floor(own: Sequence[Record], is_over: IsOver) -> tuple[list[Record], Record | None]:
    """Up to which record to void, and which before it must stay; none when too few are over for those that would have
    to be said again."""
    blockers: list[Record] = []
    count, last, kept = 0, None, 0
    for record in own:
        if is_over(record):
            count += 1
            if count >= VOID_BATCH:
                last, kept = record, len(blockers)
        else:
            blockers.append(record)
            if len(blockers) > BLOCKERS_MAX:
                break
    return blockers[:kept], last
