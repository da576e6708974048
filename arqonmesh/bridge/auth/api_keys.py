"""API keys: made and revoked by the operator (`arqon bus key`), shown by clients, hashed at rest in bus-keys.db.

    arqk_k3v9x2mq_Zk1...      `arqk_`, 8 characters to find it by, 32 random bytes

A key has 256 random bits, so one SHA-256 is as good at rest as any slow hash: there is nothing to guess. The commands
write to the file beside a running node, which notices by SQLite's `data_version` and acts at once: a revoked key's
clients are closed. Rows are never deleted, so that a bus does not open again when its last key is revoked.

The keys of the cluster's other nodes are in the same file (`learn`), and these are told to them (`take_changed`); how
they travel is core/bus/cluster/keys.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import msgspec

from arqonmesh.bridge.auth.refused import AuthRefused, invalid
from arqonmesh.core.bus.identity import Identity, Role
from arqonmesh.core.bus.permissions import wrong_permission
from arqonmesh.core.bus.tenants import TENANT_FORM, is_tenant
from arqonmesh.errors import NotFound, StorageError, UsageError
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import KeyRecord

FILE: Final = "bus-keys.db"
MARK: Final = "arqk_"
KEYS_MAX: Final = 10_000
"""Of the whole cluster; a key is not made beyond it."""
NAME_MAX: Final = 64
BUSY_TIMEOUT_S: Final = 1.0
"""Writes take milliseconds; nobody holds the lock longer."""
USED_EVERY_MS: Final = 60_000
"""`last_used` is written at most so often per key."""
_PREFIX_BYTES: Final = 5
_VERSION: Final = 1
"""Of the file (`PRAGMA user_version`): 0 had no `made_at`."""
_COLUMNS: Final = (
    "prefix, hash, name, role, tenant, permissions, created_ms, expires_ms, revoked_ms, last_used_ms, made_at"
)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS api_keys (
  prefix TEXT PRIMARY KEY, hash BLOB NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, tenant TEXT NOT NULL,
  permissions TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL,
  last_used_ms INTEGER NOT NULL, made_at TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID
"""


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


