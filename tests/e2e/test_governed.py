"""On the side without a quorum nothing that changes the membership is accepted, and it says why."""

from __future__ import annotations

import pytest

from arqonmesh_testbed.loopback import LoopbackMesh, until
from tests.e2e.kit import healthy, mesh_status, refused


@pytest.mark.requirement("R-PA-1")
@pytest.mark.requirement("R-PA-3")
def test_a_node_that_lost_its_quorum_admits_and_invites_nobody(mesh: LoopbackMesh) -> None:
    """Two of three are killed: a join by key and a new ticket are refused with mesh.read-only; revoking is not. When
    one of them is back, the joiner gets in."""
    hq = mesh.make("hq", "hub")
    one, two, late = mesh.make("one"), mesh.make("two"), mesh.make("late")
    for node in (hq, one, two, late):
        node.start()
    hq("mesh", "seed", "gov", "--key", "correct horse")
    at = f"127.0.0.1:{hq.quic}"
    for node in (one, two):
        node("mesh", "join", "--address", at, "--key", "correct horse")
    until("a healthy mesh", lambda: healthy(hq, one, two))
    until("three voters", lambda: mesh_status(hq)["partition"]["voters"] == 3)
    made = hq("invite", "new", "--cluster", "late")

    one.kill()
    two.kill()
    until("read-only", lambda: not mesh_status(hq)["partition"]["writable"])
    with refused(7, "mesh.read-only"):
        late("mesh", "join", "--address", at, "--key", "correct horse")
    with refused(7, "mesh.read-only"):
        late("mesh", "join", made["ticket"])
    with refused(7, "mesh.read-only"):
        hq("invite", "new", "--cluster", "late")
    assert hq("invite", "revoke", made["invite"]["ticket_id"])["revoked"] is True
    seen = mesh_status(hq)["partition"]
    assert (seen["votes"], seen["required"], seen["voters"], seen["phase"]) == (1, 2, 3, "partitioned")
    assert len(seen["missing"]) == 2 and all(missed["since_ms"] > 0 for missed in seen["missing"])

    one.start()
    until("writable again", lambda: mesh_status(hq)["partition"]["writable"])
    late("mesh", "join", "--address", at, "--key", "correct horse")
    until("four voters, three of them there", lambda: mesh_status(late)["partition"]["voters"] == 4)
