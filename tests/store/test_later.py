"""What nobody waits for is written a moment later, in company and in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arqonmesh.core.kernel import Delete, Put
from arqonmesh.store import Store
from arqonmesh.store.store import LATER_BYTES_MAX
from tests.waiting import until


def committed(store: Store) -> list[int]:
    """The keys that are in the file now, seen by another connection."""
    return [int(str(row[1])) for row in store.snapshot()["outbox"]]


async def test_what_nobody_waits_for_wakes_the_writer_once_and_not_each_time(tmp_path: Path) -> None:
    """A hundred small transactions become one commit, and it comes by itself."""
    store = Store.open(tmp_path / "mesh.db")
    for n in range(100):
        store.persist((Put("outbox", ("p", n, b"x")),), sync=False, done=None)
    await until(lambda: not store.waiting_bytes)
    assert (store.stats.transactions, store.stats.commits) == (100, 1)
    assert committed(store) == list(range(100))
    await store.close()


async def test_who_waits_takes_along_what_was_said_before_and_the_order_stands(tmp_path: Path) -> None:
    """A deletion that nobody waits for, and a write of the same row that somebody does."""
    store = Store.open(tmp_path / "mesh.db")
    done = asyncio.Event()
    store.persist((Put("outbox", ("p", 1, b"old")),), sync=False, done=None)
    store.persist((Put("outbox", ("p", 2, b"old")),), sync=False, done=None)
    store.persist((Delete("outbox", ("p", 1)),), sync=False, done=None)
    store.persist((Put("outbox", ("p", 2, b"new")),), sync=True, done=done.set)
    await done.wait()
    assert list(store.snapshot()["outbox"]) == [("p", 2, b"new")]
    assert store.stats.commits == 1
    await store.close()


async def test_much_that_nobody_waits_for_is_handed_over_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment is bounded in bytes as well: here it would never come."""
    monkeypatch.setattr("arqonmesh.store.store.LATER_S", 3_600.0)
    store = Store.open(tmp_path / "mesh.db")
    piece = bytes(LATER_BYTES_MAX // 4)
    for n in range(4):
        store.persist((Put("outbox", ("p", n, piece)),), sync=False, done=None)
    await until(lambda: not store.waiting_bytes)
    assert committed(store) == [0, 1, 2, 3]
    await store.close()


async def test_a_store_that_is_closed_has_written_what_nobody_waited_for(tmp_path: Path) -> None:
    """Nothing is left behind by an orderly end."""
    store = Store.open(tmp_path / "mesh.db")
    store.persist((Put("outbox", ("p", 7, b"x")),), sync=False, done=None)
    await store.close()
    again = Store.open(tmp_path / "mesh.db")
    assert [row[1] for row in again.load()["outbox"]] == [7]
    await again.close()
