"""The durable history in real SQLite: nothing that was kept is lost, found beside the loop, and it stays in bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.bus.stamps import iso
from arqonmesh.core.kernel import HistoryQuery, KeepFrames
from arqonmesh.errors import StorageError
from arqonmesh.store import opening
from arqonmesh.store.history import BACKENDS, SqliteHistory, tables
from arqonmesh.store.history import sqlite as sqlite_module
from arqonmesh.store.history import writer as writer_module
from arqonmesh.store.history.chunks import FRAMES_MAX, gather
from tests.waiting import until

START_MS = 1_767_225_600_000
CHANNEL, EPOCH = "telemetry:host", "nnnnnnnnnn-1"
Opener = Callable[..., SqliteHistory]


@pytest.fixture
async def open_(tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same file; whatever was opened is closed in the end."""
    opened: list[SqliteHistory] = []

    def open_history(path: Path = tmp_path / "history.db", **settings: float) -> SqliteHistory:
        history = SqliteHistory.open(
            path,
            HistorySettings(**{key: value for key, value in settings.items() if key.startswith("max_")}),  # type: ignore[arg-type]
            wall_ms=lambda: int(settings.get("wall_ms", START_MS)),
            waiting_bytes_max=int(settings.get("waiting_bytes_max", 1 << 20)),
        )
        opened.append(history)
        return history

    yield open_history
    for history in opened:
        await history.close("")


def frame(offset: int, epoch: str = EPOCH, at_ms: int = START_MS, size: int = 0) -> bytes:
    told = {"payload": "x" * size, "timestamp": iso(at_ms), "epoch": epoch, "offset": offset}
    return json.dumps(told).encode()


def kept(
    first: int, count: int = 1, *, channel: str = CHANNEL, epoch: str = EPOCH, at_ms: int = START_MS, size: int = 0
) -> KeepFrames:
    frames = tuple(frame(first + index, epoch, at_ms, size) for index in range(count))
    return KeepFrames(channel, epoch, first, at_ms, at_ms, frames, True)


def offsets(frames: list[bytes]) -> list[int]:
    return [json.loads(each)["offset"] for each in frames]


async def read(history: SqliteHistory, **query: object) -> list[int]:
    given = {"channel": CHANNEL, "limit": 1_000, "bytes_max": 1 << 20, **query}
    return offsets((await history.read(HistoryQuery(**given))).frames)  # type: ignore[arg-type]


@pytest.mark.requirement("R-BU-27")
async def test_what_was_kept_is_found_at_once_and_byte_for_byte(open_: Opener) -> None:
    """Also what the group commit still waits with."""
    history = open_()
    history.keep(kept(1, 3))
    found = await history.read(HistoryQuery(CHANNEL, 10, 1 << 20))
    assert found.frames == [frame(1), frame(2), frame(3)]
    assert (found.more, BACKENDS["sqlite"]) == (False, SqliteHistory)


async def test_it_is_there_after_a_restart_with_the_heads_of_its_streams(open_: Opener) -> None:
    """A clean close ends the streams of its life, and no others."""
    history = open_()
    history.keep(kept(1, 5))
    history.keep(kept(3, 1, epoch="ffffffffff-9"))
    history.keep(kept(1, 1, epoch=EPOCH + ".2", channel="a:b"))
    await history.close(EPOCH)
    again = open_()
    assert sorted(again.load()) == [
        ("a:b", EPOCH + ".2", 1, "", 1),
        (CHANNEL, "ffffffffff-9", 3, "1-2", 0),
        (CHANNEL, EPOCH, 5, "", 1),
    ]
    assert await read(again, ranges=((EPOCH, 1, 5),)) == [1, 2, 3, 4, 5]


async def test_a_life_that_ended_in_good_order_is_known_though_nothing_was_kept_in_it(open_: Opener) -> None:
    """One that was cut off is not; what ended before it stays known."""
    await (history := open_()).close("nnnnnnnnnn-a")
    again = open_()
    again.load()
    assert (history.ended_life, again.ended_life) == (0, 0), "it was not even begun"
    again.start()
    await again.close("nnnnnnnnnn-b")
    once_more = open_()
    once_more.load()
    assert once_more.ended_life == 11
    once_more.start()
    await once_more.close("")
    last = open_()
    last.load()
    assert last.ended_life == 11


