"""Many transactions into one: of all writes to a key within one commit only the last one matters.

A commit is atomic, so nobody can see the states in between; keys that move with every message (inbox marks,
sequence heads) then cost one row per commit instead of one row per message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TypeAlias

from arqonmesh.core.kernel import Put, Row, Write
from arqonmesh.core.tables import BY_NAME
from arqonmesh.store.schema import DELETE, REPLACE, ROWS_PER_STATEMENT

Merged: TypeAlias = dict[str, dict[Row, Row | None]]
"""Table -> primary key -> the row to be, or None to be gone."""

_KEY_COLUMNS = {name: table.key for name, table in BY_NAME.items()}
_OVERHEAD_BYTES = 96


def merge(batches: Iterable[Iterable[Write]]) -> Merged:
    """The net effect of these transactions, in order."""
    merged: Merged = {name: {} for name in BY_NAME}
    for batch in batches:
        for write in batch:
            if type(write) is Put:
                row = write.row
                merged[write.table][row[: _KEY_COLUMNS[write.table]]] = row
            else:
                merged[write.table][write.key] = None  # type: ignore[union-attr]
    return merged


def apply(connection: sqlite3.Connection, merged: Merged) -> int:
    """Perform within the open transaction; returns rows written. Raises sqlite3.Error."""
    count = 0
    for table, rows in merged.items():
        if rows:
            puts = [row for row in rows.values() if row is not None]
            gone = [key for key, row in rows.items() if row is None]
            _execute(connection, REPLACE[table], puts)
            _execute(connection, DELETE[table], gone)
            count += len(rows)
    return count


def weigh(writes: Iterable[Write]) -> int:
    """Bytes that these writes hold in memory while they wait, roughly."""
    total = 0
    for write in writes:
        total += _OVERHEAD_BYTES
        for value in write.row if type(write) is Put else write.key:  # type: ignore[union-attr]
            if type(value) is bytes or type(value) is str:
                total += len(value)
    return total


def _execute(connection: sqlite3.Connection, statements: tuple[str, ...], rows: list[Row]) -> None:
    at = 0
    for size, statement in zip(ROWS_PER_STATEMENT, statements, strict=True):
        while len(rows) - at >= size:
            connection.execute(statement, [value for row in rows[at : at + size] for value in row])
            at += size
