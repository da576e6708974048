"""This machine's own readings, from /proc (proc(5)): the demo's data is real."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def host() -> dict[str, Any]:
    """Load averages, memory in bytes, network bytes in and out over all interfaces but loopback."""
    memory = _memory()
    network = [counts for name, counts in _network().items() if name != "lo"]
    return {
        "load": list(os.getloadavg()),
        "memory_total": memory.get("MemTotal", 0),
        "memory_available": memory.get("MemAvailable", 0),
        "net_in": sum(received for received, _ in network),
        "net_out": sum(sent for _, sent in network),
    }


def proc() -> dict[str, Any]:
    """The counters behind them as the kernel gives them: what one does not want to send everywhere."""
    cpu = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return {"cpu_ticks": [int(ticks) for ticks in cpu], "interfaces": _network(), "memory": _memory()}


def _memory() -> dict[str, int]:
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapFree"):
            found[name] = int(value.split()[0]) * 1_024
    return found


def _network() -> dict[str, tuple[int, int]]:
    """Interface to bytes received and sent."""
    found = {}
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, _, counts = line.partition(":")
        columns = counts.split()
        found[name.strip()] = (int(columns[0]), int(columns[8]))
    return found
