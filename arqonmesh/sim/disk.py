"""A disk that keeps its promises and not a byte more.

Transactions are done one after the other. What is done survives the death of the process; what is synced survives the
loss of power. A transaction that asks for sync makes everything before it safe too, as one log with one fsync does.

    handed over ──▶ waiting ──done──▶ tail ──sync──▶ safe
       process dies: a prefix of `waiting` is done all the same, the rest is gone
       power is lost: a prefix of `tail` and `waiting` is kept, the rest is gone
       torn write: some rows of the first transaction behind that prefix got there; its checksum tells, so it is gone
       I/O error: that transaction and all after it are never done, and the process is told to stop (store/writer.py)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, TypeAlias

from arqonmesh.core.kernel import Durable, Put, Row, Write
from arqonmesh.core.tables import BY_NAME, TABLES
from arqonmesh.sim.world import World

PATCHES_MAX: Final = 64

Tables: TypeAlias = Mapping[str, Mapping[Row, Row]]
"""Table name to rows by key."""


class Disk:
    """The tables of one machine. `write` answers through `done`, unless the process has died meanwhile."""

    def __init__(self, world: World, name: str, *, write_us: int = 200, sync_us: int = 2_000) -> None:
        self._world = world
        self._dice: Random = world.dice(f"disk {name}")
        self._write_us = write_us
        self._sync_us = sync_us
        self._base: Tables = {}
        self._base_ordered: Durable = {}
        self._safe: dict[str, dict[Row, Row | None]] = {table.name: {} for table in TABLES}
        """What is on it beyond the base; None hides a row of the base."""
        self._tail: list[tuple[Write, ...]] = []
        self._waiting: deque[tuple[tuple[Write, ...], bool, Callable[[], None] | None]] = deque()
        self._life = 0
        self.transactions = 0
        self.lost = 0
        """Transactions that a crash or a loss of power took."""
        self.slowness = 1
        """How many times as long as usual everything takes."""
        self.tears = False
        """The loss of power leaves a torn transaction behind."""
        self.torn = 0
        self.checksums = True
        """Off, a torn transaction is read back as if it were whole: what the checksums are for."""
        self.on_error: Callable[[], None] | None = None
        """Set for one life: the next transaction fails, and this is called."""

    def lay_base(self, tables: Tables, ordered: Durable | None = None) -> None:
        """Rows that were written before the story begins, by key. Many disks may share them, and what they are in order
        (`in_order` of each table): nobody changes them."""
        assert not self.transactions, "a base is laid before anything is written"
        self._base = tables
        self._base_ordered = {} if ordered is None else ordered

    def write(self, writes: tuple[Write, ...], *, sync: bool, done: Callable[[], None] | None) -> None:
        self._waiting.append((writes, sync, done))
        if len(self._waiting) == 1:
            self._begin()

    def write_now(self, writes: tuple[Write, ...]) -> None:
        """Written and synced before the process does anything else."""
        self._done(writes, sync=True)

    def durable(self) -> Durable:
        """All rows, sorted by key, as a process finds them when it starts."""
        changed = {name: dict(rows) for name, rows in self._safe.items()}
        for writes in self._tail:
            self._apply(changed, writes)
        return {name: self._with_base(name, rows) for name, rows in changed.items()}

    def process_died(self) -> None:
        kept = self._dice.randrange(0, len(self._waiting) + 1)
        for _ in range(kept):
            writes, sync, _ = self._waiting.popleft()
            self._done(writes, sync=sync)
        self._forget_waiting()

    def power_lost(self) -> None:
        """Nothing that was promised safe goes; of the rest, a prefix stays."""
        unsafe = [*self._tail, *(writes for writes, _, _ in self._waiting)]
        kept = self._dice.randrange(0, len(unsafe) + 1)
        self.lost += max(0, len(self._tail) - kept)
        self._tail = unsafe[:kept]
        if self.tears and kept < len(unsafe):
            self.torn += 1
            if not self.checksums:
                self._tail.append(unsafe[kept][: self._dice.randrange(0, len(unsafe[kept]) + 1)])
        self._fold()
        self._forget_waiting()

    # --- private ------------------------------------------------------------------------------------------

    def _with_base(self, name: str, changed: dict[Row, Row | None]) -> Sequence[Row]:
        """The rows of the base and these, in order. A few changes are put into their places: sorting what a thousand
        nodes have in common for each of them takes longer than all that they do with it."""
        ordered = self._base_ordered.get(name)
        if ordered is None or len(changed) > PATCHES_MAX:
            return in_order({**self._base.get(name, {}), **changed})
        if not changed:
            return ordered
        size = BY_NAME[name].key
        rows = list(ordered)
        for key, row in changed.items():
            at = bisect_left(rows, _key_order(key), key=lambda held: _key_order(held[:size]))
            held = 1 if at < len(rows) and rows[at][:size] == key else 0
            rows[at : at + held] = [] if row is None else [row]
        return rows

    def _begin(self) -> None:
        _, sync, _ = self._waiting[0]
        least = (self._sync_us if sync else self._write_us) * self.slowness
        life = self._life
        self._world.after(least + self._dice.randrange(0, least), lambda: self._finish(life))

    def _finish(self, life: int) -> None:
        if life != self._life:
            return
        if self.on_error is not None:
            struck, self.on_error = self.on_error, None
            self._forget_waiting()  # what the kernel still had of it may be gone: nothing is tried again
            struck()
            return
        writes, sync, done = self._waiting.popleft()
        self._done(writes, sync=sync)
        if self._waiting:
            self._begin()
        if done is not None:
            done()

    def _done(self, writes: tuple[Write, ...], *, sync: bool) -> None:
        self.transactions += 1
        self._tail.append(writes)
        if sync:
            self._fold()

    def _fold(self) -> None:
        for writes in self._tail:
            self._apply(self._safe, writes)
        self._tail.clear()

    def _forget_waiting(self) -> None:
        self._life += 1
        self.on_error = None
        self.lost += len(self._waiting)
        self._waiting.clear()

    def _apply(self, tables: dict[str, dict[Row, Row | None]], writes: tuple[Write, ...]) -> None:
        for write in writes:
            spec = BY_NAME[write.table]
            if isinstance(write, Put):
                assert len(write.row) == len(spec.columns), f"{spec.name} has {len(spec.columns)} columns: {write.row}"
                tables[write.table][write.row[: spec.key]] = write.row
                continue
            assert len(write.key) == spec.key, f"the key of {spec.name} has {spec.key} columns: {write.key}"
            if write.key in self._base.get(write.table, {}):
                tables[write.table][write.key] = None
            else:
                tables[write.table].pop(write.key, None)


def in_order(rows: Mapping[Row, Row | None]) -> list[Row]:
    """Rows sorted by their keys."""
    return [row for key in sorted(rows, key=_key_order) if (row := rows[key]) is not None]


def _key_order(key: Row) -> tuple[tuple[str, int, str], ...]:
    return tuple((type(k).__name__, k if isinstance(k, int) else 0, "" if isinstance(k, int) else str(k)) for k in key)
