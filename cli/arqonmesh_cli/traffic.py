"""What a node's bus and telemetry do right now, in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arqonmesh.api.node_views import NodeStatus


def bus_traffic(node: NodeStatus) -> str:
    """`12.5 published/s, 1,250 delivered/s, in 0.2 ms (p99 2.4 ms)`."""
    rates = f"{_rate(node.published_per_s)} published/s, {_rate(node.delivered_per_s)} delivered/s"
    if not node.delivery_p99_us:
        return rates
    return f"{rates}, in {node.delivery_p50_us / 1_000:.1f} ms (p99 {node.delivery_p99_us / 1_000:.1f} ms)"


def telemetry_of(node: NodeStatus) -> str:
    """Where its telemetry is, or that it is nowhere."""
    return node.telemetry or ("fails" if node.telemetry_failure else "off")


def _rate(per_s: float) -> str:
    return f"{per_s:.1f}" if 0 < per_s < 100 else f"{per_s:,.0f}"


def http_of(node: NodeStatus) -> str:
    """The page of everything that the node tells of itself, or why there is none."""
    return f"{node.http}/status" if node.http else "off"
