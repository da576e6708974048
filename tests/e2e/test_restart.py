"""Nodes that stop, crash and stall: the mesh comes back from the store, and messages arrive once and in order."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from arqonmesh.core.federation.batch import decode_section
from arqonmesh.wire.codec import decode_message
from arqonmesh.wire.messages import BusBatch
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from bench.bus_load import connect, join, message, publish_flat_out, receive, text_frame
from bench.hub_crash import crash
from bench.steady import Steady
from tests.e2e.kit import counters, events, healthy, mesh_status, state_of

HELD = 300


@dataclass(frozen=True)
class Three:
    hq: LoopbackNode
    factory: LoopbackNode
    store: LoopbackNode

    @property
    def all(self) -> tuple[LoopbackNode, LoopbackNode, LoopbackNode]:
        return self.hq, self.factory, self.store

    def settle(self) -> None:
        """Whole again: links up, everybody alive, equal records."""
        until("a healthy mesh", lambda: healthy(*self.all), timeout_s=20)
        for node in self.all:
            assert {other["state"] for other in mesh_status(node)["nodes"]} == {"alive"}


@pytest.fixture(scope="module")
def standing(mesh: LoopbackMesh) -> Three:
    hq = mesh.seed("hq")
    return Three(hq, mesh.join("factory", hq), mesh.join("store", hq))


@pytest.fixture
def three(standing: Three) -> Three:
    """The mesh, whole before each test."""
    standing.settle()
    return standing


@contextmanager
def subscribed(node: LoopbackNode, channel: str) -> Iterator[socket.socket]:
    with connect(node.bus) as reader:
        join(reader, channel)
        yield reader


def said_last(node: LoopbackNode, channel: str, number: int) -> None:
    """One more message, after which nothing of the earlier ones may come."""
    with connect(node.bus) as writer:
        writer.sendall(text_frame(message(channel, number, 0, 64)))


@pytest.mark.requirement("R-JN-6")
@pytest.mark.requirement("R-PS-6")
@pytest.mark.parametrize("who", ["factory", "hq"])
def test_a_node_that_was_stopped_resumes_without_a_ticket(three: Three, who: str) -> None:
    """Identity, mesh, roster and peers come from the store; the others see it go and return, and never as dead."""
    node: LoopbackNode = getattr(three, who)
    other = three.hq if node is three.factory else three.factory
    before = mesh_status(node)
    peers = {peer["id"]: peer["first_seen_ms"] for peer in node("peer", "ls")["peers"]}
    downs = len([event for event in events(other, "link") if event["state"] == "down"])
    node.stop()
    until("the end of the link", lambda: other.links_up() < len(mesh_status(other)["nodes"]) - 1)
    assert len([event for event in events(other, "link") if event["state"] == "down"]) > downs
    node.start()
    three.settle()
    after = mesh_status(node)
    assert (after["self"], after["mesh"]["id"]) == (before["self"], before["mesh"]["id"])
    assert {peer["id"]: peer["first_seen_ms"] for peer in node("peer", "ls")["peers"]} == peers
    with Steady(three.factory.bus, three.store.bus, "telemetry:after") as traffic:
        traffic.flow(20)
        assert traffic.finish().flawless


@pytest.mark.requirement("R-JN-14")
@pytest.mark.requirement("R-ST-7")
def test_after_a_crash_of_the_hub_the_mesh_reforms_and_nothing_is_lost(
    three: Three, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 under traffic from spoke to spoke: whole in under 5 s after the start, held messages once, in order."""
    with Steady(three.factory.bus, three.store.bus, "bench:crash", rate_per_s=400) as traffic:
        traffic.flow(100)
        seen = crash(three.hq, three.factory, three.store, traffic)
        traffic.flow(100)
        figures = traffic.finish()
    with capsys.disabled():
        print(f"\n  {seen}\n  {figures}")
    assert figures.flawless
    assert seen.reform_ms < 5_000


@pytest.mark.requirement("R-ST-4")
@pytest.mark.requirement("R-ST-7")
def test_what_a_crashed_spoke_held_on_disk_arrives_once(three: Three) -> None:
    """The hub is away, messages are held, the holder is killed; when all are back everything arrives, in order."""
    three.hq.stop()
    until("the end of the link", lambda: three.factory.links_up() == 0)
    before = counters(three.factory)["federation_held"]
    with subscribed(three.store, "telemetry:held") as reader:
        publish_flat_out(three.factory.bus, HELD, 128, "telemetry:held")
        until("the messages on disk", lambda: _held_on_disk(three.factory) == HELD)
        assert counters(three.factory)["federation_held"] == before + HELD
        three.factory.kill()
        three.hq.start()
        three.factory.start()
        three.settle()
        said_last(three.factory, "telemetry:held", HELD)
        seen = receive(reader, HELD + 1, latencies=False, quiet_s=15.0)
    assert (seen.count, seen.lost, seen.doubled) == (HELD + 1, 0, 0)
    until("an empty outbox", lambda: _held_on_disk(three.factory) == 0)


def test_what_was_published_just_before_sigterm_arrives(three: Three) -> None:
    """A stop drains: what the bus took is sent before the node goes, and is not sent again by its next life."""
    with subscribed(three.store, "telemetry:last") as reader:
        publish_flat_out(three.factory.bus, HELD, 128, "telemetry:last")
        os.kill(three.factory.pid, signal.SIGTERM)
        seen = receive(reader, HELD, latencies=False, quiet_s=15.0)
        assert (seen.count, seen.lost, seen.doubled) == (HELD, 0, 0)
        stat = f"/proc/{three.factory.pid}/stat"
        until("the end of the process", lambda: not os.path.exists(stat) or ") Z " in _text(stat))
        three.factory.start()
        three.settle()
        said_last(three.factory, "telemetry:last", HELD)
        after = receive(reader, 1, latencies=False, quiet_s=15.0)
    # `after` began at 0 and saw exactly the marker: everything before it was delivered once.
    assert (after.count, after.doubled) == (1, 0)


@pytest.mark.requirement("R-MB-1")
def test_a_stalled_spoke_loses_its_link_and_gets_it_back(three: Three) -> None:
    """SIGSTOP is noticed within a second; after SIGCONT nobody stays dead, records are equal, traffic flows."""
    with Steady(three.factory.bus, three.store.bus, "telemetry:stall", rate_per_s=100) as traffic:
        traffic.flow(20)
        os.kill(three.store.pid, signal.SIGSTOP)
        try:
            until("the end of the link", lambda: three.hq.links_up() == 1, timeout_s=3)
            until("the suspicion", lambda: state_of(three.hq, "store") == "suspect", timeout_s=10)
            held_from = traffic.published
        finally:
            os.kill(three.store.pid, signal.SIGCONT)
        traffic.wait_for(held_from, timeout_s=15)
        three.settle()
        assert traffic.finish().flawless


def _held_on_disk(node: LoopbackNode) -> int:
    """Messages in the outbox rows of the node's database, read beside its writer."""
    with sqlite3.connect(f"file:{node.data_dir}/mesh.db?mode=ro", uri=True) as database:
        rows = [row[0] for row in database.execute("SELECT bytes FROM outbox")]
    database.close()
    batches = [decode_message(row) for row in rows]
    assert all(isinstance(batch, BusBatch) for batch in batches)
    return sum(
        len(decode_section(section).frames)
        for batch in batches
        if isinstance(batch, BusBatch)
        for section in batch.sections
        if section
    )


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ") Z "
