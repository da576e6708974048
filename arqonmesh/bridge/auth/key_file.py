"""bus-keys.db: one row per API key. Several processes have it open; only the hash of a key is in it.

A reader learns from SQLite's `data_version` that somebody else wrote, and from `revision`, which triggers count,
whether that was more than the date of a last use: then alone all rows are read again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import msgspec

from arqonmesh.core.bus.identity import Role
from arqonmesh.errors import StorageError
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import KeyRecord

BUSY_TIMEOUT_S: Final = 1.0
"""Writes take milliseconds; nobody holds the lock longer."""
_VERSION: Final = 2
"""Of the file (`PRAGMA user_version`): 0 had no `made_at`, 1 no `key_state`."""
_COLUMNS: Final = (
    "prefix, hash, name, role, tenant, permissions, created_ms, expires_ms, revoked_ms, last_used_ms, made_at"
)
_MARKS: Final = "?,?,?,?,?,?,?,?,?,?,?"
_LASTING: Final = _COLUMNS.replace(" last_used_ms,", "")
_COUNT: Final = "UPDATE key_state SET value = value + 1 WHERE name = 'revision'"
_NOTE: Final = "UPDATE key_state SET value = 1 WHERE name = 'had_others'"
_SCHEMA: Final = (
    """
CREATE TABLE IF NOT EXISTS api_keys (
  prefix TEXT PRIMARY KEY, hash BLOB NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, tenant TEXT NOT NULL,
  permissions TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL,
  last_used_ms INTEGER NOT NULL, made_at TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID""",
    "CREATE TABLE key_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO key_state VALUES ('revision', 0), ('had_others', 0)",
    f"CREATE TRIGGER key_made AFTER INSERT ON api_keys BEGIN {_COUNT}; END",
    f"CREATE TRIGGER key_changed AFTER UPDATE OF {_LASTING} ON api_keys BEGIN {_COUNT}; END",
    f"CREATE TRIGGER key_gone AFTER DELETE ON api_keys BEGIN {_COUNT}; {_NOTE}; END",
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as it is kept; times are wall clock, milliseconds since 1970, and 0 where there is none."""

    prefix: str
    hash: bytes
    name: str
    role: Role
    tenant: str
    permissions: tuple[str, ...]
    created_ms: int
    expires_ms: int
    revoked_ms: int
    last_used_ms: int
    made_at: str = ""
    """The node of the cluster where it was made; empty: this one."""

    def state(self, now_ms: int) -> str:
        """active, expired or revoked."""
        if self.revoked_ms:
            return "revoked"
        return "expired" if self.expires_ms and now_ms >= self.expires_ms else "active"

    def is_of(self, here: NodeId) -> bool:
        """Whether it was made at this node."""
        return self.made_at in ("", here)

    def record(self, here: NodeId) -> KeyRecord:
        """As it travels in the cluster."""
        return KeyRecord(
            self.prefix,
            self.hash,
            self.name,
            self.role,
            self.tenant,
            self.permissions,
            self.created_ms,
            self.expires_ms,
            self.revoked_ms,
            self.made_at or here,
        )


class KeyFile:
    """Raises StorageError `bus.key-file` when the file cannot be opened or written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version = self._revision = -1
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                "bus.key-file", f"{path} cannot be used for API keys: {error}", hint=f"ls -l {path}"
            ) from error

    def close(self) -> None:
        self._db.close()

    def read(self, *, again: bool = False) -> tuple[dict[str, ApiKey], bool] | None:
        """All keys by prefix, and whether there were others once; None when nothing has changed but last uses since the
        last time. `again`: also then, as after an own write, which SQLite does not tell."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version == self._version and not again:
            return None
        self._version = version
        with self._transaction("BEGIN"):
            state = dict(self._db.execute("SELECT name, value FROM key_state").fetchall())
            if state["revision"] == self._revision and not again:
                return None
            self._revision = state["revision"]
            with closing(self._db.execute(f"SELECT {_COLUMNS} FROM api_keys")) as rows:  # noqa: S608 - our own names
                return {key.prefix: key for key in map(_key, rows)}, bool(state["had_others"])

    def add(self, key: ApiKey) -> None:
        """Raises sqlite3.Error, as `revoke`."""
        row = (*_fixed(key), key.revoked_ms, key.last_used_ms, key.made_at)
        self._db.execute(f"INSERT INTO api_keys ({_COLUMNS}) VALUES ({_MARKS})", row)  # noqa: S608 - our own names

    def revoke(self, prefix: str, now_ms: int) -> None:
        self._db.execute("UPDATE api_keys SET revoked_ms = ? WHERE prefix = ? AND revoked_ms = 0", (now_ms, prefix))

    def write(self, records: Sequence[KeyRecord], *, only_of: NodeId | None) -> None:
        """What other nodes know of keys; before it, delete what others than `only_of` made. All of it or nothing."""
        try:
            with self._transaction("BEGIN IMMEDIATE"):
                if only_of is not None:
                    self._db.execute("DELETE FROM api_keys WHERE made_at NOT IN ('', ?)", (only_of,))
                self._db.executemany(
                    f"INSERT INTO api_keys ({_COLUMNS}) VALUES ({_MARKS}) "  # noqa: S608 - our own names
                    "ON CONFLICT (prefix) DO UPDATE SET hash = excluded.hash, name = excluded.name, "
                    "role = excluded.role, tenant = excluded.tenant, permissions = excluded.permissions, "
                    "created_ms = excluded.created_ms, expires_ms = excluded.expires_ms, "
                    "revoked_ms = CASE WHEN excluded.revoked_ms = 0 THEN revoked_ms "
                    "WHEN revoked_ms = 0 THEN excluded.revoked_ms ELSE min(revoked_ms, excluded.revoked_ms) END, "
                    "made_at = excluded.made_at",
                    [(*_fixed(record), record.revoked_ms, 0, record.made_at) for record in records],
                )
        except sqlite3.Error as error:
            raise StorageError(
                "bus.key-file", f"keys of other nodes cannot be written: {error}", hint="df -h ."
            ) from error

    def _prepare(self) -> None:
        """Have the tables, in their newest form."""
        if self._is_newest():
            return
        with self._transaction("BEGIN IMMEDIATE"):  # a command may be at it beside a node
            if self._is_newest():
                return
            make_keys, *make_state = _SCHEMA
            self._db.execute(make_keys)
            columns = [row[1] for row in self._db.execute("PRAGMA table_info(api_keys)")]
            if "made_at" not in columns:
                self._db.execute("ALTER TABLE api_keys ADD COLUMN made_at TEXT NOT NULL DEFAULT ''")
            for statement in make_state:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def _is_newest(self) -> bool:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StorageError(
                "bus.key-file",
                f"{self.path} is of version {version}, and this program knows {_VERSION}; it needs a newer one",
                hint="arqon version",
            )
        return bool(version == _VERSION)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._db.execute(begin)
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def write_uses(path: Path, uses: Mapping[str, int]) -> bool:
    """When keys were used last, in milliseconds, by prefix; from any thread. False when the disk does not take it,
    which is no reason to turn a client away: the next use is written again."""
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=NORMAL")  # a power cut may take the last ones along
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "UPDATE api_keys SET last_used_ms = max(last_used_ms, ?) WHERE prefix = ?",
                [(used_ms, prefix) for prefix, used_ms in uses.items()],
            )
            db.execute("COMMIT")
    except sqlite3.Error:
        return False
    return True


def _key(row: tuple[object, ...]) -> ApiKey:
    prefix, hash_, name, role, tenant, permissions, *times, made_at = row
    told = msgspec.json.decode(cast(str, permissions), type=tuple[str, ...])
    created, expires, revoked, used = cast("list[int]", times)
    return ApiKey(
        prefix=str(prefix),
        hash=cast(bytes, hash_),
        name=str(name),
        role=cast(Role, role),
        tenant=str(tenant),
        permissions=told,
        created_ms=created,
        expires_ms=expires,
        revoked_ms=revoked,
        last_used_ms=used,
        made_at=str(made_at),
    )


def _fixed(key: ApiKey | KeyRecord) -> tuple[object, ...]:
    """The columns of a key that never change."""
    permissions = msgspec.json.encode(key.permissions).decode()
    who = (key.prefix, key.hash, key.name, key.role, key.tenant, permissions)
    return (*who, key.created_ms, key.expires_ms)
