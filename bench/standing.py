"""A standing mesh of real processes for the failure benches, and what its nodes say of each other.

What a node knows is read from its own log, whose lines carry the time of the machine's one clock: no polling, no bias.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from arqonmesh_cli.detach import start_detached
from arqonmesh_cli.where import place_of
from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, loopback_mesh, until
from bench import inline
from bench.idle_nodes import START_PATIENCE_S, let_in, look_every_s, start_all, whole

WHOLE_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a node's log: at (seconds since the epoch), who says it, and its fields."""

    at_s: float
    node: str
    fields: dict[str, Any]

    @property
    def is_member(self) -> bool:
        return self.fields.get("kind") == "member"

    @property
    def about(self) -> str:
        return str(self.fields.get("node", ""))

    @property
    def state(self) -> str:
        return str(self.fields.get("state", ""))


class Logs:
    """All nodes' logs, each read on from where the last reading ended."""

    def __init__(self, nodes: list[LoopbackNode]) -> None:
        self._paths = {node.name: node.data_dir / "node.log" for node in nodes}
        self._offsets = dict.fromkeys(self._paths, 0)

    def news(self) -> list[Line]:
        out: list[Line] = []
        for name, path in self._paths.items():
            out += self._news_of(name, path)
        return out

    def _news_of(self, name: str, path: Path) -> Iterator[Line]:
        with path.open("rb") as file:
            file.seek(self._offsets[name])
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._offsets[name] += len(raw)
                if raw.startswith(b"{"):
                    fields = json.loads(raw)
                    yield Line(datetime.fromisoformat(fields["at"].replace("Z", "+00:00")).timestamp(), name, fields)


@dataclass(slots=True)
class Standing:
    """`ids` are node ids by name; the first `hubs` nodes are hubs."""

    mesh: LoopbackMesh
    nodes: list[LoopbackNode]
    hubs: int
    ids: dict[str, str]
    logs: Logs

    def start_again(self, node: LoopbackNode) -> None:
        node.pid = start_detached(place_of(node.data_dir, None), START_PATIENCE_S)
        until("a whole mesh", lambda: whole(self.nodes), WHOLE_PATIENCE_S, every_s=look_every_s(self.nodes))


@contextmanager
def standing_mesh(count: int, hubs: int, *, config: str = "") -> Iterator[Standing]:
    """`count` nodes, each a cluster of its own, that see each other alive; gone when the block ends."""
    with loopback_mesh(config, command=inline.arqon) as mesh:
        nodes = [mesh.make(f"n{n:03}", "hub" if n < hubs else "spoke") for n in range(count)]
        start_all(nodes, os.cpu_count() or 2)
        first = nodes[0]
        first("mesh", "seed", "bench")
        for node in nodes[1:]:
            let_in(first, node)
        until("a whole mesh", lambda: whole(nodes), WHOLE_PATIENCE_S, every_s=look_every_s(nodes))
        ids = {member["cluster"]: member["id"] for member in first("mesh", "status")["nodes"]}
        logs = Logs(nodes)
        logs.news()
        yield Standing(mesh, nodes, hubs, ids, logs)


def settle(seconds: float) -> None:
    time.sleep(seconds)
