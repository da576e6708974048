"""What a node remembers of itself between lives."""

from __future__ import annotations

import pytest

from arqonmesh.core.kernel import Delete, Put, Row
from arqonmesh.core.plane import MeshIdentity
from arqonmesh.errors import StorageError
from arqonmesh.runtime import mesh_state
from tests.core.toy import MESH, node_of


def rows(*writes: Put | Delete) -> dict[str, list[Row]]:
    durable: dict[str, list[Row]] = {}
    for write in writes:
        assert isinstance(write, Put)
        durable.setdefault(write.table, []).append(write.row)
    return durable


def test_a_new_node_has_no_epoch_and_no_mesh() -> None:
    """Epoch 0 was never lived; the first life is 1."""
    assert mesh_state.boot_epoch({}) == 0
    assert mesh_state.load({}) is None


def test_the_boot_epoch_comes_back() -> None:
    """Eight bytes, big endian."""
    assert mesh_state.boot_epoch(rows(mesh_state.put_boot_epoch(41))) == 41


def test_an_epoch_rises_with_each_life_and_with_the_clock() -> None:
    """A lost store or an old backup must not repeat an epoch; a clock that is wrong must not lower one."""
    assert mesh_state.next_epoch(0, 1_700_000_000_123) == 1_700_000_000
    assert mesh_state.next_epoch(1_700_000_000, 1_700_000_000_456) == 1_700_000_001
    assert mesh_state.next_epoch(1_700_000_005, 60_000) == 1_700_000_006


def test_the_mesh_comes_back_with_the_statements_that_proved_our_admission() -> None:
    """A restart resumes without a new ticket, also when gossip had not brought the roster yet."""
    mesh = MeshIdentity(mesh_id=MESH, founder=node_of("founder"), bootstrap=(b"one", b"two"))
    assert mesh_state.load(rows(*mesh_state.put_mesh(mesh))) == mesh


def test_a_damaged_identity_is_refused_with_the_way_out() -> None:
    """Never guessed at, never overwritten."""
    durable = rows(Put("scalars", ("node", "mesh", b"not a ulid")), Put("scalars", ("node", "founder", b"\xff")))
    with pytest.raises(StorageError) as caught:
        mesh_state.load(durable)
    assert caught.value.code == "store.damaged-mesh-identity"
    assert "join" in caught.value.hint


def test_leaving_forgets_the_mesh_and_keeps_what_must_only_rise_and_the_operators_links() -> None:
    """Epoch and incarnation must keep rising for as long as the key lives."""
    durable: dict[str, list[Row]] = {
        "scalars": [
            ("node", "boot_epoch", b"\x01"),
            ("node", "mesh", b"m"),
            ("membership", "incarnation", b"\x05"),
            ("federation", "link_seq", b"\x09"),
        ],
        "heads": [("author", 1, 1, b"h")],
        "links": [("10.0.0.1:9130", "", 0)],
    }
    gone = mesh_state.forget_mesh(durable)

    assert Delete("heads", ("author",)) in gone
    assert Delete("scalars", ("federation", "link_seq")) in gone
    assert Delete("scalars", ("membership", "incarnation")) not in gone
    assert Delete("scalars", ("node", "boot_epoch")) not in gone
    assert all(write.table != "links" for write in gone)
