"""Opens a database file of ours, or says why not. Nothing here repairs, and nothing overwrites.

absent, empty        -> made new
not SQLite           -> store.foreign        (judged by the first 100 bytes, before SQLite touches the file)
other application    -> store.foreign
newer version        -> store.newer
damaged              -> store.corrupt        (PRAGMA quick_check, and our tables must be there as declared)
older version        -> migrated
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from arqonmesh.core.tables import SCHEMA_VERSION, TABLES
from arqonmesh.errors import StorageError
from arqonmesh.store.migrations import migrate, version_of
from arqonmesh.store.schema import APPLICATION_ID

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
"""https://www.sqlite.org/fileformat.html, 1.3: bytes 60..63 are the user version, 68..71 the application id."""

BUSY_TIMEOUT_MS: Final = 5_000
"""How long another process's write lock (an administrator's tool) is waited for before the commit fails."""
WAL_BYTES_MAX: Final = 64 << 20
CHECKPOINT_PAGES: Final = 2_000
PACKED_BYTES_MIN: Final = 256 << 10
PACKED_BYTES_MAX: Final = 64 << 20
"""Files of such a size are packed when they are opened; a larger one is mostly outbox, which comes and goes."""
FREE_SHARE: Final = 4
"""Free pages are worth it from one in so many."""


def open_database(path: Path) -> sqlite3.Connection:
    """A checked, current connection in autocommit mode, to be used by one thread at a time. Raises StorageError."""
    new = _look(path)
    try:
        connection = connect(path)
    except sqlite3.Error as error:
        raise unwritable(path, str(error)) from error
    try:
        _admit(connection, path)
        if new:
            _sync_directory(path.parent)
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    return connection


def unwritable(path: Path, reason: str) -> StorageError:
    return StorageError(
        "store.unwritable",
        f"cannot write {path}: {reason}",
        hint=f"ls -ld {path.parent} {path}",
    )


def explain(error: Exception, path: Path) -> StorageError:
    """What SQLite said, in our tree."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return corrupt(path, str(error))
    if name.startswith("SQLITE_FULL"):
        return StorageError("store.full", f"no space left to write {path}", hint=f"df -h {path.parent}")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return unwritable(path, str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(
            "store.busy",
            f"another process held the write lock of {path} for more than {BUSY_TIMEOUT_MS / 1000:g} s",
            hint=f"fuser {path}",
        )
    return StorageError("store.io", f"writing {path} failed: {error} ({name})", hint="dmesg | tail")


def corrupt(path: Path, seen: str) -> StorageError:
    return StorageError(
        "store.corrupt",
        f"{path} is damaged ({seen}); it was left as it is",
        hint=f"mv {path} {path}.damaged, then arqon node start: the mesh gives its records back; a backup is better",
    )


def foreign(path: Path, seen: str) -> StorageError:
    return StorageError(
        "store.foreign",
        f"{path} is not a database of ArqonMesh ({seen}); it was left as it is",
        hint="choose another --data-dir, or move that file away",
    )


def newer(path: Path, seen: int) -> StorageError:
    return StorageError(
        "store.newer",
        f"{path} has schema version {seen}; this version of ArqonMesh knows up to {SCHEMA_VERSION}",
        hint="pip install --upgrade arqonmesh",
    )


def _look(path: Path) -> bool:
    """Judge by the file's own first bytes; makes the file (0600) when it is absent. True: it is new."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    try:
        header = os.pread(fd, _HEADER_BYTES, 0)
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    finally:
        os.close(fd)
    if not header:
        return True
    if not header.startswith(_MAGIC):
        raise foreign(path, f"it begins with {_shown(header[:16])}")
    if len(header) < _HEADER_BYTES:
        raise corrupt(path, f"it ends after {len(header)} bytes")
    application = int.from_bytes(header[68:72], "big")
    if application not in (0, APPLICATION_ID):
        raise foreign(path, f"application id {application:#010x}")
    version = int.from_bytes(header[60:64], "big")
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        raise newer(path, version)
    return False


def _shown(head: bytes) -> str:
    """The first bytes of a file for a person: as text where they are text, else as hexadecimal numbers."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = ""
    first = text.splitlines()[0] if text.strip() else ""
    return f'"{first}"' if first and first.isprintable() else f"the bytes {head.hex(' ')}"


def _admit(connection: sqlite3.Connection, path: Path) -> None:
    """Judge through SQLite (which also reads the WAL), then migrate and check the tables."""
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if application != APPLICATION_ID and (application != 0 or tables != 0):
        raise foreign(path, f"application id {application:#010x}, {tables} tables")
    version = version_of(connection)
    if version > SCHEMA_VERSION:
        raise newer(path, version)
    verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if verdict != "ok":
        raise corrupt(path, verdict)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    migrated = version < SCHEMA_VERSION
    if migrated:
        migrate(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the header itself says whose file it is
    _check_tables(connection, path)
    _pack(connection, migrated=migrated and tables > 0)


def _pack(connection: sqlite3.Connection, *, migrated: bool) -> None:
    """Write the file anew where that gives much back: after a migration, or when a quarter of its pages is free. 6 ms
    of processor time per MB. It needs as much room again for a moment, and a directory for temporary files; without
    them, or while somebody else holds the file, it stays as large as it is, and is as good."""
    names = ("page_count", "page_size", "freelist_count")
    pages, size, free = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    if PACKED_BYTES_MIN <= pages * size <= PACKED_BYTES_MAX and (migrated or free * FREE_SHARE >= pages):
        with contextlib.suppress(sqlite3.OperationalError):  # what is corrupt is a DatabaseError of another kind
            connection.execute("VACUUM")


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    for table in TABLES:
        info = connection.execute(f"PRAGMA table_info({table.name})").fetchall()
        seen = [(str(row[1]), str(row[2]).lower()) for row in info]
        if seen != list(table.columns):
            raise corrupt(path, f"table {table.name} has columns {seen}, not those of version {SCHEMA_VERSION}")


def _sync_directory(directory: Path) -> None:
    """A new file's name is only durable once its directory is."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
