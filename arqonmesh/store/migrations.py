"""From any older version of our file to the newest, one step per version, each step in its own transaction.

`PRAGMA user_version` says which version a file has; the step that makes version N sets it in the same
transaction, so a crash between steps leaves a whole older version. sqlite-utils keeps the list of applied steps in
the file (`_sqlite_migrations`) and offers `transform` for changes that SQLite's ALTER TABLE cannot do.

To change the schema: edit core/tables.py, raise its SCHEMA_VERSION, add the next step below. Steps that shipped are
never edited, which is why step 1 spells its tables out rather than reading today's core/tables.py.
"""

from __future__ import annotations

import sqlite3
from base64 import b32decode
from typing import TYPE_CHECKING, Final

from arqonmesh.store.schema import APPLICATION_ID

if TYPE_CHECKING:
    from sqlite_utils import Database

FIRST_TABLES: Final = (
    'CREATE TABLE "scalars" ("core" TEXT, "name" TEXT, "value" BLOB, PRIMARY KEY ("core", "name")) WITHOUT ROWID',
    'CREATE TABLE "statements" ("author" TEXT, "kind" INTEGER, "key" TEXT, "epoch" INTEGER, "seq" INTEGER,'
    ' "bytes" BLOB, PRIMARY KEY ("author", "kind", "key")) WITHOUT ROWID',
    'CREATE TABLE "heads" ("author" TEXT, "epoch" INTEGER, "seq" INTEGER, "hash" BLOB,'
    ' PRIMARY KEY ("author")) WITHOUT ROWID',
    'CREATE TABLE "peers" ("node_id" TEXT, "cluster" TEXT, "role" TEXT, "region" TEXT, "addresses" TEXT,'
    ' "public_key" BLOB, "first_seen_ms" INTEGER, "last_seen_ms" INTEGER, "score_ppm" INTEGER,'
    ' "score_at_ms" INTEGER, "latency_us" INTEGER, "deliveries" INTEGER, PRIMARY KEY ("node_id")) WITHOUT ROWID',
    'CREATE TABLE "peer_causes" ("node_id" TEXT, "n" INTEGER, "at_ms" INTEGER, "delta_ppm" INTEGER, "cause" TEXT,'
    ' "evidence" BLOB, PRIMARY KEY ("node_id", "n")) WITHOUT ROWID',
    'CREATE TABLE "inbox" ("origin" TEXT, "epoch" INTEGER, "high" INTEGER, "seen" BLOB,'
    ' PRIMARY KEY ("origin", "epoch")) WITHOUT ROWID',
    'CREATE TABLE "outbox" ("peer" TEXT, "seq" INTEGER, "bytes" BLOB, PRIMARY KEY ("peer", "seq"))',
    'CREATE TABLE "links" ("address" TEXT, "peer" TEXT, "added_ms" INTEGER, PRIMARY KEY ("address")) WITHOUT ROWID',
)


SHORTER_TABLES: Final = (
    'CREATE TABLE "new_statements" ("author" BLOB, "kind" INTEGER, "key" BLOB, "epoch" INTEGER, "seq" INTEGER,'
    ' "bytes" BLOB, PRIMARY KEY ("author", "kind", "key")) WITHOUT ROWID',
    'INSERT INTO "new_statements" SELECT node_bytes("author"), "kind", key_item("key"), "epoch", "seq", "bytes"'
    ' FROM "statements" WHERE node_bytes("author") IS NOT NULL AND key_item("key") IS NOT NULL',
    'CREATE TABLE "new_heads" ("author" BLOB, "epoch" INTEGER, "seq" INTEGER, "hash" BLOB,'
    ' PRIMARY KEY ("author")) WITHOUT ROWID',
    'INSERT INTO "new_heads" SELECT node_bytes("author"), "epoch", "seq", "hash"'
    ' FROM "heads" WHERE node_bytes("author") IS NOT NULL',
    'CREATE TABLE "new_peers" ("node_id" BLOB, "first_seen_ms" INTEGER, "last_seen_ms" INTEGER,'
    ' "score_ppm" INTEGER, "score_at_ms" INTEGER, "latency_us" INTEGER, "deliveries" INTEGER,'
    ' PRIMARY KEY ("node_id")) WITHOUT ROWID',
    'INSERT INTO "new_peers" SELECT node_bytes("node_id"), "first_seen_ms", "last_seen_ms", "score_ppm",'
    ' "score_at_ms", "latency_us", "deliveries" FROM "peers" WHERE node_bytes("node_id") IS NOT NULL',
    'CREATE TABLE "new_peer_causes" ("node_id" BLOB, "n" INTEGER, "at_ms" INTEGER, "delta_ppm" INTEGER,'
    ' "cause" TEXT, "evidence" BLOB, PRIMARY KEY ("node_id", "n")) WITHOUT ROWID',
    'INSERT INTO "new_peer_causes" SELECT node_bytes("node_id"), "n", "at_ms", "delta_ppm", "cause", "evidence"'
    ' FROM "peer_causes" WHERE node_bytes("node_id") IS NOT NULL',
)
"""Of the third version: nodes by their 20 bytes, keys as items of CBOR; of peers only what no statement says."""


def _node_bytes(text: str) -> bytes | None:
    """The 20 bytes that an id names; None for what is none."""
    try:
        raw = b32decode(text.upper())
    except (ValueError, AttributeError):
        return None
    return raw if len(text) == 32 else None


def _key_item(text: str) -> bytes | None:
    """The key of a statement as an item of CBOR (RFC 8949, 3.1): a node's bytes or a text."""
    if not isinstance(text, str):
        return None
    raw, major = _node_bytes(text), 0x40
    if raw is None or text.lower() != text:
        raw, major = text.encode(), 0x60
    if len(raw) < 24:
        return bytes((major | len(raw),)) + raw
    if len(raw) < 256:
        return bytes((major | 24, len(raw))) + raw
    return bytes((major | 25,)) + len(raw).to_bytes(2, "big") + raw


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the file of this connection to the newest version. Raises sqlite3.Error; the file then stays whole."""
    # Imported here: it costs 90 ms, and only a new or an older file needs it.
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    steps = Migrations("arqonmesh")

    @steps(name="0001 the first mesh")
    def first(db: Database) -> None:
        for statement in FIRST_TABLES:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")

    @steps(name="0002 rows of statements say less")
    def shorter_rows(db: Database) -> None:
        # Whole rows are still read, so none is rewritten; but who reads only those would take the new ones for damage.
        db.execute("PRAGMA user_version = 2")

    @steps(name="0003 nodes by their bytes")
    def nodes_by_bytes(db: Database) -> None:
        connection.create_function("node_bytes", 1, _node_bytes, deterministic=True)
        connection.create_function("key_item", 1, _key_item, deterministic=True)
        for statement in SHORTER_TABLES:
            db.execute(statement)
        for name in ("statements", "heads", "peers", "peer_causes"):
            db.execute(f'DROP TABLE "{name}"')
            db.execute(f'ALTER TABLE "new_{name}" RENAME TO "{name}"')
        db.execute("PRAGMA user_version = 3")

    steps.apply(Database(connection, execute_plugins=False))
