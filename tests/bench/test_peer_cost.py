"""What a known peer costs is told as a whole and core by core."""

from __future__ import annotations

from typing import cast

from bench.peer_cost import measured


def test_the_cost_of_a_peer_is_that_of_the_cores_together() -> None:
    """Every core that keeps something of each member is named, and what is named adds up to the whole."""
    told = measured(48, by=False)
    by = cast("dict[str, int]", told["by"])
    whole, statements = cast(int, told["memory_bytes"]), cast(int, told["statements_bytes"])
    assert {"gossip", "membership", "peers", "admission", "regions", "routing", "topology"} <= by.keys()
    assert abs(sum(by.values()) - whole) <= len(by), "the allocator's own count, each core's share rounded"
    assert 500 < statements < by["gossip"] < whole
