"""SQL for the tables of core/tables.py.

Tables of small rows are WITHOUT ROWID (https://www.sqlite.org/withoutrowid.html): one B-tree instead of a table
and an index, so half the pages are written per row. Tables whose rows may be large keep the rowid, because big
rows in an index B-tree leave few keys per page.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.tables import BY_NAME, TABLES, TableSpec

APPLICATION_ID: Final = 0x4152514E
"""Bytes 68..71 of our SQLite files, "ARQN"; shown by `file mesh.db`."""

LARGE_ROWS: Final[frozenset[str]] = frozenset({"outbox"})

assert frozenset(BY_NAME) >= LARGE_ROWS, "LARGE_ROWS names tables of core/tables.py"

ROWS_PER_STATEMENT: Final = (128, 64, 32, 16, 8, 4, 2, 1)
"""Batches are cut into these. Every statement costs the writer thread some hand-overs of the interpreter lock, each as
long as the interpreter's switch interval while the event loop is busy; so a commit should need few statements."""


def create_table(table: TableSpec) -> str:
    columns = ", ".join(f'"{name}" {kind.upper()}' for name, kind in table.columns)
    key = ", ".join(f'"{name}"' for name, _ in table.columns[: table.key])
    tail = "" if table.name in LARGE_ROWS else " WITHOUT ROWID"
    return f'CREATE TABLE "{table.name}" ({columns}, PRIMARY KEY ({key})){tail}'


def replace_rows(table: TableSpec, rows: int) -> str:
    """Insert or replace `rows` rows with one statement."""
    one = f"({', '.join('?' * len(table.columns))})"
    return f'INSERT OR REPLACE INTO "{table.name}" VALUES {", ".join([one] * rows)}'  # noqa: S608 - names are ours


def delete_rows(table: TableSpec, rows: int) -> str:
    """Delete `rows` rows by primary key with one statement."""
    key = [f'"{name}"' for name, _ in table.columns[: table.key]]
    if len(key) == 1:
        return f'DELETE FROM "{table.name}" WHERE {key[0]} IN ({", ".join("?" * rows)})'  # noqa: S608
    one = f"({', '.join('?' * len(key))})"
    return f'DELETE FROM "{table.name}" WHERE ({", ".join(key)}) IN (VALUES {", ".join([one] * rows)})'  # noqa: S608


def select_all(table: TableSpec) -> str:
    """All rows in key order, columns in the order of core/tables.py."""
    columns = ", ".join(f'"{name}"' for name, _ in table.columns)
    key = ", ".join(f'"{name}"' for name, _ in table.columns[: table.key])
    return f'SELECT {columns} FROM "{table.name}" ORDER BY {key}'  # noqa: S608


REPLACE: Final = {t.name: tuple(replace_rows(t, rows) for rows in ROWS_PER_STATEMENT) for t in TABLES}
"""Table -> one statement for each of ROWS_PER_STATEMENT."""
DELETE: Final = {t.name: tuple(delete_rows(t, rows) for rows in ROWS_PER_STATEMENT) for t in TABLES}
SELECT_ALL: Final = {table.name: select_all(table) for table in TABLES}
