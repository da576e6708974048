"""What the demo saw: per cluster what was published, delivered, exported and kept; and whether it is as promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from arqonmesh.api.node_views import PolicyView
from arqonmesh.errors import ArqonError
from arqonmesh_cli.demo_mesh import LOCAL, DemoMesh
from arqonmesh_cli.demo_traffic import Traffic
from arqonmesh_cli.screen import Screen


@dataclass(frozen=True, slots=True)
class Report:
    """The counters of the traffic and the decisions of every node's policy."""

    clusters: tuple[str, ...]
    traffic: Traffic
    policies: dict[str, PolicyView]

    def check(self) -> None:
        """Raises ArqonError when something left that must not, or did not arrive, or came twice."""
        leaked = [flow for flow in self.traffic.received if flow[1] == LOCAL and flow[0] != flow[2]]
        let_out = [
            f"{cluster}: {decision['rule']}"
            for cluster, policy in self.policies.items()
            for decision in policy.decisions
            if decision["channel"] == LOCAL and decision["allowed"]
        ]
        if leaked or let_out:
            seen = ", ".join([f"{flow[0]} received it from {flow[2]}" for flow in leaked] + let_out)
            raise ArqonError(
                "demo.leaked",
                f"{LOCAL} left its cluster ({seen}); no rule exports it",
                hint="arqon explain demo.leaked",
            )
        for cluster in self.clusters:
            kept, published = self._kept(cluster), self.traffic.published[cluster, LOCAL]
            if published and not any(row["channel"] == LOCAL for row in kept):
                raise ArqonError(
                    "demo.unjudged",
                    f"{cluster} published {published} messages on {LOCAL} and no rule is on record for keeping them; "
                    "every verdict has its rule",
                    hint="arqon explain demo.unjudged",
                )
        missing = self.traffic.missing()
        if missing:
            flows = ", ".join(f"{count} of {f[1]} from {f[2]} at {f[0]}" for f, count in missing.items())
            raise ArqonError(
                "demo.lost", f"messages did not arrive: {flows}; all links were up", hint="arqon explain demo.lost"
            )
        if self.traffic.repeated:
            flows = ", ".join(f"{count} of {f[1]} from {f[2]} at {f[0]}" for f, count in self.traffic.repeated.items())
            raise ArqonError(
                "demo.twice",
                f"messages came twice or out of order: {flows}; each is due once, in order",
                hint="arqon explain demo.twice",
            )

    def data(self, took_s: float) -> dict[str, Any]:
        """Plain data, the `data` of --json."""
        return {
            "clusters": [self._cluster(name) for name in self.clusters],
            "local_channel": LOCAL,
            "left_its_cluster": 0,
            "took_s": round(took_s, 2),
        }

    def _cluster(self, name: str) -> dict[str, Any]:
        traffic = self.traffic
        latencies = sorted(traffic.latencies_us[name])
        return {
            "cluster": name,
            "published": {channel: n for (origin, channel), n in sorted(traffic.published.items()) if origin == name},
            "delivered": {
                f"{channel} from {origin}": n
                for (at, channel, origin), n in sorted(traffic.received.items())
                if at == name
            },
            "exported": sum(row["messages"] for row in self._decided(name, "export", allowed=True)),
            "passed_on": sum(row["messages"] for row in self._decided(name, "transit", allowed=True)),
            "imported": sum(row["messages"] for row in self._decided(name, "import", allowed=True)),
            "kept": self._kept(name),
            "p50_ms": percentile_ms(latencies, 50),
            "p99_ms": percentile_ms(latencies, 99),
        }

    def _kept(self, name: str) -> list[dict[str, Any]]:
        return [
            {"channel": row["channel"], "rule": row["rule"], "messages": row["messages"]}
            for row in self._decided(name, "export", allowed=False)
        ]

    def _decided(self, name: str, direction: str, *, allowed: bool) -> list[dict[str, Any]]:
        decisions = self.policies[name].decisions
        return [row for row in decisions if row["direction"] == direction and row["allowed"] is allowed]


async def gather(mesh: DemoMesh, traffic: Traffic) -> Report:
    policies = {node.name: await node.client.policy() for node in mesh.nodes}
    return Report(tuple(node.name for node in mesh.nodes), traffic, policies)


def show_report(screen: Screen, data: dict[str, Any]) -> None:
    screen.line()
    screen.table(
        ("CLUSTER", "PUBLISHED", "DELIVERED", "EXPORTED", "PASSED ON", "KEPT LOCAL BY", "P50", "P99"),
        [
            (
                row["cluster"],
                _counts(row["published"]),
                str(sum(row["delivered"].values())),
                str(row["exported"]),
                str(row["passed_on"]),
                ", ".join(f"{kept['messages']} {kept['channel']}: {kept['rule']}" for kept in row["kept"]) or "-",
                _ms(row["p50_ms"]),
                _ms(row["p99_ms"]),
            )
            for row in data["clusters"]
        ],
    )
    screen.line(("delivered: to one listener per cluster; p50, p99: from another cluster's publisher to it", "dim"))
    screen.line()
    screen.line(f"{data['local_channel']} never left its cluster; everything else arrived once, in order", "")
    screen.line((f"took {data['took_s']:.1f} s, all stopped", "dim"))


def percentile_ms(ordered_us: Sequence[int], percent: int) -> float | None:
    """The nearest-rank percentile of sorted microseconds, in milliseconds; None when there are none."""
    if not ordered_us:
        return None
    rank = max(1, -(-len(ordered_us) * percent // 100))
    return round(ordered_us[rank - 1] / 1_000, 3)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {channel}" for channel, count in counts.items()) or "-"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
