"""Certificates rotated every few seconds under traffic: no message may be lost, no link may fall.

    python -m bench.rotation                             # 2 minutes, a new leaf every 5 s, each valid for 10 s
    python -m bench.rotation --seconds 30 --rate 2000

Three nodes on loopback, traffic from spoke to spoke through the hub. Every leaf that a link was made with expires many
times over while it stands; at the end one more node joins, so that fresh handshakes with fresh leaves are proved too.
Exits non-zero when a message was lost, doubled or out of order, or a link fell, or nothing was rotated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, loopback_mesh, until
from bench import inline
from bench.hub_crash import POLICY, three
from bench.steady import Figures, Steady


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a run came to."""

    seconds: float
    rotations: int
    """New leaves made by the three nodes together while the traffic ran."""
    links_dropped: int
    figures: Figures
    links_after: int
    """Links of the node that joined at the end."""

    @property
    def flawless(self) -> bool:
        return self.figures.flawless and self.links_dropped == 0 and self.rotations > 0 and self.links_after > 0


def config(every_s: float) -> str:
    """Leaves that live for two rotations; clocks on one machine need no allowance."""
    return f"{POLICY}\ncertificates: {{renew_after_s: {every_s}, lifetime_s: {2 * every_s}, clock_skew_s: 1}}\n"


def run(mesh: LoopbackMesh, seconds: float, rate_per_s: int) -> Rotated:
    """Traffic for so long in a mesh of `config`, then one more join."""
    hub, one, other = three(mesh)
    before = [certificate_rotations(node) for node in (hub, one, other)]
    with Steady(one.bus, other.bus, "bench:rotation", rate_per_s=rate_per_s) as traffic:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            traffic.flow(rate_per_s // 4)
        took_s = time.monotonic() - began
        figures = traffic.finish()
    rotations = [certificate_rotations(node) for node in (hub, one, other)]
    newcomer = mesh.join("newcomer", hub)
    until("a fresh link", newcomer.links_up)
    return Rotated(
        seconds=round(took_s, 1),
        rotations=sum(rotations) - sum(before),
        links_dropped=sum(links_dropped(node) for node in (hub, one, other)),
        figures=figures,
        links_after=newcomer.links_up(),
    )


def certificate_rotations(node: LoopbackNode) -> int:
    return int(node("node", "status")["counters"]["certificate_rotations"])


def links_dropped(node: LoopbackNode) -> int:
    """Links that went down since the node started, by its own log."""
    lines = (node.data_dir / "node.log").read_text().splitlines()
    entries = (json.loads(line) for line in lines if line.startswith("{"))
    return sum(entry.get("kind") == "link" and entry.get("state") == "down" for entry in entries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long the traffic runs")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two leaves of a node")
    parser.add_argument("--rate", type=int, default=500, help="messages per second from spoke to spoke")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with loopback_mesh(config(args.every), inline.arqon) as mesh:
        done = run(mesh, args.seconds, args.rate)
    if args.json:
        print(json.dumps({"v": 1, "lost": done.figures.lost, **asdict(done)}))
    else:
        print(f"seconds {done.seconds}  rotations {done.rotations}  links dropped {done.links_dropped}")
        figures = asdict(done.figures) | {"lost": done.figures.lost}
        print("messages  " + "  ".join(f"{name} {value}" for name, value in figures.items()))
        print(f"a node that joined afterwards has {done.links_after} link(s)")
    sys.exit(0 if done.flawless else 1)


if __name__ == "__main__":
    main()
