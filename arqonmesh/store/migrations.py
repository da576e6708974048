"""From any older version of our file to the newest, one step per version, each step in its own transaction.

`PRAGMA user_version` says which version a file has; the step that makes version N sets it in the same
transaction, so a crash between steps leaves a whole older version. sqlite-utils keeps the list of applied steps in
the file (`_sqlite_migrations`) and offers `transform` for changes that SQLite's ALTER TABLE cannot do.

To change the schema: edit core/tables.py, raise its SCHEMA_VERSION, add the next step below. Steps that shipped are
never edited, which is why step 1 spells its tables out rather than reading today's core/tables.py.
"""

from __future__ import annotations

import sqlite3
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

    steps.apply(Database(connection, execute_plugins=False))
