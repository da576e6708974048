"""Fan-out beside the peers: 1 publisher, 100 subscribers, 128-byte payloads over real WebSockets, then at 50 a second.

    python -m bench.fan_out                                        ours, and every peer that this machine has
    python -m bench.fan_out --only arqon nats --rounds 3
    python -m bench.fan_out --only arqon /path/to/another/checkout  what a change costs

Per bus and round: as fast as a window of unread messages allows for `--seconds`, then single messages at a fixed rate,
whose latency to each subscriber is taken. Rounds go through all of them in turn, so that a machine with other work
treats them alike; the best throughput and the median latencies of the rounds are told, and their ratio to ours.
Whoever is not installed is skipped by name.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from bench.bus_load import percentile
from bench.peers.load import load
from bench.peers.start import NAMES, Missing, Running, running

TARGET_DELIVERIES_PER_S = 1_000_000


def measure(bus: Running, arguments: argparse.Namespace) -> dict[str, float]:
    """One round of one bus."""
    with load(bus.dialect, bus.port, arguments.subscribers, arguments.payload, arguments.processes) as clients:
        clients.publish(1)
        clients.finish(10.0)
        bus_s, load_s = bus.cpu_s(), clients.cpu_s()
        flow = clients.flat_out(arguments.seconds, arguments.window, arguments.batch)
        bus_s, load_s = bus.cpu_s() - bus_s, clients.cpu_s() - load_s
        latencies = clients.paced(arguments.latency_seconds, arguments.rate)
    return {
        "deliveries_per_s": round(flow.per_s),
        "lost": flow.lost,
        "bus_cpu": round(bus_s / flow.took_s, 2),
        "load_cpu": round(load_s / flow.took_s, 2),
        "bus_us_per_delivery": round(bus_s / max(1, flow.deliveries) * 1e6, 3),
        "p50_us": percentile(latencies, 0.5),
        "p99_us": percentile(latencies, 0.99),
    }


def summary(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The best throughput with its costs, the median of the latencies, and everything that was lost."""
    best = max(rounds, key=lambda one: one["deliveries_per_s"])
    return {
        **best,
        "lost": sum(one["lost"] for one in rounds),
        **{name: statistics.median(one[name] for one in rounds) for name in ("p50_us", "p99_us")},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(NAMES), metavar="BUS", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--processes", type=int, default=1, help="that the subscribers are shared among")
    parser.add_argument("--payload", type=int, default=128)
    parser.add_argument("--window", type=int, default=2_000, help="messages in flight")
    parser.add_argument("--batch", type=int, default=100, help="messages per write of the publisher")
    parser.add_argument("--rate", type=int, default=50, help="messages per second of the latency run")
    parser.add_argument("--latency-seconds", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    rounds: dict[str, list[dict[str, float]]] = {}
    skipped: dict[str, str] = {}
    for number in range(arguments.rounds):
        for name in arguments.only:
            if name in skipped:
                continue
            try:
                with running(name) as bus:
                    rounds.setdefault(name, []).append(measure(bus, arguments))
            except Missing as missing:
                skipped[name] = str(missing)
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
    rows: dict[str, dict[str, Any]] = {name: summary(seen) for name, seen in rounds.items()}
    ours = rows.get("arqon")
    if ours is not None:
        for row in rows.values():
            row["ours_to_it"] = round(ours["deliveries_per_s"] / max(1, row["deliveries_per_s"]), 2)
    if arguments.json:
        print(json.dumps({"rows": rows, "skipped": skipped, "target": TARGET_DELIVERIES_PER_S}))
    else:
        print(
            f"{arguments.subscribers} subscribers, {arguments.payload} B; latency at {arguments.rate} messages/s\n"
            f"{'':18}{'deliveries/s':>13}{'ours to it':>12}{'lost':>6}{'bus CPU':>9}{'load CPU':>10}"
            f"{'p50 us':>9}{'p99 us':>9}"
        )
        for name, row in sorted(rows.items(), key=lambda item: -item[1]["deliveries_per_s"]):
            print(
                f"{name[-18:]:18}{row['deliveries_per_s']:>13,}{row.get('ours_to_it', ''):>12}{row['lost']:>6}"
                f"{row['bus_cpu']:>9}{row['load_cpu']:>10}{row['p50_us']:>9,.0f}{row['p99_us']:>9,.0f}"
            )
        for name, why in skipped.items():
            print(f"skipped {name}: {why}")
    if ours is None:
        return 0
    return 0 if ours["lost"] == 0 and ours["deliveries_per_s"] >= TARGET_DELIVERIES_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
