"""The line about a node's traffic."""

from __future__ import annotations

import asyncio

import msgspec

from arqonmesh_cli.traffic import bus_traffic
from tests.api.fake import FakeNode


def test_the_line_tells_rates_and_how_soon_messages_leave() -> None:
    """Small rates with a decimal, large ones with separators; no latency before anything was delivered."""
    node = asyncio.run(FakeNode().node_status())
    assert bus_traffic(node) == "12.5 published/s, 1,250 delivered/s, in 0.2 ms (p99 2.4 ms)"
    idle = msgspec.structs.replace(node, published_per_s=0.0, delivered_per_s=0.0, delivery_p50_us=0, delivery_p99_us=0)
    assert bus_traffic(idle) == "0 published/s, 0 delivered/s"
