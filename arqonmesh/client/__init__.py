"""A small client of the bus for Python: what `arqon pub`, `sub` and `tail`, the demo and the benchmarks use."""

from __future__ import annotations

from arqonmesh.client.client import BusClient, Message

__all__ = ["BusClient", "Message"]
