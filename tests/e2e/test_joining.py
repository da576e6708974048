"""Getting in: policies, keys, tickets; each refusal with its exit code, its error object and its count."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass

import pytest

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from bench.inline import line
from tests.e2e.kit import counters, healthy, mesh_status, refused


@dataclass(frozen=True)
class Gate:
    """A hub at which two nodes of cluster factory knock; every test seeds a mesh of its own and leaves it."""

    hq: LoopbackNode
    factory: LoopbackNode
    second: LoopbackNode

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.hq.quic}"

    def seed(self, *policy: str) -> None:
        for node in (self.second, self.factory, self.hq):
            if mesh_status(node)["mesh"] is not None:
                node("mesh", "leave")
        self.hq("mesh", "seed", "gate", *policy)

    def ticket(self, *options: str) -> tuple[str, str]:
        """(ticket, its id), for a spoke of cluster factory."""
        made = self.hq("invite", "new", "--cluster", "factory", *options)
        return made["ticket"], made["invite"]["ticket_id"]


@pytest.fixture(scope="module")
def gate(mesh: LoopbackMesh) -> Gate:
    made = Gate(mesh.make("hq", "hub"), mesh.make("factory"), mesh.make("second", cluster="factory"))
    for node in (made.hq, made.factory, made.second):
        node.start()
    return made


@pytest.mark.requirement("R-JN-2")
def test_with_a_key_only_who_knows_it_joins_by_address(gate: Gate) -> None:
    """KEY_REQUIRED is the default; the wrong key and no key are refused by name, the right one lets in."""
    gate.seed("--key", "correct horse")
    with refused(4, "admission.wrong-key"):
        gate.factory("mesh", "join", "--address", gate.at, "--key", "wrong horse")
    with refused(4, "admission.key-needed"):
        gate.factory("mesh", "join", "--address", gate.at)
    assert mesh_status(gate.factory)["mesh"] is None
    assert gate.factory("mesh", "join", "--address", gate.at, "--key", "correct horse")["name"] == "gate"
    until("a healthy mesh", lambda: healthy(gate.hq, gate.factory))
    counted = counters(gate.hq)
    assert counted["refused_admission.wrong-key"] == counted["refused_admission.key-needed"] == 1


@pytest.mark.requirement("R-JN-2")
def test_an_open_mesh_lets_anyone_in(gate: Gate) -> None:
    """Without ticket and without key."""
    gate.seed("--policy", "open")
    gate.factory("mesh", "join", "--address", gate.at)
    until("a healthy mesh", lambda: healthy(gate.hq, gate.factory))


@pytest.mark.requirement("R-JN-2")
def test_a_closed_mesh_lets_nobody_in(gate: Gate) -> None:
    """Not by address, and not with a ticket either."""
    gate.seed("--policy", "closed")
    with refused(4, "admission.closed"):
        gate.factory("mesh", "join", "--address", gate.at)
    ticket, _ = gate.ticket()
    with refused(4, "admission.closed"):
        gate.factory("mesh", "join", ticket)


def test_a_ticket_is_good_for_its_uses_its_cluster_its_time_and_until_revoked(gate: Gate) -> None:
    """Expired, for others, revoked, used up: each is told apart, and `invite ls` counts the uses."""
    gate.seed()
    expired, _ = gate.ticket("--expires", "1s")
    expires_at = time.monotonic() + 1.0
    with refused(2, "join.other-cluster"):
        gate.factory("mesh", "join", gate.hq("invite", "new", "--cluster", "store")["ticket"])
    with refused(2, "join.other-role"):
        gate.factory("mesh", "join", gate.ticket("--role", "hub")[0])
    revoked, revoked_id = gate.ticket()
    assert gate.hq("invite", "revoke", revoked_id)["revoked"] is True
    with refused(4, "admission.ticket-revoked"):
        gate.factory("mesh", "join", revoked)
    with refused(4, "trust.ticket-checksum"):
        gate.factory("mesh", "join", revoked[:-1] + ("a" if revoked[-1] != "a" else "b"))

    until("its end", lambda: time.monotonic() > expires_at)
    with refused(4, "trust.ticket-expired"):
        gate.factory("mesh", "join", expired)

    once, once_id = gate.ticket("--uses", "1")
    gate.factory("mesh", "join", once)
    until("a healthy mesh", lambda: healthy(gate.hq, gate.factory))
    with refused(4, "admission.ticket-used-up"):
        gate.second("mesh", "join", once)
    invites = {invite["ticket_id"]: invite for invite in gate.hq("invite", "ls")["invites"]}
    assert (invites[once_id]["used"], invites[once_id]["uses"], invites[once_id]["revoked"]) == (1, 1, False)
    assert (invites[revoked_id]["used"], invites[revoked_id]["revoked"]) == (0, True)
    assert counters(gate.hq)["refused_admission.ticket-used-up"] == 1
    with refused(5, "invite.unknown"):
        gate.hq("invite", "revoke", "01ARZ3NDEKTSV4RRFFQ69G5FAV")


def test_a_ticket_of_another_mesh_is_refused_by_the_joiner(gate: Gate) -> None:
    """The ticket names mesh and founder; who answers at its address has to be of that mesh."""
    gate.seed()
    ticket, _ = gate.ticket()
    gate.seed()
    with refused(4, "trust.other-mesh"):
        gate.factory("mesh", "join", ticket)


def test_a_member_does_not_join_or_seed_again_and_only_those_who_may_invite_do(gate: Gate) -> None:
    """What does not fit the state of the node is a usage error with the next command."""
    gate.seed()
    ticket, _ = gate.ticket()
    gate.factory("mesh", "join", ticket)
    with refused(2, "mesh.already"):
        gate.factory("mesh", "seed", "another")
    with refused(2, "mesh.already"):
        gate.factory("mesh", "join", ticket)
    with refused(4, "invite.not-allowed"):
        gate.factory("invite", "new", "--cluster", "third")


def test_waiting_in_vain_is_exit_code_six(gate: Gate) -> None:
    """A sentence after the time that was given, not a hang."""
    with refused(6, "cli.sub-timeout"):
        gate.factory("sub", "silent:room", "--count", "1", "--timeout", "300ms")


def test_a_node_that_does_not_run_is_exit_code_three(mesh: LoopbackMesh) -> None:
    """And the hint is the command that starts it."""
    node = mesh.make("asleep")
    done = line("mesh", "status", "--data-dir", str(node.data_dir))
    assert (done.code, done.error["code"]) == (3, "api.not-running")
    assert "arqon node start" in done.error["hint"]


def test_a_second_node_of_a_cluster_needs_no_role_on_its_ticket_and_is_given_the_past(mesh: LoopbackMesh) -> None:
    """What each published before they met is in the history of both."""
    one, two = mesh.make("duo", "hub"), mesh.make("duo-two", "hub", cluster="duo")
    for node, channel in ((one, "a:one"), (two, "a:two")):
        node.start()
        for i in range(7):
            node("pub", channel, json.dumps({"i": i}))
    one("mesh", "seed", "pair")
    two("mesh", "join", one("invite", "new", "--cluster", "duo")["ticket"])

    def held(node: LoopbackNode, channel: str) -> list[int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http}/history?channel={channel}", timeout=10) as told:
            return [frame["payload"]["i"] for frame in json.load(told)["history"]]

    everything = list(range(7))
    until("the past", lambda: held(two, "a:one") == held(one, "a:two") == everything)
