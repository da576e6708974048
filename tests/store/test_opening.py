"""Which files are taken and which are refused, and that a refused file is left exactly as it was."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import sqlite3
from base64 import b32decode
from collections.abc import Callable
from pathlib import Path

import pytest

from arqonmesh.core.gossip.disk import load, trimmed
from arqonmesh.core.kernel import Delete, Put
from arqonmesh.core.tables import SCHEMA_VERSION, TABLES
from arqonmesh.errors import CATALOGUE, StorageError
from arqonmesh.ids import MeshId
from arqonmesh.store import Store
from arqonmesh.store.lock import FileLock
from arqonmesh.store.migrations import FIRST_TABLES, version_of
from arqonmesh.store.opening import PACKED_BYTES_MIN, open_database
from arqonmesh.store.schema import APPLICATION_ID, create_table
from arqonmesh.wire.cbor import encode
from arqonmesh.wire.packing import packed
from arqonmesh.wire.statement import decode_statement
from tests.core.gossip.world import node_record, signed
from tests.core.toy import node_of


def ours(path: Path) -> None:
    """A database of ours with something in it."""

    async def make() -> None:
        store = Store.open(path)
        store.persist([Put("outbox", ("p", n, b"x" * 500)) for n in range(100)], sync=True, done=None)
        await store.close()

    asyncio.run(make())


def rubbish(path: Path) -> None:
    path.write_bytes(b"these are my holiday notes\n" * 10)


def cut_header(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + bytes(20))


def other_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 252006673")
    connection.execute("CREATE TABLE t (x)")
    connection.close()


def unnamed_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.close()


def newer(path: Path) -> None:
    ours(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()


def damaged(path: Path) -> None:
    ours(path)
    data = bytearray(path.read_bytes())
    for offset in range(4_096, len(data), 4_096):
        data[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(data)


def truncated(path: Path) -> None:
    ours(path)
    os.truncate(path, path.stat().st_size // 2)


def without_a_table(path: Path) -> None:
    ours(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE heads")
    connection.close()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b"these are my holiday notes", '(it begins with "these are my hol")'),
        ("größer als\nalles".encode(), '(it begins with "größer als")'),
        (b"\x89PNG\r\n\x1a\n", "(it begins with the bytes 89 50 4e 47 0d 0a 1a 0a)"),
        (b"\x1b[2Jx", "(it begins with the bytes 1b 5b 32 4a 78)"),
        (b"\n\n", "(it begins with the bytes 0a 0a)"),
    ],
)
def test_what_a_foreign_file_begins_with_is_shown_to_people(content: bytes, shown: str, tmp_path: Path) -> None:
    """As text or as bytes, in no programming language; and nothing that a terminal would obey."""
    (tmp_path / "mesh.db").write_bytes(content)
    with pytest.raises(StorageError) as caught:
        open_database(tmp_path / "mesh.db")
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (rubbish, "store.foreign"),
        (cut_header, "store.corrupt"),
        (other_application, "store.foreign"),
        (unnamed_application, "store.foreign"),
        (newer, "store.newer"),
        (damaged, "store.corrupt"),
        (truncated, "store.corrupt"),
        (without_a_table, "store.corrupt"),
    ],
)
def test_a_file_that_is_not_whole_and_ours_is_refused_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], None], code: str
) -> None:
    """Refused with its code, the path and what helps; not one byte is changed, and the lock is let go."""
    path = tmp_path / "mesh.db"
    make(path)
    before = path.read_bytes()

    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            Store.open(path)
        assert caught.value.code == code
        assert str(path) in caught.value.sentence
        assert caught.value.hint
        assert code in CATALOGUE

    assert path.read_bytes() == before


async def test_two_processes_cannot_share_a_data_directory(tmp_path: Path) -> None:
    """The second is told who has it; after the first ends, it may."""
    first = Store.open(tmp_path / "mesh.db")
    with pytest.raises(StorageError, match=f"pid {os.getpid()}") as caught:
        Store.open(tmp_path / "mesh.db")
    assert caught.value.code == "store.in-use"
    await first.close()
    second = Store.open(tmp_path / "mesh.db")
    await second.close()


def test_a_directory_that_is_absent_is_refused_with_its_name(tmp_path: Path) -> None:
    """Making directories is `arqon init`'s business."""
    with pytest.raises(StorageError, match="absent") as caught:
        Store.open(tmp_path / "absent" / "mesh.db")
    assert caught.value.code == "store.unwritable"


