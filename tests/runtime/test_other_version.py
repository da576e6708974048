"""A member that comes back in another protocol version: told to the operator, held against nobody."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from arqonmesh.ids import NodeId
from arqonmesh.net.endpoint import QuicEndpoint
from arqonmesh.net.tls import Protocols
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.event_story import OTHER_VERSIONS_MAX, TOLD_AGAIN_US
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from tests.runtime.test_service import linked, service
from tests.waiting import until

FORMER = Protocols(1)


def refused(node: Service) -> list[str]:
    return [event.text for event in node.log.newest if event.fields.get("code") == "link.version"]


def lost(node: Service, other: NodeId) -> bool:
    plane = node.node.plane
    return plane is not None and plane.membership.state_of(other) != "alive"


async def test_a_member_of_a_former_version_is_refused_in_words_and_keeps_its_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both logs name both versions and the remedy, once however often it dials, and no score falls at either end.
    Nothing is said of it any more once it has been updated."""
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    await hub.open()
    await spoke.open()
    try:
        await linked(hub, spoke)
        plane = hub.node.plane
        assert plane is not None
        await until(lambda: plane.topology.addresses_of(spoke.key.node_id) != ())
        before = (await Control(hub).peer(spoke.key.node_id)).score
        await spoke.close()
        await until(lambda: not plane.links.is_up(spoke.key.node_id))
        with monkeypatch.context() as patch:
            defaults = QuicEndpoint.__init__.__kwdefaults__
            assert defaults is not None
            patch.setitem(defaults, "protocols", FORMER)
            config = spoke.node.config
            there = msgspec.structs.replace(config.listen, quic="{}:{}".format(*spoke.endpoint.address))
            spoke = Service(
                msgspec.structs.replace(config, listen=there),
                spoke.key,
                Store.open(tmp_path / "store" / "mesh.db"),
                tmp_path / "store",
            )
            await spoke.open()
        await until(lambda: hub.host.refusals.get("link.version", 0) >= 2)
        [told] = refused(hub)
        assert "the node that dials speaks arqon-mesh/1, the node that is dialled arqon-mesh/2" in told
        assert "update the older one (link.version)" in told
        [line] = [line for line in await Control(spoke).links() if line.peer == hub.key.node_id]
        assert "link.version" in line.last_error and "arqon-mesh/2" in line.last_error
        assert (await Control(hub).peer(spoke.key.node_id)).score == before
        assert (await Control(spoke).peer(hub.key.node_id)).score >= 0
        for node, other in ((hub, spoke), (spoke, hub)):
            await until(partial(lost, node, other.key.node_id))
            seen = {member.id: member.refused for member in (await Control(node).mesh_status()).nodes}
            assert seen == {node.key.node_id: "", other.key.node_id: "link.version"}
        assert not hub.story.dropped.get(("gossip", "malformed-body"))

        await spoke.close()
        assert hub.story.of_other_versions
        spoke = Service(spoke.node.config, spoke.key, Store.open(tmp_path / "store" / "mesh.db"), tmp_path / "store")
        await spoke.open()
        await until(lambda: plane.links.is_up(spoke.key.node_id))
        await until(lambda: not hub.story.of_other_versions)
    finally:
        await hub.close()
        await spoke.close()


async def test_addresses_of_other_versions_are_told_of_once_and_are_bounded(tmp_path: Path) -> None:
    """Whoever knocks from many ports fills neither the log nor the memory; other refusals are only counted. After an
    hour it is told again."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        for _ in range(3):
            for port in range(OTHER_VERSIONS_MAX):
                node.host.refused("link.version", f"192.0.2.1:{port}", "one speaks this, one that")
        node.host.refused("link.alpn", "192.0.2.1:9", "")
        assert len(refused(node)) == OTHER_VERSIONS_MAX
        for port in range(3 * OTHER_VERSIONS_MAX):
            node.host.refused("link.version", f"192.0.2.2:{port}", "one speaks this, one that")
        assert len(refused(node)) == len(node.story._other_versions) == OTHER_VERSIONS_MAX
        for address in node.story._other_versions:
            node.story._other_versions[address] -= TOLD_AGAIN_US
        node.host.refused("link.version", "192.0.2.1:1", "one speaks this, one that")
        assert refused(node)[-1].startswith("no link with 192.0.2.1:1: ")
        assert list(node.story._other_versions) == ["192.0.2.1:1"]
        assert node.host.refusals == {"link.version": 6 * OTHER_VERSIONS_MAX + 1, "link.alpn": 1}
    finally:
        await node.close()
