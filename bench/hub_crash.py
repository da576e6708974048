"""kill -9 of the hub under traffic between two spokes, and start again: how long until the mesh stands, what was lost.

    python -m bench.hub_crash --times 5
    python -m bench.hub_crash --times 20 --rate 1000 --json

Three nodes on loopback: hub, and two spokes that reach each other through it alone. Traffic runs from spoke to spoke
all the time; what is published while the hub is away is held and has to arrive, once and in order.

| figure     | from                | to                                                             |
|------------|---------------------|----------------------------------------------------------------|
| ready_ms   | `arqon node start`  | the hub serves its control socket                              |
| reform_ms  | `arqon node start`  | both links up at hub and spokes, and a new message has arrived |
| outage_ms  | kill                | the first message after it                                     |
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, loopback_mesh, until
from bench import inline
from bench.bus_load import percentile
from bench.steady import Figures, Steady

POLICY = """
federation:
  export: {allow: ["bench:*"]}
  import: {allow: ["*"]}
"""
DOWN_S = 0.5
"""How long the hub stays away, so that messages are held."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Crash:
    """One kill and what followed."""

    ready_ms: int
    reform_ms: int
    outage_ms: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="how often the hub is killed")
    parser.add_argument("--rate", type=int, default=500, help="messages per second from spoke to spoke")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with loopback_mesh(POLICY, inline.arqon) as mesh:
        hub, one, other = three(mesh)
        with Steady(one.bus, other.bus, "bench:crash", rate_per_s=args.rate) as traffic:
            traffic.flow(args.rate // 2)
            crashes = []
            for n in range(args.times):
                crashes.append(crash(hub, one, other, traffic))
                if not args.json:
                    told = "  ".join(f"{name} {value}" for name, value in asdict(crashes[-1]).items())
                    print(f"crash {n + 1}  {told}", flush=True)
                traffic.flow(args.rate // 2)
            figures = traffic.finish()
    report(crashes, figures, as_json=args.json)
    sys.exit(0 if figures.flawless else 1)


def three(mesh: LoopbackMesh) -> tuple[LoopbackNode, LoopbackNode, LoopbackNode]:
    """Hub and two spokes, linked, and no link between the spokes."""
    hub = mesh.seed("hub")
    return hub, mesh.join("one", hub), mesh.join("other", hub)


def crash(hub: LoopbackNode, one: LoopbackNode, other: LoopbackNode, traffic: Steady) -> Crash:
    """Kill the hub while messages fly, let some be held, start it, wait until the mesh stands."""
    hub.kill()
    killed_at = time.monotonic()
    seen = traffic.figures().received
    until("messages held", lambda: time.monotonic() > killed_at + DOWN_S, every_s=0.01)
    started_at = time.monotonic()
    hub.start()
    ready_at = time.monotonic()
    until("a message after the crash", lambda: traffic.figures().received > seen, PATIENCE_S, 0.005)
    resumed_at = time.monotonic()
    until("both links at the hub", lambda: hub.links_up() == 2, PATIENCE_S, 0.01)
    until("the links at the spokes", lambda: one.links_up() == other.links_up() == 1, PATIENCE_S, 0.01)
    traffic.wait_for(traffic.published, PATIENCE_S)
    reformed_at = time.monotonic()
    return Crash(
        ready_ms=round((ready_at - started_at) * 1_000),
        reform_ms=round((reformed_at - started_at) * 1_000),
        outage_ms=round((resumed_at - killed_at) * 1_000),
    )


def report(crashes: list[Crash], figures: Figures, *, as_json: bool) -> None:
    traffic = {**asdict(figures), "lost": figures.lost}
    if as_json:
        print(json.dumps({"v": 1, "crashes": [asdict(one) for one in crashes], "traffic": traffic}))
        return
    for name in ("ready_ms", "reform_ms", "outage_ms"):
        values = [getattr(one, name) for one in crashes]
        print(f"{name:10} p50 {percentile(values, 0.5):.0f}  max {max(values)}")
    print("messages   " + "  ".join(f"{name} {value}" for name, value in traffic.items()))


if __name__ == "__main__":
    main()