def test_a_full_disk_at_the_start_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing a start writes is its lock; on a full disk that fails, and nothing is held afterwards."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError) as refused:
            FileLock.acquire(tmp_path / "mesh.db.lock")
    assert (refused.value.code, refused.value.hint) == ("store.full", f"df -h {tmp_path}")
    FileLock.acquire(tmp_path / "mesh.db.lock").release()


def test_a_directory_in_the_files_place_is_refused(tmp_path: Path) -> None:
    """Whatever stands there, it is not opened for writing."""
    (tmp_path / "mesh.db").mkdir()
    with pytest.raises(StorageError) as caught:
        Store.open(tmp_path / "mesh.db")
    assert caught.value.code == "store.unwritable"


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """Mode 0600, as is the lock's."""
    ours(tmp_path / "mesh.db")
    assert (tmp_path / "mesh.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "mesh.db.lock").stat().st_mode & 0o777 == 0o600


def test_an_empty_file_becomes_ours(tmp_path: Path) -> None:
    """A crash between making the file and its first commit is not damage."""
    path = tmp_path / "mesh.db"
    path.touch()
    connection = open_database(path)
    assert version_of(connection) == SCHEMA_VERSION
    connection.close()


NODE = "abcdefghijklmnopqrstuvwxyz234567"
NODE_BYTES = b32decode(NODE.upper())
TICKET = "01JCZ3K2Q5T8V0W1X2Y3Z4A5B6"


def older(path: Path, version: int) -> None:
    """A file as the first or the second version left it, with a row in every table that has changed since."""
    connection = sqlite3.connect(path)
    for statement in FIRST_TABLES:
        connection.execute(statement)
    for key in ("", NODE, TICKET, "k" * 300):
        connection.execute("INSERT INTO statements VALUES (?, 2, ?, 1, 7, x'00')", (NODE, key))
    connection.execute("INSERT INTO statements VALUES ('no node', 2, '', 1, 7, x'00')")
    connection.execute("INSERT INTO heads VALUES (?, 1, 9, zeroblob(32))", (NODE,))
    connection.execute("INSERT INTO peers VALUES (?, 'c', 'hub', 'r', 'h:1', x'01', 5, 6, 400000, 7, 8, 9)", (NODE,))
    connection.execute("INSERT INTO peer_causes VALUES (?, 1, 7, -600000, 'rate', x'')", (NODE,))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute(
        'CREATE TABLE "_sqlite_migrations" (id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT, applied_at TEXT)'
    )
    for number, name in enumerate(("0001 the first mesh", "0002 rows of statements say less")[:version], 1):
        connection.execute("INSERT INTO _sqlite_migrations VALUES (?, 'arqonmesh', ?, '2026-01-01')", (number, name))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_an_older_version_is_taken_over_with_its_rows(tmp_path: Path, version: int) -> None:
    """Nodes by their bytes, keys as items of CBOR; who names no node is left out. And it says from then on that older
    programs are not to touch it: they would take shorter rows for damage."""
    path = tmp_path / "mesh.db"
    older(path, version)
    connection = open_database(path)
    assert version_of(connection) == 3
    assert connection.execute("SELECT author, key, seq FROM statements").fetchall() == [
        (NODE_BYTES, key, 7) for key in sorted(encode(packed(key)) for key in ("", NODE, TICKET, "k" * 300))
    ]
    assert connection.execute("SELECT * FROM heads").fetchall() == [(NODE_BYTES, 1, 9, bytes(32))]
    assert connection.execute("SELECT * FROM peers").fetchall() == [(NODE_BYTES, 5, 6, 400_000, 7, 8, 9)]
    assert connection.execute("SELECT * FROM peer_causes").fetchall() == [(NODE_BYTES, 1, 7, -600_000, "rate", b"")]
    connection.close()


async def test_a_node_finds_in_a_former_file_every_statement_that_it_left_there(tmp_path: Path) -> None:
    """Whole, whether it names a node, a ticket or nothing by its key."""
    path = tmp_path / "mesh.db"
    older(path, 2)
    said = [
        signed("hub", seq, node_record("hub", 1), key=key) for seq, key in enumerate(("", node_of("ant"), TICKET), 1)
    ]
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM statements")
    for encoded in said:
        statement = decode_statement(encoded)
        row = (statement.author, statement.kind, statement.key, 1, statement.seq, trimmed(encoded))
        connection.execute("INSERT INTO statements VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.commit()
    connection.close()
    store = Store.open(path)
    found = load(store.load(), MeshId(decode_statement(said[0]).mesh_id))
    assert sorted(record.encoded for records in found.authors for record in records) == sorted(said)
    assert found.corrupt == []
    await store.close()


async def test_a_file_is_packed_when_it_is_opened(tmp_path: Path) -> None:
    """Rows that came in any order, many of them deleted since: no free page is left, and every row that was there."""
    path = tmp_path / "mesh.db"
    store = Store.open(path)
    keys = [(n * 7_919) % 4_000 for n in range(4_000)]
    written = asyncio.Event()
    store.persist([Put("outbox", ("p", n, bytes(200))) for n in keys], sync=False, done=written.set)
    await written.wait()
    store.persist([Delete("outbox", ("p", n)) for n in keys if n % 3], sync=True, done=None)
    await store.close()
    before = path.stat().st_size
    store = Store.open(path)
    assert sorted(int(str(row[1])) for row in store.load()["outbox"]) == list(range(0, 4_000, 3))
    await store.close()
    assert before > PACKED_BYTES_MIN
    assert path.stat().st_size < before // 2


async def test_a_file_with_little_to_gain_is_left_as_it_is(tmp_path: Path) -> None:
    """Every start would write all of it again, and a node that cannot stay up most of all."""
    path = tmp_path / "mesh.db"
    store = Store.open(path)
    store.persist([Put("outbox", ("p", n, bytes(200))) for n in range(4_000)], sync=True, done=None)
    await store.close()
    assert path.stat().st_size > PACKED_BYTES_MIN
    connection = open_database(path)
    written = connection.total_changes, path.stat().st_mtime_ns
    connection.close()
    connection = open_database(path)
    assert (connection.total_changes, path.stat().st_mtime_ns) == written
    connection.close()


async def test_a_file_that_cannot_be_packed_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only root SQLite finds no place for temporary files, and says that as an error of input and output."""
    path = tmp_path / "mesh.db"
    store = Store.open(path)
    written = asyncio.Event()
    store.persist([Put("outbox", ("p", n, bytes(200))) for n in range(4_000)], sync=True, done=written.set)
    await written.wait()  # in one commit the rows would never have been
    store.persist([Delete("outbox", ("p", n)) for n in range(3_000)], sync=True, done=None)
    await store.close()
    before = path.stat().st_size
    monkeypatch.setenv("SQLITE_TMPDIR", "/proc/nowhere")
    resource.setrlimit(resource.RLIMIT_FSIZE, (before // 8, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        store = Store.open(path)
        assert len(store.load()["outbox"]) == 1_000
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1:] * 2)
    await store.close()


def test_migrations_end_at_the_tables_that_the_cores_declare(tmp_path: Path) -> None:
    """A new file, stepped through every migration, has exactly the statements made from core/tables.py."""
    connection = open_database(tmp_path / "mesh.db")
    made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL").fetchall())
    connection.close()
    for table in TABLES:
        assert made[table.name] == create_table(table)


def test_the_header_itself_says_whose_file_it_is(tmp_path: Path) -> None:
    """So that a reader that never opens it through SQLite (`file`, our own first look) can tell."""
    path = tmp_path / "mesh.db"
    open_database(path).close()
    assert path.read_bytes()[68:72] == b"ARQN"