class ApiKeys:
    """The keys of one node. Raises StorageError when the file cannot be used."""

    def __init__(self, path: Path, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._by_prefix: dict[str, ApiKey] = {}
        self._version = -1
        self._newly_revoked: list[str] = []
        self._told: dict[str, int] = {}
        """What `take_changed` told: `revoked_ms` by prefix, the only thing of a key that changes."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._prepare(path)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                "bus.key-file", f"{path} cannot be used for API keys: {error}", hint=f"ls -l {path}"
            ) from error
        self.refresh()

    def __bool__(self) -> bool:
        """Whether there ever was a key: then the bus is not open to who shows none."""
        self.refresh()
        return bool(self._by_prefix)

    def close(self) -> None:
        self._db.close()

    def all(self) -> list[ApiKey]:
        """Oldest first."""
        self.refresh()
        return sorted(self._by_prefix.values(), key=lambda key: (key.created_ms, key.prefix))

    def take_revoked(self) -> list[str]:
        """Prefixes of keys that were revoked since the last time this was asked."""
        self.refresh()
        revoked, self._newly_revoked = self._newly_revoked, []
        return revoked

    def take_changed(self, here: NodeId) -> list[KeyRecord]:
        """What was made or revoked, here or elsewhere, since the last time this was asked; at first everything."""
        self.refresh()
        told, changed = self._told, []
        for prefix, key in self._by_prefix.items():
            if told.get(prefix) != key.revoked_ms:
                told[prefix] = key.revoked_ms
                changed.append(key.record(here))
        return changed

    def learn(self, records: Sequence[KeyRecord]) -> None:
        """Take what other nodes of the cluster know of keys. All of it or nothing; raises StorageError."""
        rows = [
            (*_fixed(record), record.revoked_ms, 0, record.made_at)
            for record in records
        ]  # fmt: skip
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?) "  # noqa: S608 - our own names
                    "ON CONFLICT (prefix) DO UPDATE SET hash = excluded.hash, name = excluded.name, "
                    "role = excluded.role, tenant = excluded.tenant, permissions = excluded.permissions, "
                    "created_ms = excluded.created_ms, expires_ms = excluded.expires_ms, "
                    "revoked_ms = CASE WHEN excluded.revoked_ms = 0 THEN revoked_ms "
                    "WHEN revoked_ms = 0 THEN excluded.revoked_ms ELSE min(revoked_ms, excluded.revoked_ms) END, "
                    "made_at = excluded.made_at",
                    rows,
                )
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise StorageError(
                "bus.key-file", f"keys of other nodes cannot be written: {error}", hint="df -h ."
            ) from error
        self._version = -1
        self.refresh()

    def is_revoked(self, prefix: str) -> bool:
        """Whether this key was revoked, or is no more."""
        self.refresh()
        return self._revoked(prefix)

    def refresh(self) -> None:
        """Read what another process wrote."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        self._version = version
        before = self._by_prefix
        with closing(self._db.execute(f"SELECT {_COLUMNS} FROM api_keys")) as rows:  # noqa: S608 - our own names
            self._by_prefix = {key.prefix: key for key in map(_key, rows)}
        self._newly_revoked += [
            key.prefix for key in before.values() if not key.revoked_ms and self._revoked(key.prefix)
        ]

    def judge(self, shown: str) -> Identity:
        """Raises AuthRefused, whatever was shown."""
        self.refresh()
        prefix, _, _ = shown.removeprefix(MARK).partition("_")
        key = self._by_prefix.get(prefix)
        if key is None or not hmac.compare_digest(_hash(shown), key.hash):
            raise invalid("no such API key")
        now_ms = self._wall_ms()
        state = key.state(now_ms)
        if state != "active":
            code = "bus.auth-expired" if state == "expired" else "bus.auth-revoked"
            raise AuthRefused(code, f"the API key {prefix} ({key.name}) is {state}", hint="arqon bus key new NAME")
        if now_ms - key.last_used_ms >= USED_EVERY_MS:
            with suppress(sqlite3.Error):  # a disk that is full is no reason to turn a client away
                self._write("UPDATE api_keys SET last_used_ms = ? WHERE prefix = ?", (now_ms, prefix))
        return Identity(key.name, key.role, key.tenant, key.permissions, key.expires_ms, f"key:{prefix}")

    def new(
        self, name: str, role: Role, *, tenant: str = "", permissions: Sequence[str] = (), lifetime_ms: int = 0
    ) -> tuple[str, ApiKey]:
        """Make a key: (the key itself, which is nowhere else, and what is kept of it). Raises UsageError."""
        wrong = wrong_permission(permissions)
        if not name.isprintable() or not 0 < len(name) <= NAME_MAX:
            wrong = f"name is {name[:80]!r}; it needs to be printable, of 1 to {NAME_MAX} characters"
        elif tenant and not is_tenant(tenant):
            wrong = f"tenant is {tenant[:80]!r}; it needs to be {TENANT_FORM}"
        elif len(self.all()) >= KEYS_MAX:
            wrong = f"there are {KEYS_MAX} keys, revoked ones included; it needs to be fewer"
        if wrong:
            raise UsageError("bus.key-invalid", wrong, hint="arqon bus key new --help")
        prefix = base64.b32encode(secrets.token_bytes(_PREFIX_BYTES)).decode().lower()
        shown = f"{MARK}{prefix}_{secrets.token_urlsafe(32)}"
        now_ms = self._wall_ms()
        expires_ms = now_ms + lifetime_ms if lifetime_ms else 0
        key = ApiKey(prefix, _hash(shown), name, role, tenant, tuple(permissions), now_ms, expires_ms, 0, 0)
        told = msgspec.json.encode(key.permissions).decode()
        self._write(
            f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608 - our own names
            (prefix, key.hash, name, role, tenant, told, now_ms, expires_ms, 0, 0, ""),
        )
        return shown, key

    def revoke(self, named: str) -> ApiKey:
        """By prefix, by the name that only one key has, or by the key itself. Raises NotFound, UsageError."""
        prefix = named.removeprefix(MARK).partition("_")[0]
        found = [key for key in self.all() if key.prefix == prefix]
        found = found or [key for key in self.all() if key.name == named and not key.revoked_ms]
        if not found:
            raise NotFound("bus.key-unknown", f"no API key is called {named[:80]!r}", hint="arqon bus key ls")
        if len(found) > 1:
            raise UsageError(
                "bus.key-ambiguous",
                f"{len(found)} keys are called {named[:80]!r}; it needs to be one of "
                + ", ".join(key.prefix for key in found),
                hint=f"arqon bus key revoke {found[0].prefix}",
            )
        key = found[0]
        self._write(
            "UPDATE api_keys SET revoked_ms = ? WHERE prefix = ? AND revoked_ms = 0", (self._wall_ms(), key.prefix)
        )
        return self._by_prefix[key.prefix]

    def _prepare(self, path: Path) -> None:
        """Have the table, in its newest form."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StorageError(
                "bus.key-file",
                f"{path} is of version {version}, and this program knows {_VERSION}; it needs a newer one",
                hint="arqon version",
            )
        if version == _VERSION:
            return
        self._db.execute("BEGIN IMMEDIATE")  # a command may be at it beside a node
        self._db.execute(_SCHEMA)
        columns = [row[1] for row in self._db.execute("PRAGMA table_info(api_keys)")]
        if "made_at" not in columns:
            self._db.execute("ALTER TABLE api_keys ADD COLUMN made_at TEXT NOT NULL DEFAULT ''")
        self._db.execute(f"PRAGMA user_version = {_VERSION}")
        self._db.execute("COMMIT")

    def _revoked(self, prefix: str) -> bool:
        now = self._by_prefix.get(prefix)
        return now is None or bool(now.revoked_ms)

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        self._db.execute(statement, values)
        self._version = -1  # `data_version` does not count our own writes
        self.refresh()


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


def _fixed(record: KeyRecord) -> tuple[object, ...]:
    """The columns of a key that never change."""
    permissions = msgspec.json.encode(record.permissions).decode()
    who = (record.prefix, record.hash, record.name, record.role, record.tenant, permissions)
    return (*who, record.created_ms, record.expires_ms)


def _hash(shown: str) -> bytes:
    return hashlib.sha256(shown.encode("utf-8", "replace")).digest()
