"""Channels that an operator makes and ends from outside the bus, on every node of the cluster."""

from __future__ import annotations

from pathlib import Path

from arqonmesh.core.bus.identity import Identity
from arqonmesh.runtime.http_sources import sources_of
from tests.runtime.pairs import opened
from tests.runtime.test_service import linked, service
from tests.waiting import until

OPS = Identity("ops", "admin")


async def test_what_an_operator_makes_or_ends_at_one_node_the_others_of_its_cluster_hear_of(tmp_path: Path) -> None:
    """Made at one, seen at the other; ended at the other, gone at both."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one, two = service(tmp_path / "one", "hq", "hub"), service(tmp_path / "two", "hq", "spoke")
    async with opened(one, two):
        await linked(one, two)
        here, there = (sources_of(node, lambda: True) for node in (one, two))
        await until(lambda: (one.node.next_deadline() or 0) > one.host.now())
        assert here.create_channel(OPS, "lab:bench") == ("lab:bench", True)
        told_at, due = one.node.bus.next_deadline(), one.node.next_deadline()
        assert told_at is not None and due is not None and due <= told_at, "it waits for no other core's timer"
        await until(lambda: two.node.bus.exchange.view.has("lab:bench"))
        assert there.delete_channel(OPS, "lab:bench")
        await until(lambda: one.node.bus.channels.find("lab:bench") is None)
        await until(lambda: not two.node.bus.exchange.view.has("lab:bench"))
        assert not there.delete_channel(OPS, "lab:bench")
