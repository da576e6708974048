"""How fast is the simulator? Protocol events per second of one core, and a settled mesh of many full nodes.

    python -m bench.sim_speed                      # idle32 for 30 s, then 200 nodes for 60 s
    python -m bench.sim_speed --nodes 1000         # the scenario idle1000
    python -m bench.sim_speed --nodes 1000 --settled   # settled1000: all have heard that all have started

An event is a frame, a timer, an answer of a disk or a client's frame that a node handled. `whole_cpu_s` is all of it:
making the nodes, their start, settling, and the seconds after that. Seconds are those of the process's CPU clock, so
that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import time

from arqonmesh.core.kernel import SECOND
from arqonmesh.sim.checkers import watched
from arqonmesh.sim.scenarios import idle, idle_graph
from arqonmesh.sim.simulation import Simulation


def measured(sim: Simulation, duration_us: int) -> dict[str, float]:
    """Let a settled mesh live on and count."""
    handled, began = sim.world.handled, time.process_time()
    watched(sim, duration_us, every_us=10 * SECOND)
    took = time.process_time() - began
    events = sim.world.handled - handled
    return {"events": events, "cpu_s": round(took, 2), "events_per_s": round(events / took)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60, help="simulated, after the mesh has settled")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settled", action="store_true", help="without the news that all have started")
    arguments = parser.parse_args()
    gc.disable()  # nothing here is garbage in circles, and looking for it among a thousand nodes takes a fifth
    small = Simulation(arguments.seed)
    idle(small, 32, SECOND)
    rows: dict[str, object] = {"idle32": measured(small, 30 * SECOND)}
    del small
    big, began = Simulation(arguments.seed), time.process_time()
    idle_graph(big, arguments.nodes, 0, settled=arguments.settled)
    settled_s = round(time.process_time() - began, 2)
    rows["graph"] = {
        "nodes": arguments.nodes,
        "settled_cpu_s": settled_s,
        **measured(big, arguments.seconds * SECOND),
        "whole_cpu_s": round(time.process_time() - began, 2),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
