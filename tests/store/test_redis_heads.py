"""What a node that starts learns from the Redis of its cluster, against a real redis-server."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import pytest
import redis as redis_client

from arqonmesh.core.bus.shelf import Shelf
from arqonmesh.core.kernel import HistoryQuery, KeepFrames
from arqonmesh.store.history.redis import heads_key
from arqonmesh.store.history.redis.heads import LIVES_MAX, read_heads, with_heads
from tests.store.redis_server import RedisServer
from tests.store.test_history import CHANNEL, EPOCH, frame, kept, offsets
from tests.store.test_redis_history import history_of, settle

MATE = "mmmmmmmmmm-1"


@pytest.mark.parametrize("durable", [True, False])
async def test_a_new_node_of_a_cluster_knows_its_streams_from_redis(
    server: RedisServer, tmp_path: Path, durable: bool
) -> None:
    """Its positions name them, who comes with an older position is told what it missed, and reads it."""
    (tmp_path / "mate").mkdir()
    (tmp_path / "new").mkdir()
    mate = history_of(server, tmp_path / "mate")
    mate.keep(kept(1, 5, epoch=MATE))
    await settle(mate, 5)
    await mate.close(MATE)
    new = history_of(server, tmp_path / "new", durable=durable)
    shelf = Shelf("nnnnnnnnnn", 1)
    shelf.load(new.load())
    streams = shelf.look(CHANNEL)
    assert streams is not None
    assert (streams.heads, streams.doubtful({MATE: 2})) == ({MATE: 5}, [])
    wanted = streams.missed({MATE: 2})
    assert wanted == [(MATE, 3, 5)]
    new.start()
    await settle(new, 0)
    found = await new.read(HistoryQuery(CHANNEL, 10, 1 << 20, ranges=tuple(wanted)))
    assert (offsets(found.frames), new.stats()["redis_heads_loaded"]) == ([3, 4, 5], 1)
    assert new.stats()["redis_unions"] == (1 if durable else 0)
    await new.close(EPOCH)


async def test_a_node_that_was_away_learns_what_it_missed_and_reads_both(server: RedisServer, tmp_path: Path) -> None:
    """What it has of a stream and what Redis has beyond: the union, and the rest counts as a hole to be filled."""
    history = history_of(server, tmp_path)
    frames = tuple(frame(offset, MATE) for offset in range(1, 4))
    history.keep(KeepFrames(CHANNEL, MATE, 1, 0, 0, frames, False))
    history.keep(kept(1, 2))
    await settle(history, 2)
    await history.close(EPOCH)
    (tmp_path / "mate").mkdir()
    mate = history_of(server, tmp_path / "mate")
    mate.keep(kept(3, 4, epoch=MATE))
    await settle(mate, 4)
    await mate.close(MATE)
    again = history_of(server, tmp_path)
    rows = {(row[0], row[1]): row[2:] for row in again.load()}
    assert rows == {(CHANNEL, MATE): (6, "4-6", 0), (CHANNEL, EPOCH): (2, "", 1)}
    again.start()
    await settle(again, 0)
    query = HistoryQuery(CHANNEL, 10, 1 << 20, ranges=((MATE, 1, 6), (EPOCH, 1, 2)))
    found = await again.read(query)
    assert sorted(offsets(found.frames)) == [1, 1, 2, 2, 3, 4, 5, 6]
    latest = await again.read(HistoryQuery(CHANNEL, 10, 1 << 20))
    assert sorted(offsets(latest.frames)) == [1, 1, 2, 2, 3, 4, 5, 6]
    first = await again.read(HistoryQuery(CHANNEL, 2, 1 << 20, True, ranges=((MATE, 2, 6),)))
    assert (offsets(first.frames), first.more) == ([2, 3], True)
    await again.close("nnnnnnnnnn-2")


def test_what_others_write_under_these_names_is_passed_over(server: RedisServer, worker: redis_client.Redis) -> None:
    """Other types, epochs that are none, numbers that are none; and of very many lives the latest count."""
    worker.set(heads_key("wrong:type"), "a string")
    fields = {"nobody": "1", MATE: "7", "mmmmmmmmmm-2": "-1", "mmmmmmmmmm-3": "x", "mmmmmmmmmm-4": str(1 << 60)}
    worker.hset(heads_key(CHANNEL), mapping=cast("dict[Any, Any]", fields))
    worker.hset(b"arqon:heads:{\xff}", MATE, "1")
    worker.hset("arqon:heads:{" + "x" * 1_000 + "}", MATE, "1")
    lives = {f"mmmmmmmmmm-{1_000 + life}": "1" for life in range(LIVES_MAX + 8)}
    worker.hset(heads_key("many:lives"), mapping=cast("dict[Any, Any]", lives))
    found = read_heads(server.url, 1.0)
    assert not found.failure
    assert [row for row in found.rows if row[0] == CHANNEL] == [(CHANNEL, MATE, 7)]
    newest = [f"mmmmmmmmmm-{1_000 + life}" for life in range(8, LIVES_MAX + 8)]
    assert [epoch for channel, epoch, _ in found.rows if channel == "many:lives"] == newest
    assert {channel for channel, _, _ in found.rows} == {CHANNEL, "many:lives"}


def test_many_channels_are_read_in_a_moment_and_a_redis_that_is_away_holds_no_start_up(
    server: RedisServer, worker: redis_client.Redis
) -> None:
    """And says so."""
    with worker.pipeline(transaction=False) as pipeline:
        for number in range(2_000):
            pipeline.hset(heads_key(f"many:c{number}"), MATE, number + 1)
        pipeline.execute()
    began_s = time.monotonic()
    assert len(read_heads(server.url, 1.0).rows) == 2_000
    assert time.monotonic() - began_s < 2
    assert read_heads(server.url, 1.0, within_s=0).failure == "not all read in 0 s"
    server.pause()
    began_s = time.monotonic()
    assert read_heads(server.url, 0.2).failure
    assert time.monotonic() - began_s < 1
    server.resume()


def test_what_is_known_already_stays_as_it_is() -> None:
    """A head that Redis has lower, or equal, tells nothing; those only it has come first, as if heard of first."""
    known = [("a:b", EPOCH, 5, "2-3", 1), ("a:b", MATE, 5, "2-3", 0)]
    heads = [("a:b", EPOCH, 4), ("a:b", MATE, 9), ("c:d", MATE, 2)]
    assert with_heads(known, heads) == [
        ("c:d", MATE, 2, "1-2", 0),
        ("a:b", EPOCH, 5, "2-3", 1),
        ("a:b", MATE, 9, "2-3,6-9", 0),
    ]


async def test_the_first_question_of_all_goes_to_redis_too(server: RedisServer, tmp_path: Path) -> None:
    """Before anybody has found it there or gone."""
    (tmp_path / "new").mkdir()
    history = history_of(server, tmp_path)
    history.keep(kept(1, 3))
    await settle(history, 3)
    await history.close(EPOCH)
    new = history_of(server, tmp_path / "new")
    assert offsets((await new.read(HistoryQuery(CHANNEL, 10, 1 << 20))).frames) == [1, 2, 3]
    await new.close("nnnnnnnnnn-2")