async def test_a_crash_keeps_whatever_was_committed(open_: Opener, tmp_path: Path) -> None:
    """The files as they lie there at any moment hold all of it; the stream has not ended."""
    history = open_()
    history.keep(kept(1, 5))
    await read(history)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for name in ("history.db", "history.db-wal"):
        shutil.copy(tmp_path / name, crashed)
    after = open_(crashed / "history.db")
    assert list(after.load()) == [(CHANNEL, EPOCH, 5, "", 0)]
    assert await read(after) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"limit": 3}, [8, 9, 10]),
        ({"limit": 3, "oldest": True}, [1, 2, 3]),
        ({"after_ms": START_MS + 8_000}, [8, 9, 10]),
        ({"after_ms": START_MS + 3_000, "before_ms": START_MS + 6_000}, [3, 4, 5]),
        ({"before_ms": START_MS + 9_000, "limit": 2}, [7, 8]),
        ({"after_ms": START_MS + 2_000, "limit": 2, "oldest": True}, [2, 3]),
        ({"ranges": ((EPOCH, 4, 6),)}, [4, 5, 6]),
        ({"ranges": ((EPOCH, 4, 9),), "limit": 2}, [8, 9]),
        ({"ranges": ((EPOCH, 4, 9),), "limit": 2, "oldest": True}, [4, 5]),
        ({"ranges": ((EPOCH, 1, 10),), "before_ms": START_MS + 3_000}, [1, 2]),
        ({"ranges": (("other-1", 1, 10),)}, []),
        ({"bytes_max": 250}, [9, 10]),
        ({"channel": "no:where"}, []),
    ],
)
async def test_a_question_is_answered_in_the_order_of_arrival(
    open_: Opener, query: dict[str, object], expected: list[int]
) -> None:
    """From either end, by time, by stretches of streams, and never more than asked for."""
    history = open_()
    for offset in range(1, 11):
        history.keep(kept(offset, at_ms=START_MS + offset * 1_000))
        if offset % 3 == 0:
            history.keep(kept(1, channel="other:channel"))
    assert await read(history, **query) == expected


async def test_two_streams_come_back_in_the_order_in_which_they_arrived(open_: Opener) -> None:
    """Each in its own order, whatever the stretches asked for."""
    history = open_()
    for offset in range(1, 4):
        history.keep(kept(offset))
        history.keep(kept(offset, epoch="ffffffffff-1"))
    found = await history.read(HistoryQuery(CHANNEL, 9, 1 << 20, ranges=(("ffffffffff-1", 2, 3), (EPOCH, 1, 2))))
    assert [(json.loads(each)["epoch"][0], json.loads(each)["offset"]) for each in found.frames] == [
        ("n", 1),
        ("n", 2),
        ("f", 2),
        ("f", 3),
    ]


def test_consecutive_events_share_a_row_and_nothing_else_does() -> None:
    """Up to 256 of them; another stream, a hole or another channel's turn begins a new one."""
    chunks = gather([kept(1, 200), kept(201, 100), kept(1, channel="a:b"), kept(301), kept(303), kept(1, epoch="f-1")])
    assert [(chunk.channel, chunk.epoch, chunk.first, chunk.last) for chunk in chunks] == [
        (CHANNEL, EPOCH, 1, FRAMES_MAX),
        (CHANNEL, EPOCH, FRAMES_MAX + 1, 301),
        ("a:b", EPOCH, 1, 1),
        (CHANNEL, EPOCH, 303, 303),
        (CHANNEL, "f-1", 1, 1),
    ]


async def test_holes_are_remembered_and_filled(open_: Opener) -> None:
    """What comes late takes its place; what never came is known to be missing."""
    history = open_()
    for first, count in ((1, 2), (6, 2), (4, 1), (9, 1)):
        history.keep(kept(first, count))
    await history.close(EPOCH)
    assert [row[2:4] for row in open_().load()] == [(9, "3-3,5-5,8-8")]


