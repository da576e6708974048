"""A node as a whole, in this process: what it keeps when it stops, and what it does when its disk fails."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import pytest

from arqonmesh.bridge.http import Request, Response
from arqonmesh.client import BusClient
from arqonmesh.client import connection as client_connection
from arqonmesh.config.load import loads
from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.events import LinkDown
from arqonmesh.core.kernel import Emit, Lane
from arqonmesh.errors import ArqonError, ConfigError, NotFound, StorageError, UsageError
from arqonmesh.ids import NodeId
from arqonmesh.runtime import service as service_module
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey
from tests.waiting import until

SETTINGS = """
node: {{cluster: {cluster}, role: {role}}}
listen: {{quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "127.0.0.1:0", telemetry: "127.0.0.1:0"}}
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


async def test_a_client_that_comes_while_the_node_starts_is_turned_away_or_welcomed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never taken and left without its welcome, as a client that dials again and again would be after a restart."""
    monkeypatch.setattr(client_connection, "CONNECT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bus = f"127.0.0.1:{taken.getsockname()[1]}"
    settings = loads(SETTINGS.format(cluster="hq", role="hub").replace('bus: "127.0.0.1:0"', f'bus: "{bus}"').encode())
    node = Service(settings, NodeKey.generate(), Store.open(tmp_path / "mesh.db"), tmp_path)
    start = node.http.start
    met: list[str] = []

    async def start_slowly(host: str, port: int) -> None:
        await start(host, port)
        try:
            async with await BusClient.connect(f"ws://{bus}"):
                met.append("welcomed")
        except ArqonError as error:
            met.append(error.code)
        assert _ready(node) == 503

    monkeypatch.setattr(node.http, "start", start_slowly)
    await node.open()
    try:
        assert _ready(node) == 200
        assert met in (["welcomed"], ["bus.unreachable"])
    finally:
        await node.close()


def _ready(node: Service) -> int:
    answer = node.http.respond(Request.of("GET", "/readyz"))
    assert isinstance(answer, Response)
    return answer.status


@pytest.mark.parametrize("name", ["", "Acme", "a b", "x" * 64])
async def test_a_mesh_s_name_that_does_not_fit_is_told_as_the_mesh_s(name: str, tmp_path: Path) -> None:
    """It has the form of a cluster's, and is none; the node stays out of any mesh."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        with pytest.raises(UsageError, match=r"^mesh name .* does not fit; it needs 1 to") as refusal:
            await Control(node).seed(name, "open", "")
        assert (refusal.value.code, node.node.plane) == ("mesh.name", None)
    finally:
        await node.close()


async def test_a_link_that_is_no_address_is_refused_and_forgotten(tmp_path: Path) -> None:
    """It says how an address looks, and nothing of it stays in the store to be tried at every start."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        with pytest.raises(ConfigError) as refusal:
            await Control(node).link_add("quic://nowhere")
        assert refusal.value.code == "link.address"
        assert node.operator_links == {} and node.store.snapshot()["links"] == []
    finally:
        await node.close()


async def test_a_link_to_the_node_itself_is_refused_at_once(tmp_path: Path) -> None:
    """By where it listens and by what it advertises: it was taken, tried once and given up."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        port = node.endpoint.address[1]
        for own in (f"127.0.0.1:{port}", f"quic://localhost:{port}", f"0.0.0.0:{port}"):
            with pytest.raises(UsageError) as refusal:
                await Control(node).link_add(own)
            assert refusal.value.code == "link.self"
        assert node.operator_links == {} and node.endpoint.dials() == []
    finally:
        await node.close()


