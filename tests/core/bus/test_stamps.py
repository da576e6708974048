"""Ids and timestamps."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.bus.stamps import Stamps, iso
from arqonmesh.ids import is_ulid


@given(st.integers(0, 253_402_300_799_999))
def test_timestamps_are_what_the_calendar_says(wall_ms: int) -> None:
    """Against the standard library, to the year 9999."""
    expected = datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{wall_ms % 1000:03d}Z"
    expected = expected.rjust(24, "0")
    assert iso(wall_ms) == expected
    stamps = Stamps(random.Random(1))
    stamps.at(wall_ms)
    assert stamps.time.decode() + "Z" == expected


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_ids_rise_whatever_the_wall_clock_does(clock: list[int]) -> None:
    """Strictly, also when the clock steps back; each is arq_ + ULID."""
    stamps = Stamps(random.Random(3))
    last = b""
    for wall_ms in clock:
        stamps.at(wall_ms)
        for _ in range(3):
            id_ = stamps.next_id()
            assert id_ > last
            assert id_[:4] == b"arq_"
            assert is_ulid(id_[4:].decode())
            last = id_


def test_a_millisecond_that_runs_out_of_ids_borrows_from_the_next() -> None:
    """Half a million ids of one millisecond and a hundred more, all rising: the prefix goes on to the next one."""

    class HighestStart(random.Random):
        def getrandbits(self, k: int) -> int:
            return (1 << k) - 1

    stamps = Stamps(HighestStart())
    stamps.at(1_767_225_600_000)
    ids = [stamps.next_id() for _ in range((1 << 19) + 100)]
    assert all(a < b for a, b in itertools.pairwise(ids))
