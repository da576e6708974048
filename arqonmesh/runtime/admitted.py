"""As whom the mesh admitted this node, against what arqon.yaml says: a key keeps its cluster and its role for life.

A node of another cluster than its mesh knows would be refused by everybody and hear nothing of it; one of another role
would call itself a hub, and never be dialled as one. So neither starts, and `arqon config check` says so before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from arqonmesh.config.datadir import DataDir
from arqonmesh.config.model import NodeSettings
from arqonmesh.core.admission.proof import ROSTER_KINDS, roster_from
from arqonmesh.core.admission.roster import Member
from arqonmesh.core.gossip import disk
from arqonmesh.errors import ArqonError, ConfigError
from arqonmesh.runtime import mesh_state
from arqonmesh.store.peeking import peek
from arqonmesh.trust import ed25519
from arqonmesh.trust.keystore import load_node_key


def contradictions(admitted: Member | None, settings: NodeSettings) -> Iterator[tuple[str, ConfigError]]:
    """(setting, why a node does not start with it) for what the mesh knows otherwise; nothing without a mesh."""
    if admitted is None:
        return
    for name, known, said in (
        ("cluster", admitted.cluster, settings.cluster),
        ("role", admitted.role, settings.role),
    ):
        if known != said:
            sentence = (
                f"node.{name} is {said!r}, and the mesh admitted this node's key as {known!r}; it needs to be that "
                "again, or the node a new one"
            )
            hint = f"node.{name}: {known}    # or arqon init --cluster NAME --data-dir DIR, for a new node"
            yield f"node.{name}", ConfigError(f"config.other-{name}", sentence, hint=hint)


def stored_admission(data_dir: Path) -> Member | None:
    """The node's own place in its mesh, from its data directory alone, also while it runs; None where it has no mesh,
    or nothing there can be read: the node's start says why."""
    files = DataDir(data_dir)
    found = peek(files.database, ("scalars", "statements"))
    with suppress(ArqonError):
        mesh = None if found is None else mesh_state.load(found)
        if found is not None and mesh is not None:
            kept = [record for author in disk.load(found, mesh.mesh_id).authors for record in author]
            statements = [*mesh.bootstrap, *(record.encoded for record in kept if record.kind in ROSTER_KINDS)]
            roster = roster_from(statements, mesh.founder, mesh.mesh_id, ed25519.verify)
            return roster.members.get(load_node_key(files.node_key).node_id)
    return None