async def test_the_file_is_readable_with_the_tools_of_everyone(open_: Opener, tmp_path: Path) -> None:
    """`SELECT value FROM chunks, json_each(frames)` in sqlite3."""
    history = open_()
    history.keep(kept(1, 3))
    await history.close(EPOCH)
    with sqlite3.connect(tmp_path / "history.db") as connection:
        rows = connection.execute("SELECT json_extract(value, '$.offset') FROM chunks, json_each(frames)").fetchall()
    connection.close()
    assert rows == [(1,), (2,), (3,)]


@pytest.mark.parametrize("settings", [{"max_age_s": 10.0}, {"max_bytes": 30_000}])
async def test_pruning_takes_the_oldest_until_the_bounds_hold(
    open_: Opener, settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By age and by size; what is left is the newest, and the stream's head is still known."""
    monkeypatch.setattr(writer_module, "PRUNE_EVERY_S", 0.01)
    history = open_()
    for offset in range(1, 101):
        history.keep(kept(offset, size=1_000))
        history.keep(kept(offset, channel="a:b", size=10))
    await history.close(EPOCH)
    later = open_(wall_ms=START_MS + 5_000, **settings)
    later.keep(kept(101, size=1_000))
    await read(later)
    await later.close(EPOCH)
    last = open_(wall_ms=START_MS + 11_000, **settings)
    for _ in range(50):
        last.keep(kept(1, channel="c:d", size=10))
        left = await read(last)
        if len(left) < 101:
            break
    assert left == list(range(102 - len(left), 102))
    assert 0 < len(left) < 101


async def test_what_there_is_no_room_for_is_counted_and_told(open_: Opener) -> None:
    """The queue is bounded; the bus itself never waits."""
    history = open_(waiting_bytes_max=1_000)
    history.keep(kept(1, size=500))
    history.keep(kept(2, size=500))
    assert (history.stats()["dropped"], history.health()["dropped"]) == (1, 1)
    assert await read(history) == [1]


async def test_a_file_that_is_not_ours_is_refused_and_left_alone(open_: Opener, tmp_path: Path) -> None:
    """Another program's database, or one of a later version."""
    path = tmp_path / "history.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError) as refused:
        open_(path)
    assert refused.value.code == "store.corrupt"
    assert path.read_bytes() == b"not a database" * 100
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(StorageError) as refused:
        open_(other)
    assert refused.value.code == "store.foreign"


async def test_a_disk_that_fails_is_told_and_holds_nobody_up(open_: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for an answer gets what the disk took before; all that it did not take is counted as dropped."""
    history = open_()
    history.keep(kept(1))
    await read(history)

    def fail(chunks: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(history._writer.tables, "_write", fail)
    history.keep(kept(2))
    assert await asyncio.wait_for(read(history), 5) == [1]
    health = history.health()
    assert health["ok"] is False
    assert "disk I/O error" in health["reason"]
    history.keep(kept(3))
    assert (history.stats()["kept"], history.stats()["dropped"]) == (1, 2)


async def test_a_full_disk_is_tried_again_and_loses_nothing(open_: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is room the same rows are written."""
    monkeypatch.setattr(writer_module, "RETRY_EVERY_S", 0.01)
    history = open_()
    write, failures = history._writer.tables._write, iter([True, True, False])

    def full(chunks: object) -> None:
        if next(failures, False):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error
        write(chunks)  # type: ignore[arg-type]

    monkeypatch.setattr(history._writer.tables, "_write", full)
    history.keep(kept(1, 3))
    assert await asyncio.wait_for(read(history), 5) == [1, 2, 3]
    assert history.health()["ok"] is True


async def test_a_channel_that_is_deleted_is_forgotten_and_goes_on_counting(open_: Opener) -> None:
    """What was kept before is gone, what comes after is there, and the stream's end is still known."""
    history = open_()
    history.keep(kept(1, 3))
    history.keep(kept(1, channel="a:b"))
    history.forget(CHANNEL)
    history.keep(kept(4))
    assert (await read(history), await read(history, channel="a:b")) == ([4], [1])
    await history.close(EPOCH)
    assert (CHANNEL, EPOCH, 4, "", 1) in open_().load()


async def test_more_streams_in_one_commit_than_are_remembered_are_all_written(
    open_: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the thread remembers is bounded between two commits, never within one."""
    monkeypatch.setattr(tables, "KNOWN_MAX", 4)
    history = open_()
    for _ in range(2):
        for number in range(10):
            history.keep(kept(1, channel=f"a:{number}"))
    assert [await read(history, channel=f"a:{number}") for number in range(10)] == [[1, 1]] * 10
    assert (history.health()["ok"], len(history._writer.tables._streams), len(history._writer.tables._channels)) == (
        True,
        0,
        0,
    )


@pytest.mark.parametrize("work", ["prune", "forget"])
async def test_a_file_that_is_locked_while_it_is_tidied_is_written_again_afterwards(
    open_: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    """Pruning and forgetting wait for whoever holds the lock, as commits do."""
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_MS", 1)
    monkeypatch.setattr(writer_module, "PRUNE_EVERY_S", 0.01)
    monkeypatch.setattr(writer_module, "RETRY_EVERY_S", 0.01)
    history = open_(max_bytes=20_000)
    rolled_back: list[sqlite3.Error] = []
    roll_back = history._writer._roll_back

    def noted(error: sqlite3.Error) -> None:
        roll_back(error)
        rolled_back.append(error)

    monkeypatch.setattr(history._writer, "_roll_back", noted)
    history.keep(kept(1, 3))
    await read(history)
    with contextlib.closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        if work == "forget":
            history.forget(CHANNEL)
        else:
            history._writer._max_bytes = 1
        await until(lambda: len(rolled_back) > 1)
        other.execute("COMMIT")
    while await read(history):
        history.keep(kept(1, channel="a:b"))
    assert history.health()["ok"] is True


async def test_who_asks_while_the_disk_takes_nothing_is_answered_with_what_it_took(
    open_: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the disk has come back: clients would be lost meanwhile, and come back, and ask again."""
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_MS", 1)
    monkeypatch.setattr(writer_module, "RETRY_EVERY_S", 0.01)
    monkeypatch.setattr(sqlite_module, "COMMIT_PATIENCE_S", 0.05)
    history = open_()
    history.keep(kept(1, 3))
    await read(history)
    with contextlib.closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        history.keep(kept(4))
        assert await asyncio.wait_for(read(history), 5) == [1, 2, 3]
        await until(lambda: not history.health()["ok"])
        assert await asyncio.wait_for(read(history), 5) == [1, 2, 3]
        other.execute("COMMIT")
    await until(lambda: history.health()["ok"])
    assert await read(history) == [1, 2, 3, 4]


async def test_a_life_of_which_something_was_dropped_has_no_clean_end(open_: Opener) -> None:
    """Else the next one would tell clients that nothing is missing."""
    history = open_(waiting_bytes_max=1_000)
    history.keep(kept(1, size=100))
    history.keep(kept(2, size=2_000))
    await history.close(EPOCH)
    assert open_().load() == [(CHANNEL, EPOCH, 1, "", 0)]


async def test_a_channel_of_which_nothing_is_left_is_no_row_either(
    open_: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are made up by clients, so they go with their last stream; what comes again counts as new."""
    monkeypatch.setattr(writer_module, "PRUNE_EVERY_S", 0.01)
    wall_ms = [START_MS]
    history = SqliteHistory.open(tmp_path / "h.db", HistorySettings(max_age_s=10.0), wall_ms=lambda: wall_ms[0])
    for number in range(20):
        history.keep(kept(1, channel=f"a:{number}"))
    await read(history)
    wall_ms[0] += 60_000

    def names() -> list[str]:
        with contextlib.closing(sqlite3.connect(tmp_path / "h.db")) as other:
            return [name for (name,) in other.execute("SELECT name FROM channels")]

    await until(lambda: names() == [])
    history.keep(kept(2, channel="a:3"))
    assert await read(history, channel="a:3") == [2]
    assert names() == ["a:3"]
    await history.close(EPOCH)
