"""Which addresses are those of members: what the intake keeps places for."""

from __future__ import annotations

from pathlib import Path

import pytest

from arqonmesh.core.kernel import SECOND
from arqonmesh.runtime import authority
from arqonmesh.runtime.control import Control
from arqonmesh.wire.statement import Kind, NodeRecord
from tests.runtime.test_service import service
from tests.waiting import until


async def test_the_literal_addresses_in_members_records_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the newest records, and of no name; without a mesh, none."""
    node = service(tmp_path, "hq", "hub")
    await node.open()
    try:
        assert not node.authority.known_host("192.0.2.7")
        await Control(node).seed("acme", "open", "")
        assert not node.authority.known_host("192.0.2.7")

        def tells(*addresses: str) -> None:
            node.host.perform(node.node.describe(node.host.now(), addresses, "test/1", ()))

        def told() -> int:
            plane = node.node.plane
            assert plane is not None
            return sum(
                len(body.addresses) for _, _, body in plane.gossip.statements(Kind.NODE) if isinstance(body, NodeRecord)
            )

        await until(lambda: told() == 1)
        monkeypatch.setattr(authority, "HOSTS_EVERY_US", 60 * SECOND)
        node.authority.known_host("192.0.2.7")
        tells("192.0.2.7:9130", "[2001:db8::0007]:9130", "hub.example:9130")
        await until(lambda: told() == 3)
        assert not node.authority.known_host("192.0.2.7"), "records are read once a second at most"
        monkeypatch.setattr(authority, "HOSTS_EVERY_US", 0)
        assert node.authority.known_host("192.0.2.7")
        assert node.authority.known_host("2001:db8::7")
        assert not node.authority.known_host("hub.example")
        tells("192.0.2.8:9130")
        await until(lambda: told() == 1)
        assert [node.authority.known_host(f"192.0.2.{last}") for last in (7, 8)] == [False, True]
    finally:
        await node.close()
