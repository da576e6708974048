"""A node as a whole, in this process: what it keeps when it stops, and what it does when its disk fails."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from arqonmesh.config.load import loads
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.kernel import Lane
from arqonmesh.errors import StorageError
from arqonmesh.ids import NodeId
from arqonmesh.runtime import service as service_module
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey
from tests.waiting import until

SETTINGS = """
node: {{cluster: {cluster}, role: {role}}}
listen: {{quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "127.0.0.1:0"}}
federation: {{export: {{allow: ["*"]}}, import: {{allow: ["*"]}}}}
"""


def service(folder: Path, cluster: str, role: str) -> Service:
    folder = folder / cluster
    folder.mkdir()
    settings = loads(SETTINGS.format(cluster=cluster, role=role).encode())
    return Service(settings, NodeKey.generate(), Store.open(folder / "mesh.db"), folder)


async def linked(hub: Service, spoke: Service) -> None:
    await Control(hub).seed("acme", "open", "")
    await Control(spoke).join_address("{}:{}".format(*hub.endpoint.address), "")
    await until(lambda: hub.node.plane is not None and hub.node.plane.links.is_up(spoke.key.node_id))


async def test_what_no_peer_has_acknowledged_is_on_disk_when_a_node_has_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is up and the other side deaf: the drain ends, and the messages are held as for a link that is down."""
    monkeypatch.setattr(service_module, "DRAIN_TIMEOUT_S", 0.05)
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    await hub.open()
    await spoke.open()
    try:
        await linked(hub, spoke)
        hear = spoke.host.frame

        def deaf(peer: NodeId, lane: Lane, data: bytes) -> None:
            if lane is not Lane.BULK:
                hear(peer, lane, data)

        monkeypatch.setattr(spoke.host, "frame", deaf)
        client = hub.host.new_client_id()
        hub.host.client_connected(client, ClientInfo())
        frame = json.dumps({"type": "event", "channel": "telemetry:host", "payload": 1}).encode()
        hub.host.client_frames(client, [frame])
    finally:
        await hub.close()
        await spoke.close()

    store = Store.open(tmp_path / "hq" / "mesh.db")
    assert [row[0] for row in store.load()["outbox"]] == [spoke.key.node_id]
    await store.close()


async def test_a_node_whose_disk_fails_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its first write: the start fails with what the disk said, instead of hanging for ever."""
    node = service(tmp_path, "hq", "hub")

    def fail(transactions: object) -> None:
        raise OSError("no such luck")

    monkeypatch.setattr(node.store._writer, "_commit", fail)
    with pytest.raises(StorageError) as refusal:
        async with asyncio.timeout(5):
            await node.open()
    assert refusal.value.code == "store.io"
    await node.close()
