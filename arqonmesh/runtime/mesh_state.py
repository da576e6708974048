"""What a node remembers of itself between lives: its boot epoch and the mesh that it belongs to.

Rows of the table `scalars`, core name "node". The boot epoch rises and is on disk before anything of that life
is signed, so that no (epoch, seq) is ever used twice, whatever a crash has lost.
"""

from __future__ import annotations

from typing import Final

from arqonmesh.core.kernel import Delete, Durable, Put, Row, Write
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.core.tables import TABLES
from arqonmesh.errors import DecodeError, StorageError
from arqonmesh.ids import MeshId, NodeId, is_node_id, is_ulid
from arqonmesh.wire.cbor import decode, encode

CORE: Final = "node"
_BOOTSTRAP_BYTES_MAX: Final = 64 << 20
MESH_TABLES: Final = tuple(
    table.name for table in TABLES if table.name in ("statements", "heads", "peers", "peer_causes", "inbox", "outbox")
)
"""What leaving a mesh deletes. Links that the operator asked for stay: they are the operator's."""


def boot_epoch(durable: Durable) -> int:
    """The epoch of the life before this one; 0 for a new node."""
    value = _scalars(durable).get("boot_epoch")
    return 0 if value is None else int.from_bytes(value, "big")


def next_epoch(before: int, wall_ms: int) -> int:
    """The epoch of the life that begins now: above the one before, and not below the wall clock's seconds, so that a
    node whose store was lost or restored from a backup does not sign numbers a second time with the same key."""
    return max(before + 1, wall_ms // 1_000)


def put_boot_epoch(epoch: int) -> Put:
    return Put("scalars", (CORE, "boot_epoch", epoch.to_bytes(8, "big")))


def load(durable: Durable) -> MeshIdentity | None:
    """The mesh that this node belongs to. Raises StorageError when what is stored does not hold together."""
    scalars = _scalars(durable)
    mesh, founder = scalars.get("mesh"), scalars.get("founder")
    if mesh is None or founder is None:
        return None
    try:
        bootstrap = decode(scalars.get("bootstrap", encode([])), max_bytes=_BOOTSTRAP_BYTES_MAX)
        mesh_id, founder_id = mesh.decode("ascii"), founder.decode("ascii")
    except (DecodeError, UnicodeDecodeError) as error:
        raise _damaged(str(error)) from error
    if not is_ulid(mesh_id) or not is_node_id(founder_id) or not isinstance(bootstrap, list):
        raise _damaged(f"mesh {mesh_id!r}, founder {founder_id!r}")
    statements = tuple(item for item in bootstrap if isinstance(item, bytes))
    return MeshIdentity(mesh_id=MeshId(mesh_id), founder=NodeId(founder_id), bootstrap=statements)


def put_mesh(mesh: MeshIdentity) -> tuple[Write, ...]:
    return (
        Put("scalars", (CORE, "mesh", mesh.mesh_id.encode())),
        Put("scalars", (CORE, "founder", mesh.founder.encode())),
        Put("scalars", (CORE, "bootstrap", encode(list(mesh.bootstrap)))),
    )


def forget_mesh(durable: Durable) -> tuple[Write, ...]:
    """Every row that belongs to the mesh, deleted. What must only ever rise stays: the boot epoch and our incarnation,
    or the same mesh, joined again, would take us for the node that left it. So do the operator's links."""
    writes: list[Write] = [Delete("scalars", (CORE, name)) for name in ("mesh", "founder", "bootstrap")]
    for table in TABLES:
        if table.name in MESH_TABLES:
            writes += [Delete(table.name, _key(row, table.key)) for row in durable.get(table.name, ())]
    writes += [
        Delete("scalars", row[:2])
        for row in durable.get("scalars", ())
        if row[0] != CORE and row[:2] != ("membership", "incarnation")
    ]
    return tuple(writes)


def _key(row: Row, width: int) -> Row:
    return row[:width]


def _scalars(durable: Durable) -> dict[str, bytes]:
    return {
        name: value
        for core, name, value in durable.get("scalars", ())
        if core == CORE and isinstance(name, str) and isinstance(value, bytes)
    }


def _damaged(seen: str) -> StorageError:
    return StorageError(
        "store.damaged-mesh-identity",
        f"the stored mesh identity does not hold together ({seen})",
        hint="restore mesh.db from a backup, or move it away, then arqon node start and arqon mesh join TICKET",
    )
