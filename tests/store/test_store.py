"""The store seen from the event loop: what is reported done is there, in order, and nothing else is promised."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.core.kernel import Delete, Put, Row, Write
from arqonmesh.core.tables import BY_NAME, TABLES
from arqonmesh.errors import StorageError
from arqonmesh.store import Store


async def write(store: Store, *writes: Write, sync: bool = True) -> None:
    """Persist and wait for the answer."""
    done = asyncio.Event()
    store.persist(writes, sync=sync, done=done.set)
    await asyncio.wait_for(done.wait(), 10)


async def test_a_row_that_was_reported_done_is_there_after_reopening(tmp_path: Path) -> None:
    """Rows come back in the order of their table's columns, whatever the sync flag."""
    store = Store.open(tmp_path / "mesh.db")
    await write(store, Put("heads", ("anna", 3, 41, b"\x01")), Put("links", ("quic://h:1", "", 7)))
    await write(store, Put("inbox", ("anna", 3, 9, b"")), sync=False)
    await store.close()

    again = Store.open(tmp_path / "mesh.db")
    durable = again.load()
    await again.close()

    assert durable["heads"] == [("anna", 3, 41, b"\x01")]
    assert durable["links"] == [("quic://h:1", "", 7)]
    assert durable["inbox"] == [("anna", 3, 9, b"")]
    assert sorted(durable) == sorted(BY_NAME)


async def test_a_new_store_holds_every_table_and_no_row(tmp_path: Path) -> None:
    """A first start finds all of core/tables.py, empty."""
    store = Store.open(tmp_path / "mesh.db")
    assert store.load() == {table.name: [] for table in TABLES}
    await store.close()


async def test_completions_come_in_the_order_of_the_calls(tmp_path: Path) -> None:
    """Order holds across commits and between synced and unsynced transactions."""
    store = Store.open(tmp_path / "mesh.db")
    order: list[int] = []
    last = asyncio.Event()
    for n in range(500):
        store.persist((Put("outbox", ("p", n, b"x")),), sync=n % 3 == 0, done=partial(order.append, n))
        if n % 50 == 0:
            await asyncio.sleep(0)
    store.persist((), sync=False, done=last.set)
    await asyncio.wait_for(last.wait(), 10)
    await store.close()

    assert order == list(range(500))


async def test_transactions_that_wait_together_share_a_commit_and_a_wake_up(tmp_path: Path) -> None:
    """Group commit: what queues up during one disk sync goes in the next one."""
    store = Store.open(tmp_path / "mesh.db")
    done = asyncio.Event()
    for n in range(400):
        store.persist((Put("outbox", ("p", n, b"x")),), sync=True, done=None)
    store.persist((), sync=True, done=done.set)
    await asyncio.wait_for(done.wait(), 10)
    await store.close()

    assert store.stats.transactions == 401
    assert store.stats.rows == 400
    assert store.stats.commits < 100


async def test_only_commits_that_were_asked_to_wait_for_the_disk_do(tmp_path: Path) -> None:
    """`sync=False` alone never syncs; one `sync=True` in a commit does."""
    store = Store.open(tmp_path / "mesh.db")
    for n in range(3):
        await write(store, Put("inbox", ("a", 1, n, b"")), sync=False)
    assert (store.stats.commits, store.stats.syncs) == (3, 0)
    await write(store, Put("inbox", ("a", 1, 9, b"")), sync=True)
    assert (store.stats.commits, store.stats.syncs) == (4, 1)
    await store.close()


