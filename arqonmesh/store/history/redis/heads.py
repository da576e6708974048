"""How far the streams are that Redis holds, for a node that starts: what the cluster published while it was not there.

Read once, before the bus begins, within a time that a start can afford. Whoever is not there in time is heard of over
the mesh, as without Redis.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, cast

from redis import Redis
from redis.exceptions import RedisError

from arqonmesh.core.bus.shelf import CHANNELS_MAX, read_holes, write_holes
from arqonmesh.core.bus.streams import OFFSET_MAX, Life, life_of
from arqonmesh.core.kernel import Row
from arqonmesh.store.history.redis.keys import HEADS_PREFIX, channel_of

READ_WITHIN_S: Final = 3.0
"""Longer than this no start waits; what was read until then counts."""
KEYS_PER_TRIP: Final = 1_000
LIVES_MAX: Final = 32
"""Streams per channel, the latest lives first: the bus remembers 64, with those that it knows itself."""
CHANNEL_LENGTH_MAX: Final = 256


class Heads(NamedTuple):
    rows: list[tuple[str, str, int]]
    """(channel, epoch, head)."""
    failure: str
    """Why not everything was read; empty: it was."""


def read_heads(url: str, timeout_s: float, within_s: float = READ_WITHIN_S) -> Heads:
    """Blocks for at most about `within_s`, and a round trip more (of at most `timeout_s`)."""
    rows: list[tuple[str, str, int]] = []
    deadline = time.monotonic() + within_s
    trip_s = max(0.01, min(timeout_s, within_s))
    cursor, channels = 0, 0
    try:
        with Redis.from_url(url, socket_timeout=trip_s, socket_connect_timeout=trip_s, retry=None) as redis:
            while channels < CHANNELS_MAX:  # by hand: of other keys there may be millions, and no head among them
                cursor, keys = cast(
                    "tuple[int, list[bytes]]", redis.scan(cursor, match=HEADS_PREFIX + "*", count=KEYS_PER_TRIP)
                )
                named = [(key, channel) for key in keys if (channel := channel_of(key)) is not None]
                del named[CHANNELS_MAX - channels :]
                channels += len(named)
                with redis.pipeline(transaction=False) as pipeline:
                    for key, _ in named:
                        pipeline.hgetall(key)
                    answers: list[Any] = pipeline.execute(raise_on_error=False)
                for (_, channel), fields in zip(named, answers, strict=True):
                    if isinstance(fields, dict) and len(channel) <= CHANNEL_LENGTH_MAX:  # else of a wrong type
                        rows += _rows(channel, fields)
                if cursor == 0:
                    break
                if time.monotonic() > deadline:
                    return Heads(rows, f"not all read in {within_s:g} s")
    except (RedisError, OSError) as error:
        return Heads(rows, str(error) or type(error).__name__)
    return Heads(rows, "")


def with_heads(known: Sequence[Row], heads: Iterable[tuple[str, str, int]]) -> list[Row]:
    """Rows of the table `streams`, with what Redis knows beyond them.

    What it has of a stream and we do not is a hole of ours: readers find it in Redis, and mates fill it up.
    """
    places = {(row[0], row[1]): index for index, row in enumerate(known)}
    rows = list(known)
    unknown: list[Row] = []
    for channel, epoch, head in heads:
        index = places.get((channel, epoch))
        if index is None:
            unknown.append((channel, epoch, head, f"1-{head}", 0))
            continue
        _, _, mine, holes, ended = rows[index]
        if cast(int, mine) < head:
            wider = write_holes([*read_holes(cast(str, holes)), (cast(int, mine) + 1, head)])
            rows[index] = (channel, epoch, head, wider, ended)
    return [*unknown, *rows]


def _rows(channel: str, fields: dict[bytes, bytes]) -> list[tuple[str, str, int]]:
    """Others may have written there, too: what is no stream of the bus is passed over."""
    lives: list[tuple[Life, str, int]] = []
    for name, value in fields.items():
        epoch = name.decode("ascii", "replace")
        life = life_of(epoch)
        if life is not None and value.isdigit() and len(value) <= 16 and 0 < int(value) <= OFFSET_MAX:
            lives.append((life, epoch, int(value)))
    lives.sort(key=lambda one: (one[0].boot, one[0].generation))
    return [(channel, epoch, head) for _, epoch, head in lives[-LIVES_MAX:]]
