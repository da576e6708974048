"""API keys of a running node: what the cluster tells of them, when they were used, and leaving the mesh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from arqonmesh.bridge.auth.api_keys import FILE, ApiKeys
from arqonmesh.bridge.auth.key_file import ApiKey
from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.client import BusClient
from arqonmesh.core.events import KeysLearned
from arqonmesh.core.kernel import Emit
from arqonmesh.errors import Denied
from arqonmesh.ids import NodeId
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.service import Service
from arqonmesh.runtime.status import node_status
from arqonmesh.wire.messages import KeyRecord
from tests.runtime.test_service import service
from tests.waiting import until

THERE = NodeId("b" * 32)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Service]:
    made = service(tmp_path, "hq", "hub")
    await made.open()
    yield made
    if not made.stopping.is_set():
        await made.close()


def beside(node: Service) -> ApiKeys:
    """As the commands open the file."""
    return ApiKeys(node.data_dir / FILE, lambda: time.time_ns() // 1_000_000)


def revoked(key: ApiKey, made_at: NodeId) -> KeyRecord:
    return KeyRecord(key.prefix, key.hash, key.name, "user", "", (), key.created_ms, 0, key.created_ms + 1, made_at)


def learn(node: Service, *keys: KeyRecord) -> None:
    """What the core tells when a mate told it."""
    node.host.perform([Emit(KeysLearned(keys))])


def theirs(number: int) -> KeyRecord:
    return KeyRecord("theirs2" + "abcdefgh"[number], bytes(32), f"theirs-{number}", "user", "", (), 1, 0, 0, THERE)


@pytest.mark.requirement("R-BU-21")
async def test_a_revocation_from_a_mate_holds_at_once_although_the_disk_is_full(node: Service) -> None:
    """Its clients are closed and do not get in again; the log says once what waits, which is written when it can be."""
    with closing(beside(node)) as file:
        shown, key = file.new("dash", "user")
        async with await BusClient.connect(node_status(node).bus, shown, reconnect=False) as client:
            node.keys._file._db.execute("PRAGMA query_only = 1")
            learn(node, revoked(key, THERE))
            with pytest.raises(AuthRefused):
                node.keys.judge(shown)
            async with asyncio.timeout(10):
                with pytest.raises(Denied):
                    _ = [message async for message in client.messages(all_types=True)]
        with pytest.raises(Denied):
            await BusClient.connect(node_status(node).bus, shown, reconnect=False)
        node.bus_keys.look()
        told = [entry for entry in node.log.newest if "tried again every second" in entry.text]
        assert (len(told), file.is_revoked(key.prefix)) == (1, False)
        node.keys._file._db.execute("PRAGMA query_only = 0")
        node.bus_keys.look()
        assert file.is_revoked(key.prefix)


async def test_last_uses_are_written_in_groups_while_the_node_runs_and_when_it_stops(node: Service) -> None:
    """By a thread of their own: a fleet that comes back waits for none of it."""
    with closing(beside(node)) as file:
        shown = [file.new(f"device-{number}", "guest")[0] for number in range(4)]

        def used() -> list[str]:
            return sorted(key.name for key in file.all() if key.last_used_ms)

        for one in shown[:2]:
            node.keys.judge(one)
        assert used() == []
        node.bus_keys.look()
        node.keys.judge(shown[2])
        node.bus_keys.look()  # the first group is on its way
        await until(lambda: used()[:2] == ["device-0", "device-1"])
        node.keys.judge(shown[3])
        await node.close()
        assert used() == [f"device-{number}" for number in range(4)]


@pytest.mark.requirement("R-BU-21")
async def test_a_node_that_leaves_the_mesh_leaves_the_keys_of_the_others_there(node: Service) -> None:
    """In the core, in the file and at the door; its own stay, which it says."""
    await Control(node).seed("acme", "open", "")
    with closing(beside(node)) as file:
        shown, own = file.new("own", "user")
        learn(node, theirs(0), theirs(1))
        node.bus_keys.look()
        assert len(node.node.bus.exchange.keys) == len(file.all()) == 3
        await node.leave_mesh()
        assert len(node.node.bus.exchange.keys) == 1
        assert [key.prefix for key in file.all()] == [own.prefix]
    assert node.keys.judge(shown).subject == "own"
    (told,) = [entry.text for entry in node.log.newest if "API keys" in entry.text]
    assert "2 API keys that other nodes made are forgotten; 1 that were made here stay" in told
