"""The flight recorder and the lag monitor."""

from __future__ import annotations

import asyncio

import pytest

from arqonmesh.core.events import Late
from arqonmesh.observe.loop_lag import LoopLag
from arqonmesh.observe.recorder import FlightRecorder


def test_the_newest_entries_are_kept_and_the_gone_are_counted() -> None:
    """A ring: bounded, oldest out first."""
    recorder = FlightRecorder(entries_max=3)
    for n in range(5):
        recorder.record(n, "drop", "outbox-full", detail="x" * 1_000)
    assert [entry.at_us for entry in recorder] == [2, 3, 4]
    assert (recorder.recorded, len(recorder)) == (5, 3)
    assert all(len(entry.detail) <= 200 for entry in recorder)


@pytest.mark.requirement("R-OB-5")
def test_a_question_about_a_channel_or_a_peer_is_answered_newest_first() -> None:
    """Filters combine; a peer may be named by the beginning of its id."""
    recorder = FlightRecorder()
    recorder.record(1, "deny", "no-rule", channel="raw:proc", peer="abcdef")
    recorder.record(2, "hold", "link-down", channel="telemetry:host", peer="abcdef", times=4)
    recorder.record(3, "deny", "no-rule", channel="raw:proc", peer="xyz", message="m1")

    assert [entry.at_us for entry in recorder.query(channel="raw:proc")] == [3, 1]
    assert [entry.at_us for entry in recorder.query(peer="abc")] == [2, 1]
    assert [entry.at_us for entry in recorder.query(kind="deny", peer="abc")] == [1]
    assert [entry.reason for entry in recorder.query(message="m1")] == ["no-rule"]
    assert [entry.at_us for entry in recorder.query(limit=2)] == [3, 2]
    assert recorder.query(reason="unheard-of") == []
    assert recorder.counts() == {("deny", "no-rule"): 2, ("hold", "link-down"): 4}


def test_lateness_above_the_threshold_is_reported_and_the_worst_is_kept() -> None:
    """Below it only the worst moves."""
    reports: list[Late] = []
    lag = LoopLag(reports.append, threshold_us=50_000)
    lag.observe(now_us=120_000, due_us=100_000)
    lag.observe(now_us=290_000, due_us=200_000)
    lag.observe(now_us=300_000, due_us=300_000)
    assert reports == [Late(90_000)]
    assert lag.late == 1
    assert lag.take_worst_us() == 90_000
    assert lag.take_worst_us() == 0


async def test_a_blocked_loop_is_noticed() -> None:
    """On a real loop, with a clock that jumps while it runs."""
    reported = asyncio.Event()
    now_us = 0

    def clock() -> int:
        nonlocal now_us
        now_us += 100_000
        return now_us

    lag = LoopLag(lambda late: reported.set(), interval_us=1_000, threshold_us=50_000, clock=clock)
    lag.start()
    await asyncio.wait_for(reported.wait(), 10)
    lag.stop()
    lag.stop()
    assert lag.late >= 1