def test_a_process_killed_at_once_loses_nothing_that_was_reported_done(tmp_path: Path) -> None:
    """SIGKILL right after an unsynced answer: the row is there (it survives the process, not the machine)."""
    program = """
import asyncio, sys
from pathlib import Path
from arqonmesh.core.kernel import Put
from arqonmesh.store import Store

async def main():
    store = Store.open(Path(sys.argv[1]))
    done = asyncio.Event()
    for n in range(100):
        store.persist((Put("outbox", ("p", n, b"x" * 1000)),), sync=False, done=done.set if n == 99 else None)
    await done.wait()
    print("done", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    path = tmp_path / "mesh.db"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline() == b"done\n"
        process.send_signal(signal.SIGKILL)
        process.wait()

    async def count() -> int:
        store = Store.open(path)
        rows = len(store.load()["outbox"])
        await store.close()
        return rows

    assert asyncio.run(count()) == 100


_KEYS = st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 40))
_WRITES: st.SearchStrategy[Write] = st.one_of(
    st.builds(lambda key, data: Put("outbox", (*key, data)), _KEYS, st.binary(max_size=4)),
    st.builds(lambda key: Delete("outbox", key), _KEYS),
    st.builds(lambda author, seq: Put("heads", (author, 1, seq, b"")), st.sampled_from("abc"), st.integers(0, 9)),
    st.builds(lambda author: Delete("heads", (author,)), st.sampled_from("abc")),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(_WRITES, max_size=60), max_size=6))
def test_the_store_ends_like_a_dict_that_took_every_write_in_turn(tmp_path: Path, batches: list[list[Write]]) -> None:
    """Merging the transactions of a commit changes no outcome."""
    model: dict[str, dict[Row, Row]] = {"outbox": {}, "heads": {}}
    for batch in batches:
        for item in batch:
            if isinstance(item, Put):
                model[item.table][item.row[: BY_NAME[item.table].key]] = item.row
            else:
                model[item.table].pop(item.key, None)

    async def run() -> None:
        path = tmp_path / f"{os.urandom(8).hex()}.db"
        store = Store.open(path)
        for batch in batches:
            store.persist(batch, sync=False, done=None)
        await store.close()
        store = Store.open(path)
        durable = store.load()
        await store.close()
        for table, rows in model.items():
            assert set(durable[table]) == set(rows.values())
            assert len(durable[table]) == len(rows)

    asyncio.run(run())


async def test_a_disk_that_fills_up_is_fatal_and_nothing_is_tried_again(tmp_path: Path) -> None:
    """After an error on commit no completion comes, everything later is refused, and the file stays whole."""
    store = Store.open(tmp_path / "mesh.db")
    await write(store, Put("links", ("before", "", 0)))
    fatal: asyncio.Future[StorageError] = asyncio.get_running_loop().create_future()
    store.on_fatal = fatal.set_result
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    told: list[str] = []

    store.persist((Put("outbox", ("p", 1, b"x" * 100_000)),), sync=True, done=lambda: told.append("too much"))
    error = await asyncio.wait_for(fatal, 10)
    store.persist((Put("links", ("after", "", 0)),), sync=True, done=lambda: told.append("after"))
    await store.close()

    assert error.code == "store.full"
    assert store.fatal is error
    assert told == []
    assert store.stats.refused == 1
    again = Store.open(tmp_path / "mesh.db")
    assert [row[0] for row in again.load()["links"]] == ["before"]
    await again.close()


async def test_a_write_that_no_table_takes_is_fatal_too(tmp_path: Path) -> None:
    """A bug in a core must stop the process, not the writer thread alone."""
    store = Store.open(tmp_path / "mesh.db")
    fatal: asyncio.Future[StorageError] = asyncio.get_running_loop().create_future()
    store.on_fatal = fatal.set_result
    store.persist((Put("nowhere", ("x",)),), sync=True, done=None)
    assert "nowhere" in (await asyncio.wait_for(fatal, 10)).sentence
    await store.close()


async def test_producers_are_told_when_more_waits_than_the_mark_and_when_it_fell(tmp_path: Path) -> None:
    """Back-pressure: `pressed` rises above the mark and falls at half of it; each rise is counted."""
    store = Store.open(tmp_path / "mesh.db", pressed_bytes=10_000)
    changes: list[bool] = []
    store.on_pressure = changes.append
    done = asyncio.Event()
    for n in range(20):
        store.persist((Put("outbox", ("p", n, b"x" * 1_000)),), sync=True, done=done.set if n == 19 else None)
    assert store.pressed
    await asyncio.wait_for(done.wait(), 10)
    await write(store)

    assert not store.pressed
    assert store.waiting_bytes == 0
    assert changes == [True, False]
    assert store.stats.pressed == 1
    await store.close()


async def test_a_disk_that_falls_hopelessly_behind_is_fatal(tmp_path: Path) -> None:
    """What waits is bounded, and nothing that waits may be dropped, so the process has to stop."""
    store = Store.open(tmp_path / "mesh.db", pressed_bytes=1_000, waiting_bytes_max=5_000)
    reasons: list[StorageError] = []
    store.on_fatal = reasons.append
    for n in range(20):
        store.persist((Put("outbox", ("p", n, b"x" * 1_000)),), sync=True, done=None)
    assert [reason.code for reason in reasons] == ["store.stalled"]
    await store.close()


async def test_a_snapshot_shows_the_newest_commit_while_the_writer_goes_on(tmp_path: Path) -> None:
    """Reading beside the writer, from any thread, sees what was reported done."""
    store = Store.open(tmp_path / "mesh.db")
    await write(store, Put("links", ("a", "", 1)))
    await write(store, Put("links", ("b", "", 2)), sync=False)
    durable = await asyncio.to_thread(store.snapshot)
    assert [row[0] for row in durable["links"]] == ["a", "b"]
    await write(store, Delete("links", ("a",)))
    assert [row[0] for row in store.snapshot()["links"]] == ["b"]
    await store.close()


async def test_a_failing_completion_does_not_silence_the_next(tmp_path: Path) -> None:
    """The loop's exception handler hears of it; the others of the commit are told all the same."""
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(context["exception"]))
    store = Store.open(tmp_path / "mesh.db")
    done = asyncio.Event()
    store.persist((), sync=False, done=lambda: [].pop())
    store.persist((), sync=False, done=done.set)
    await asyncio.wait_for(done.wait(), 10)
    await store.close()
    assert [type(error) for error in heard] == [IndexError]


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """A drain loses nothing, and every completion was called before `close` returns."""
    store = Store.open(tmp_path / "mesh.db")
    told: list[int] = []
    for n in range(100):
        store.persist((Put("outbox", ("p", n, b"x")),), sync=False, done=partial(told.append, n))
    await store.close()
    await store.close()
    assert told == list(range(100))
    connection = sqlite3.connect(tmp_path / "mesh.db")
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (100,)
    connection.close()


@pytest.mark.parametrize("table", [table.name for table in TABLES])
async def test_large_batches_delete_and_replace_by_key_in_every_table(tmp_path: Path, table: str) -> None:
    """The many-rows statements mean the same as the one-row ones."""
    spec = BY_NAME[table]

    def row(n: int, value: int) -> Row:
        values: list[int | str | bytes] = []
        for position, (_, kind) in enumerate(spec.columns):
            number = n if position < spec.key else value
            forms: dict[str, int | str | bytes] = {"integer": number, "text": f"{number:04}", "blob": b"%04d" % number}
            values.append(forms[kind])
        return tuple(values)

    store = Store.open(tmp_path / "mesh.db")
    await write(store, *(Put(table, row(n, 1)) for n in range(100)))
    await write(
        store,
        *(Put(table, row(n, 2)) for n in range(50, 100)),
        *(Delete(table, row(n, 0)[: spec.key]) for n in range(45)),
    )
    await store.close()
    again = Store.open(tmp_path / "mesh.db")
    expected = [row(n, 1) for n in range(45, 50)] + [row(n, 2) for n in range(50, 100)]
    assert again.load()[table] == expected
    await again.close()
