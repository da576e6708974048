"""What does a known peer cost? Memory of one node's cores, and bytes on its disk, in a large mesh that stands still.

    python -m bench.peer_cost                        # 1,000 and 10,000 members
    python -m bench.peer_cost --members 10000 --by   # by line of code, not only by core

One node starts from rows that a settled mesh leaves behind: of each member an admission, its own record, its six
links, its vote, and that it holds all votes. Every column is a fresh object, as SQLite hands it out, and the rows are
let go once the node has started. Then links are brought up to six members and the node runs for ten seconds, so that
it has also written its peer store. Memory is what tracemalloc still counts as allocated since, divided by the members;
Python's own overhead per object is in it, that of the allocator's pools (a tenth or so) is not. `statements` are the
bare bytes that the members have signed. By core it counts who made what is kept: the one nearest to the allocation on
the stack. So what statements say, decoded, is gossip's, whoever keeps it. The rows then go through the real store: disk
is the size of its file once it was opened again, which packs it, and closed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TypeAlias

from arqonmesh.core.gossip.log import body_of, read_record
from arqonmesh.core.kernel import MILLISECOND, SECOND, Durable, Persist, Put, Row
from arqonmesh.core.node import Node
from arqonmesh.core.node import World as NodeWorld
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.sim.crypto import ToyCrypto
from arqonmesh.sim.field.graphs import regular_graph
from arqonmesh.sim.process import Process
from arqonmesh.sim.restart import prepare
from arqonmesh.sim.simulation import Simulation
from arqonmesh.sim.world import EPOCH_MS
from arqonmesh.store.store import Store
from arqonmesh.wire.statement import decode_statement, peers_up

Value: TypeAlias = int | str | bytes | None
LINKS: int = 6
RUNS_US: int = 10 * SECOND
FRAMES: int = 12
"""Of the stack of an allocation."""


def rows_of(process: Process) -> Durable:
    """What is on its disk, every column an object of its own."""
    return {name: [tuple(map(_fresh, row)) for row in rows] for name, rows in process.disk.durable().items()}


def _fresh(value: Value) -> Value:
    if isinstance(value, bytes):
        return bytes(bytearray(value))
    return value.encode().decode() if isinstance(value, str) else value


def lived(process: Process, mesh: MeshIdentity, peers: list[Process]) -> tuple[Node, dict[str, dict[Row, Row]]]:
    """The node after its start and a while with links, and what it has written."""
    dice = process.world.dice("bench")
    clock = [0]
    given = NodeWorld(
        node_id=process.node_id,
        public_key=process.public_key,
        crypto=ToyCrypto(process.public_key),
        wall_ms=lambda: EPOCH_MS + clock[0] // MILLISECOND,
        rng_for=lambda core: dice,
        boot_epoch=2,
    )
    written: dict[str, dict[Row, Row]] = {}
    node = Node(process.config, given)
    effects = node.start(0, rows_of(process), mesh)
    effects += node.describe(0, (f"{process.name}.sim:9130",), "sim", ())
    for peer in peers:
        effects += node.transport_up(0, peer.node_id, "quic", outbound=True)
    while True:
        for effect in effects:
            if isinstance(effect, Persist):
                for write in effect.writes:
                    if isinstance(write, Put):
                        table = written.setdefault(write.table, {})
                        table[write.row] = write.row
        tokens = [effect.token for effect in effects if isinstance(effect, Persist) and effect.token >= 0]
        if tokens:
            effects = [answer for token in tokens for answer in node.persisted(clock[0], token)]
            continue
        deadline = node.next_deadline()
        if deadline is None or deadline > RUNS_US:
            return node, written
        clock[0] = deadline
        effects = [*node.on_timer(deadline), *node.end_tick(deadline)]


async def stored(rows: Durable, written: dict[str, dict[Row, Row]]) -> int:
    """Bytes of the database file that holds the rows."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "mesh.db"
        store = Store.open(path)
        empty = path.stat().st_size
        for name, table in (*rows.items(), *((name, list(table)) for name, table in written.items())):
            for start in range(0, len(table), 500):
                done = asyncio.Event()
                store.persist([Put(name, row) for row in table[start : start + 500]], sync=True, done=done.set)
                await done.wait()
        await store.close()
        await Store.open(path).close()
        return path.stat().st_size - empty


def core_of(traceback: tracemalloc.Traceback) -> str:
    """The core that made it; "node" for what none of them did. The newest frame is the last one."""
    for frame in reversed(traceback):
        _, is_core, place = frame.filename.rpartition("arqonmesh/core/")
        room, _, file = place.partition("/")
        if is_core and (file or room == "topology.py"):
            return room.removesuffix(".py")
    return "node"


def measured(members: int, *, by: bool) -> dict[str, object]:
    sim = Simulation(1)
    names = [f"node-{number:05}" for number in range(members)]
    for name in names:
        sim.add(name)
    edges = [(names[a], names[b]) for a, b in regular_graph(members, LINKS, seed=1)]
    mesh = prepare(sim, edges)
    process = sim.processes[names[1]]
    peers = [sim.processes[b if a == names[1] else a] for a, b in edges if names[1] in (a, b)]
    disk = asyncio.run(stored(rows_of(process), lived(process, mesh, peers)[1]))
    for memo in (decode_statement, body_of, read_record, peers_up):
        memo.forget()
    gc.collect()
    tracemalloc.start(1 if by else FRAMES)
    node = lived(process, mesh, peers)[0]  # without what it has written: that is the disk's
    gc.collect()
    total = tracemalloc.get_traced_memory()[0]  # not what is summed below: what no place is found for shows
    shot = tracemalloc.take_snapshot()
    tracemalloc.stop()
    places: Counter[str] = Counter()
    for stat in shot.statistics("lineno" if by else "traceback"):
        frame = stat.traceback[-1]
        line = f"{frame.filename.rpartition('arqonmesh/')[2] or frame.filename}:{frame.lineno}"
        places[line if by else core_of(stat.traceback)] += stat.size
    assert node.plane is not None, "the node has not left its mesh"
    known = len(node.plane.gossip.heads())
    assert known == members, f"{known} members known of {members}"
    most = {name: round(size / members) for name, size in places.most_common(60)}
    return {
        "members": members,
        "memory_bytes": round(total / members),
        "statements_bytes": round(node.plane.gossip.bytes_held / members),
        "disk_bytes": round(disk / members),
        "by": most,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--by", action="store_true", help="bytes per peer by line of code, not by core")
    arguments = parser.parse_args()
    for members in arguments.members:
        print(json.dumps(measured(members, by=arguments.by), indent=2))


if __name__ == "__main__":
    main()
