"""What becomes of the history when the disk under it is full, limited, damaged, or somebody else's toy."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arqonmesh.config.datadir import DataDir
from arqonmesh.config.model import HistorySettings
from arqonmesh.core.kernel import HistoryQuery
from arqonmesh.errors import ConfigError
from arqonmesh.runtime import main
from arqonmesh.runtime.history import HistoryKeeper
from arqonmesh.runtime.service import Service
from arqonmesh.store.history import SqliteHistory
from arqonmesh.store.history import writer as writer_module
from arqonmesh.store.store import Store
from tests.store.redis_server import RedisServer
from tests.store.test_history import CHANNEL, EPOCH, kept, offsets, read
from tests.waiting import until

LIMITED = """
import asyncio, json, resource, sys
from pathlib import Path
from arqonmesh.config.model import HistorySettings
from arqonmesh.store.history import SqliteHistory, writer
from tests.store.test_history import kept, read

async def main():
    writer.RETRY_EVERY_S = 0.01
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    history = SqliteHistory.open(Path(sys.argv[1]), HistorySettings())
    for first in range(1, 1_001, 100):
        history.keep(kept(first, 100, size=1_000))
        if first == 201:
            await read(history, limit=1)
    while history.trouble is None:
        await asyncio.sleep(0.005)
    before = (history.health(), len(await read(history)), history.kept)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while history.trouble is not None:
        await asyncio.sleep(0.005)
    after = (history.health(), len(await read(history, bytes_max=1 << 24)), history.dropped)
    await history.close("nnnnnnnnnn-1")
    print(json.dumps([before, after]))

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_is_told_and_grown_once_it_may(tmp_path: Path) -> None:
    """RLIMIT_FSIZE, in a process of its own: what waits is written afterwards, nothing is lost, and all is read."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "history.db")],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    (troubled, readable, written), (well, all_of_them, dropped) = json.loads(done.stdout)
    assert troubled["ok"] is False
    assert troubled["reason"].startswith("store.io: ")
    assert readable == written >= 300
    assert (well["ok"], all_of_them, dropped) == (True, 1_000, 0)


async def test_what_a_full_disk_did_not_take_when_the_node_stops_is_counted_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every event that was handed over is on disk or told as lost, and such a life has no clean end."""
    monkeypatch.setattr(writer_module, "RETRY_EVERY_S", 0.01)
    path = tmp_path / "history.db"
    history = SqliteHistory.open(path, HistorySettings())
    history._connection.execute("PRAGMA max_page_count = 40")  # SQLITE_FULL, as from a disk
    for first in range(1, 2_001, 100):
        history.keep(kept(first, 100, size=1_000))
        if first == 1:
            assert len(await read(history)) == 100
    await until(lambda: history.trouble is not None)
    assert history.health()["reason"].startswith("store.full: ")
    await history.close(EPOCH)
    await asyncio.sleep(0)
    with sqlite3.connect(path) as connection:
        last, ended = connection.execute("SELECT head, ended FROM streams").fetchone()
    connection.close()
    assert (history.dropped, history.kept, ended) == (2_000 - last, last, 0)
    told = [record.getMessage() for record in caplog.records if record.name == "arqonmesh.store.history"]
    assert [line.partition(" ")[0] for line in told] == ["store.full:"] * 2
    assert f"{2_000 - last} events that waited are not on disk" in told[-1]


async def test_a_page_that_rotted_ends_the_writing_and_what_that_costs_is_counted(tmp_path: Path) -> None:
    """Found when it is touched: not at the start, which would have to read a gigabyte."""
    path = tmp_path / "history.db"
    history = SqliteHistory.open(path, HistorySettings())
    for first in range(1, 1_001, 50):
        history.keep(kept(first, 50, size=1_000))
        await read(history, limit=1)
    await history.close(EPOCH)
    data = bytearray(path.read_bytes())
    for at in range(4_096, len(data), 4_096):
        data[at : at + 64] = os.urandom(64)
    path.write_bytes(data[:4_096] + data[4_096:])
    keeper = HistoryKeeper(tmp_path, HistorySettings())
    keeper.keep(kept(1, 3, epoch="nnnnnnnnnn-2"))
    await until(lambda: not keeper.health()["ok"])
    health = keeper.health()
    assert health["reason"].startswith("store.corrupt: ")
    assert "other nodes of the cluster" in health["hint"]
    assert health.get("dropped", 3) == 3
    await keeper.close("nnnnnnnnnn-2")