async def test_links_added_by_hand_are_dialled_again_in_the_next_mesh(tmp_path: Path) -> None:
    """They are the operator's and outlive the mesh; leaving it only stops the dialling."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        await Control(node).seed("acme", "open", "")
        first = await Control(node).link_add("127.0.0.1:1")
        await Control(node).link_add("127.0.0.1:2")
        assert first.address == "127.0.0.1:1"
        await Control(node).leave()
        assert node.endpoint.dials() == []
        await Control(node).seed("acme", "open", "")
        assert [dial.address for dial in node.endpoint.dials()] == ["127.0.0.1:1", "127.0.0.1:2"]
    finally:
        await node.close()


def is_told(node: Service, state: str) -> bool:
    return any(line.kind == "link" and line.fields["state"] == state for line in node.log.newest)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_who_leaves_does_not_dial_again_those_who_heard_it(by_hand: bool, tmp_path: Path) -> None:
    """They close the link at once; it stood again until the node was gone, whoever had wished for it."""
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "hub")
    await hub.open()
    await spoke.open()
    try:
        await linked(hub, spoke)
        if by_hand:
            await Control(spoke).link_add("{}:{}".format(*hub.endpoint.address))
        plane, peer = hub.node.plane, spoke.key.node_id
        assert plane is not None
        await until(lambda: plane.membership.state_of(peer) == "alive" and is_told(spoke, "up"))
        before = len(spoke.log.newest)
        await Control(spoke).leave()
        links = [line for line in spoke.log.newest[before:] if line.kind == "link"]
        assert [line.fields["state"] for line in links] == ["down"]
        assert spoke.endpoint.dials() == []
    finally:
        await hub.close()
        await spoke.close()


async def test_who_hangs_up_on_a_leaving_does_not_keep_the_node_in_its_mesh(tmp_path: Path) -> None:
    """They heard the farewell: it was listed as gone by all, itself included, dialled nobody and nobody dialled it."""
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "hub")
    await hub.open()
    await spoke.open()
    try:
        await linked(hub, spoke)
        address, peer = "{}:{}".format(*hub.endpoint.address), spoke.key.node_id
        control = Control(spoke)
        await control.link_add(address)
        plane = hub.node.plane
        assert plane is not None
        await until(lambda: plane.membership.state_of(peer) == "alive" and is_told(spoke, "up"))
        leaving = asyncio.create_task(control.leave())
        await until(lambda: is_told(spoke, "down"))
        assert leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert spoke.node.plane is None and spoke.endpoint.dials() == []
        assert spoke.log.newest[-1].text == "left the mesh", "also on disk"
        await control.seed("next", "open", "")
        assert [dial.address for dial in spoke.endpoint.dials()] == [address]
    finally:
        await hub.close()
        await spoke.close()


async def test_one_link_that_falls_on_a_farewell_ends_no_wish_for_another(tmp_path: Path) -> None:
    """Who has not heard it yet is reached by nobody else."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        fell, stays = NodeId("a" * 32), NodeId("b" * 32)
        node.endpoint.want(fell, ("127.0.0.1:1",))
        node.endpoint.want(stays, ("127.0.0.1:2",))
        node.forget_fallen(LinkDown(fell, "member-left"))
        assert [dial.peer for dial in node.endpoint.dials()] == [stays]
    finally:
        await node.close()


async def test_what_falls_after_a_node_has_left_is_dialled_again_in_its_next_mesh(tmp_path: Path) -> None:
    """Nothing of the leaving is left over: each of the two is still wanted when it has fallen."""
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "hub")
    await hub.open()
    await spoke.open()
    try:
        await Control(spoke).seed("first", "open", "")
        await Control(spoke).leave()
        await linked(hub, spoke)
        await until(lambda: is_told(spoke, "up"))
        wanted = spoke.endpoint.dials()
        spoke.host.perform([Emit(LinkDown(hub.key.node_id, "silent"))])
        assert wanted and spoke.endpoint.dials() == wanted
    finally:
        await hub.close()
        await spoke.close()


@pytest.mark.parametrize(("cluster", "role", "code"), [("x", "hub", "other-cluster"), ("hq", "leader", "other-role")])
async def test_a_member_does_not_start_under_another_clusters_name_or_role(
    cluster: str, role: str, code: str, tmp_path: Path
) -> None:
    """All of its batches would be refused, and held against it, without a word at home; or it would call itself what
    nobody treats it as."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    await Control(node).seed("acme", "open", "")
    await node.close()

    settings = loads(SETTINGS.format(cluster=cluster, role=role).encode())
    moved = Service(settings, node.key, Store.open(tmp_path / "hq" / "mesh.db"), tmp_path / "hq")
    with pytest.raises(ConfigError) as refusal:
        await moved.open()
    assert refusal.value.code == f"config.{code}"
    await moved.close()


async def test_a_ticket_that_nobody_made_is_told_as_it_was_typed(tmp_path: Path) -> None:
    """Ids are taken in either case; what is no id is not made louder."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    await Control(node).seed("acme", "open", "")
    with pytest.raises(NotFound, match="no ticket has the id 'foo'; "):
        await Control(node).invite_revoke("foo")
    await node.close()


async def test_a_blocked_loop_of_a_linked_node_is_seen_in_its_figures(tmp_path: Path) -> None:
    """The node's own timer tells how late it is, so that an idle node need not be woken for being measured."""
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    await hub.open()
    await spoke.open()
    try:
        await linked(hub, spoke)
        hub.lag.stop()
        hub.lag.take_worst_us()
        asyncio.get_running_loop().call_soon(time.sleep, 0.3)
        await until(lambda: hub.lag.take_worst_us() >= 100_000)
    finally:
        await hub.close()
        await spoke.close()
