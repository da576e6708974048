"""A backlog against its simplest model: whatever waits, goes, or is missing, a client can tell exactly what it has."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.bridge.slow import backlog as backlog_module
from arqonmesh.bridge.slow.backlog import Backlog, Policy
from arqonmesh.bridge.slow.spill import SpillFile, SpillRoom

pytestmark = pytest.mark.requirement("R-BU-15")
MAX = 1_000
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 400) | st.just(1_200), st.integers(1, 5), st.sampled_from([0, 0, 300])),
        st.integers(1, 6),
    ),
    max_size=60,
)
POLICIES: Any = st.sampled_from(["disconnect", "drop-oldest", "drop-newest", "spill"])


def entry(serial: int, count: int, size: int) -> bytes:
    return b"%d %d " % (serial, count) + b"x" * size


def notice(missing: int) -> bytes:
    assert missing > 0
    return b"missing %d" % missing


def pieces(backlog: Backlog, most: int = 1 << 30) -> Iterator[bytes]:
    for _ in range(most):
        data = backlog.take(notice)
        if data is None:
            return
        yield data


@settings(max_examples=200, deadline=None)
@given(POLICIES, STEPS)
def test_what_is_sent_and_what_is_missing_is_all_there_was(policy: Any, steps: list[Any]) -> None:
    """Every message is either there at its place or counted in the notice at its place; the bounds hold."""
    with tempfile.TemporaryDirectory() as folder:
        room = SpillRoom(Path(folder), 4_000, 4_000)
        backlog = Backlog(policy, MAX, room)
        given, read, sent = 0, 0, list[bytes]()
        for step in steps:
            if isinstance(step, int):
                sent += pieces(backlog, step)
                continue
            size, count, others = step
            if not backlog.add(entry(given, count, size), count, others=others):
                assert policy in ("disconnect", "spill")
                break
            given += count
            assert backlog.bytes <= MAX
            assert room.bytes <= 4_000
        sent += pieces(backlog)
        lost = 0
        for data in sent:
            if data.startswith(b"missing "):
                lost += int(data.split()[1])
                read += int(data.split()[1])
            else:
                serial, count, _ = data.split(b" ")
                assert int(serial) == read
                read += int(count)
        assert read == given
        assert lost == backlog.lost
        assert backlog.bytes == backlog.spilled_bytes == 0
        assert lost == 0 or policy.startswith("drop")
        backlog.close()
        assert room.bytes == 0
        assert list(Path(folder).iterdir()) == []


def test_the_oldest_or_the_newest_goes() -> None:
    """As the policy's name says."""
    kept = {}
    policies: tuple[Policy, ...] = ("drop-oldest", "drop-newest")
    for policy in policies:
        backlog = Backlog(policy, 100, SpillRoom(None, 0, 0))
        for serial in range(10):
            backlog.add(entry(serial, 1, 26), 1)
        kept[policy] = [data.split(b" x")[0] for data in pieces(backlog)]
    assert kept == {"drop-oldest": [b"missing 7", b"7 1", b"8 1", b"9 1"],
                    "drop-newest": [b"0 1", b"1 1", b"2 1", b"missing 7"]}  # fmt: skip


def test_small_entries_are_bounded_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry costs memory beside its bytes."""
    monkeypatch.setattr(backlog_module, "ENTRIES_MAX", 3)
    backlog = Backlog("drop-oldest", 1 << 20, SpillRoom(None, 0, 0))
    for serial in range(10):
        backlog.add(entry(serial, 1, 0), 1)
    assert [data[:9] for data in pieces(backlog)] == [b"missing 7", b"7 1 ", b"8 1 ", b"9 1 "]


def test_a_file_that_is_full_or_gone_ends_the_client_not_the_node(tmp_path: Path) -> None:
    """Per client and over all; a folder that is not there; what was not written is not counted."""
    room = SpillRoom(tmp_path, 1_000, 1_500)
    first, second = SpillFile(room), SpillFile(room)
    assert first.append(b"x" * 900, 1)
    assert not first.append(b"x" * 100, 1), "its own bound"
    assert not second.append(b"x" * 900, 1), "everybody's bound"
    assert first.pop() == (b"x" * 900, 1)
    assert second.append(b"x" * 900, 1), "what was read is room again"
    second.close()
    first.close()
    assert room.bytes == 0
    gone = Backlog("spill", 10, SpillRoom(tmp_path / "absent", 1_000, 1_000))
    assert not gone.add(b"x" * 20, 1)