def _cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _noise(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def _newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "code"), [(_noise, "store.corrupt"), (_cut_short, "store.corrupt"), (_newer, "store.newer")]
)
async def test_a_file_that_cannot_be_used_is_left_as_it_is_and_redis_goes_on_without_it(
    tmp_path: Path, spoil: Callable[[Path], None], code: str
) -> None:
    """The operator reads what it is and what helps; what is published goes to Redis from memory."""
    path = tmp_path / "history.db"
    history = SqliteHistory.open(path, HistorySettings())
    for first in range(1, 1_001, 50):
        history.keep(kept(first, 50, size=1_000))
        await read(history, limit=1)
    await history.close(EPOCH)
    spoil(path)
    before = path.read_bytes()
    server = RedisServer(tmp_path)
    server.start()
    try:
        keeper = HistoryKeeper(tmp_path, HistorySettings(redis_url=server.url))
        keeper.keep(kept(1, 3, epoch="nnnnnnnnnn-2"))
        await until(lambda: keeper.stats()["redis_written"] == 3)
        health = keeper.health()
        assert (health["ok"], health["backend"], health["reason"].partition(": ")[0]) == (False, "redis", code)
        assert health["hint"]
        found = await keeper.find(HistoryQuery(CHANNEL, 10, 1 << 20))
        assert offsets(found.frames) == [1, 2, 3]
        await keeper.close("nnnnnnnnnn-2")
    finally:
        server.kill()
    assert path.read_bytes() == before


def _without_log(path: Path) -> None:
    path.with_name("history.db-wal").unlink()


def _with_noise_for_a_log(path: Path) -> None:
    path.with_name("history.db-wal").write_bytes(os.urandom(10_000))


@pytest.mark.parametrize(
    ("spoil", "lost"), [(_without_log, True), (_with_noise_for_a_log, True), (lambda path: None, False)]
)
async def test_a_log_that_is_lost_after_a_crash_is_told(
    tmp_path: Path, spoil: Callable[[Path], None], lost: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite goes on without a word; the file itself knows that it was not closed. One that was closed has no log."""
    (tmp_path / "crashed").mkdir()
    history = SqliteHistory.open(tmp_path / "history.db", HistorySettings())
    history.keep(kept(1, 3))
    await read(history)
    for name in ("history.db", "history.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "crashed" / name)
    await history.close(EPOCH)
    path = tmp_path / "crashed" / "history.db"
    spoil(path)
    again = SqliteHistory.open(path, HistorySettings())
    assert (again.health().get("log_lost", False), await read(again)) == (lost, [] if lost else [1, 2, 3])
    assert ("store.log-lost" in caplog.text) is lost
    await again.close("nnnnnnnnnn-2")
    once_more = SqliteHistory.open(path, HistorySettings())
    assert not once_more.log_lost, "closed in good order"
    await once_more.close("")


async def test_an_opening_that_nothing_came_of_is_no_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A port was taken, and the process ended before the writer began: nothing can be gone."""
    path = tmp_path / "history.db"
    SqliteHistory.open(path, HistorySettings())._connection.close()  # as the end of the process does
    again = SqliteHistory.open(path, HistorySettings())
    again.keep(kept(1))
    assert (again.log_lost, await read(again)) == (False, [1])
    await again.close(EPOCH)
    assert "store.log-lost" not in caplog.text


async def test_a_start_that_failed_after_a_crash_leaves_the_history_in_good_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It took over the log of the crash, which is no reason to miss it at the next start."""
    layout = DataDir(tmp_path / "node")
    layout.root.mkdir()
    history = SqliteHistory.open(tmp_path / "history.db", HistorySettings())
    history.keep(kept(1, 3))
    await read(history)
    for name in ("history.db", "history.db-wal"):
        shutil.copy(tmp_path / name, layout.root / name)
    await history.close(EPOCH)

    def make(history: HistoryKeeper) -> Service:
        raise ConfigError("config.port-taken", "the QUIC port is taken")

    with pytest.raises(ConfigError):
        await main._serve(make, HistorySettings(), Store.open(layout.database), layout, None)
    with sqlite3.connect(layout.root / "history.db") as connection:
        assert connection.execute("SELECT value FROM numbers WHERE name = 'in_use'").fetchone() == (0,)
    connection.close()
    again = SqliteHistory.open(layout.root / "history.db", HistorySettings())
    assert (again.log_lost, await read(again)) == (False, [1, 2, 3])
    await again.close(EPOCH)
    assert "store.log-lost" not in caplog.text


async def test_a_file_that_is_removed_under_the_node_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on writing into what has no name any more, and says so."""
    monkeypatch.setattr(writer_module, "PRUNE_EVERY_S", 0.01)
    path = tmp_path / "history.db"
    history = SqliteHistory.open(path, HistorySettings())
    history.keep(kept(1, 3))
    assert len(await read(history)) == 3
    path.unlink()
    await until(lambda: not history.health()["ok"])
    assert history.health()["reason"].startswith("store.removed: ")
    history.keep(kept(4))
    assert await read(history) == [1, 2, 3, 4]
    await history.close(EPOCH)


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "arqonmesh.store.history")
