"""Rows of a node's database for a command that only looks: beside a running node, without its lock, and without making
or changing a file. A database that would have to be migrated or looked into first is left to the node's start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from arqonmesh.core.kernel import Durable, Row
from arqonmesh.core.tables import SCHEMA_VERSION
from arqonmesh.store.opening import BUSY_TIMEOUT_MS
from arqonmesh.store.schema import APPLICATION_ID, SELECT_ALL


def peek(path: Path, tables: Iterable[str]) -> Durable | None:
    """All rows of these tables as of the newest commit; None when there is no current database of ours to read."""
    wal = path.with_name(path.name + "-wal")
    try:
        # Nobody writes to a database without a log; SQLite would make one, also for a reader.
        alone = "" if wal.exists() and wal.stat().st_size else "&immutable=1"
        address = f"file:{quote(str(path))}?mode=ro{alone}"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            connection.execute("BEGIN")  # all tables as of one commit
            known = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
            if known != [APPLICATION_ID, SCHEMA_VERSION]:
                return None
            rows: dict[str, Sequence[Row]] = {
                table: connection.execute(SELECT_ALL[table]).fetchall() for table in tables
            }
            return rows
    except (sqlite3.Error, OSError):
        return None
