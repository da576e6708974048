"""history.db: its tables, and opening it. Refuses what is not ours; never repairs, never overwrites."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from arqonmesh.errors import StorageError
from arqonmesh.store.opening import connect, explain, unwritable

APPLICATION_ID: Final = 0x41525148
"""Bytes 68..71 of the file, "ARQH"; shown by `file history.db`."""
VERSION: Final = 1
WAL_BYTES_MAX: Final = 64 << 20
CHECKPOINT_PAGES: Final = 4_000

TABLES: Final = (
    "CREATE TABLE channels (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    # `id` is the order of arrival at this node. The large column comes last, so that reading the others skips it.
    "CREATE TABLE chunks (id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, epoch TEXT NOT NULL,"
    " first INTEGER NOT NULL, last INTEGER NOT NULL, low_ms INTEGER NOT NULL, high_ms INTEGER NOT NULL,"
    " kept_ms INTEGER NOT NULL, ours INTEGER NOT NULL, bytes INTEGER NOT NULL, frames TEXT NOT NULL)",
    "CREATE INDEX chunks_by_time ON chunks (channel, id, low_ms, high_ms)",
    "CREATE INDEX chunks_by_stream ON chunks (channel, epoch, first, last)",
    "CREATE TABLE streams (channel INTEGER NOT NULL, epoch TEXT NOT NULL, head INTEGER NOT NULL, holes TEXT NOT NULL,"
    " ended INTEGER NOT NULL, touched_ms INTEGER NOT NULL, PRIMARY KEY (channel, epoch)) WITHOUT ROWID",
    "CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
)


IN_USE: Final = "in_use"
"""In `numbers`: 1 from the start of the writer to a clean close. Who finds it so without the log of that life knows
what is gone. A start that came to nothing (a port was taken) has written nothing, and leaves no mark."""
_WAL_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
"""https://www.sqlite.org/fileformat.html, 4.1."""


class Opened(NamedTuple):
    connection: sqlite3.Connection
    """Current, in autocommit mode."""
    log_lost: bool
    """The life before ended in a crash, and its write-ahead log is missing or unreadable: what was in it is gone."""


def open_history(path: Path) -> Opened:
    """Raises StorageError: store.foreign, .newer, .corrupt, .unwritable."""
    has_log = _has_log(path)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(path)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise unwritable(path, str(error)) from error
    try:
        _admit(connection, path)
        return Opened(connection, _in_use(connection) and not has_log)
    except sqlite3.Error as error:
        connection.close()
        raise explained(error, path) from error
    except BaseException:
        connection.close()
        raise


def explained(error: Exception, path: Path) -> StorageError:
    """As store.opening.explain, with what helps for a history: others have one, too."""
    told = explain(error, path)
    if told.code != "store.corrupt":
        return told
    hint = f"mv {path} {path}.damaged, then arqon node start: other nodes of the cluster give back what they have"
    return StorageError(told.code, told.sentence, hint=hint)


def put_out_of_use(connection: sqlite3.Connection) -> None:
    """Closed in good order."""
    connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, 0)", (IN_USE,))


def take_into_use(connection: sqlite3.Connection) -> None:
    """Before the first commit; in the file itself, whatever becomes of the log. Raises sqlite3.Error."""
    if _in_use(connection):
        return
    try:
        connection.execute("INSERT OR REPLACE INTO numbers VALUES (?, 1)", (IN_USE,))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_IOERR_WRITE")):
            raise  # a disk that takes nothing now is the writer's matter


def _in_use(connection: sqlite3.Connection) -> bool:
    """A crash came, if it is not our own life."""
    found = connection.execute("SELECT value FROM numbers WHERE name = ?", (IN_USE,)).fetchone()
    return found is not None and bool(found[0])


def _has_log(path: Path) -> bool:
    """Whether there is a write-ahead log to go on from; an empty one is what an opening leaves."""
    try:
        with path.with_name(path.name + "-wal").open("rb") as log:
            return log.read(4) in (b"", *_WAL_MAGIC)
    except OSError:
        return False


def _admit(connection: sqlite3.Connection, path: Path) -> None:
    application, version = _number(connection, "application_id"), _number(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (application or tables):
        raise StorageError(
            "store.foreign",
            f"{path} is not a history of ArqonMesh (application id {application:#010x}); it was left as it is",
            hint=f"mv {path} elsewhere, then arqon node start",
        )
    if version > VERSION:
        raise StorageError(
            "store.newer",
            f"{path} has version {version}; this version of ArqonMesh knows up to {VERSION}",
            hint="pip install --upgrade arqonmesh",
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    if not tables:
        connection.execute("BEGIN IMMEDIATE")
        for statement in TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
