"""A person's first mesh: seeded, joined, used, looked at and left, each step as one would type it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from arqonmesh_testbed.loopback import LoopbackMesh, LoopbackNode, until
from bench.inline import line
from bench.steady import Steady
from tests.e2e.kit import healthy, links_up, mesh_status, refused, state_of


@dataclass(frozen=True)
class Three:
    """Cluster hq as hub; factory and store as spokes of it."""

    hq: LoopbackNode
    factory: LoopbackNode
    store: LoopbackNode


@pytest.fixture(scope="module")
def three(mesh: LoopbackMesh) -> Three:
    hq = mesh.seed("hq")
    made = Three(hq, mesh.join("factory", hq), mesh.join("store", hq))
    until("a healthy mesh", lambda: healthy(made.hq, made.factory, made.store))
    return made


@pytest.mark.requirement("R-OB-7")
def test_mesh_status_has_the_promised_shape_on_every_node(three: Three) -> None:
    """Scripts read this: the fields, their types, and the same mesh wherever one asks."""
    for node in (three.hq, three.factory, three.store):
        done = line("mesh", "status", "--data-dir", str(node.data_dir))
        assert (done.code, done.answer["v"], done.answer["ok"]) == (0, 1, True)
        data = done.data
        assert {"name", "id", "health"} <= data["mesh"].keys()
        assert (data["mesh"]["name"], data["mesh"]["health"]) == ("test", "healthy")
        assert data["self"] in {other["id"] for other in data["nodes"]}
        assert {(n["cluster"], n["role"], n["region"], n["state"]) for n in data["nodes"]} == {
            ("hq", "hub", "", "alive"),
            ("factory", "spoke", "", "alive"),
            ("store", "spoke", "", "alive"),
        }
        assert len(data["links"]) == 2
        for link in data["links"]:
            assert {"a", "b", "state", "transport", "rtt_ms"} <= link.keys()
            assert (link["state"], link["transport"]) == ("up", "quic")
            assert 0 < link["rtt_ms"] < 1_000
        assert data["partition"] == {
            "state": "healthy",
            "reachable": 3,
            "required": 2,
            "preset": "crash",
            "members": 3,
            "writable": True,
            "phase": "healthy",
            "voters": 3,
            "votes": 3,
            "missing": [],
            "missing_more": 0,
            "votes_ignored": 0,
        }


def test_everything_is_seen_soon_after_a_join(three: Three, mesh: LoopbackMesh) -> None:
    """The newcomer knows nodes, links and addresses of the whole mesh within seconds, and everyone knows it."""
    with _joined_for_a_while(mesh, three.hq, "late") as late:
        until("a mesh of four", lambda: len(mesh_status(three.store)["nodes"]) == 4, timeout_s=3)
        until("a healthy mesh", lambda: healthy(three.hq, three.factory, three.store, late), timeout_s=5)
        seen = mesh_status(late)
        assert len(links_up(late)) == 3
        assert all(node["addresses"] for node in seen["nodes"])


def test_a_message_crosses_clusters_in_both_directions(three: Three) -> None:
    """What the export policy lets out arrives at the other clusters, over the hub in between, in order and once."""
    for source, target in ((three.factory, three.store), (three.store, three.hq), (three.hq, three.factory)):
        with Steady(source.bus, target.bus, "telemetry:host", rate_per_s=400) as traffic:
            traffic.flow(40)
            assert traffic.finish().flawless


def test_pub_and_sub_are_clients_of_the_bus(three: Three) -> None:
    """`arqon sub` in one cluster prints what `arqon pub` said in another, as one JSON answer per line."""
    command = [sys.executable, "-m", "arqonmesh_cli", "sub", "telemetry:door", "--count", "1", "--timeout", "20s"]
    with subprocess.Popen(
        [*command, "--json", "--data-dir", str(three.store.data_dir)], stdout=subprocess.PIPE, text=True
    ) as sub:

        def heard() -> bool:
            said = three.factory("pub", "telemetry:door", '{"open":true}')
            assert said == {"channel": "telemetry:door", "published": 1}
            return sub.poll() is not None

        until("the subscriber's end", heard)
        out, _ = sub.communicate()
    answer = json.loads(out)
    assert answer["ok"] is True
    assert (answer["data"]["room"], answer["data"]["channel"]) == ("telemetry", "door")
    assert answer["data"]["payload"] == {"open": True}
    assert sub.returncode == 0


@pytest.mark.requirement("R-FE-3")
def test_what_no_rule_lets_out_stays_and_the_rule_is_named(three: Three) -> None:
    """`raw:` is in no rule and `telemetry:secret` is denied: neither arrives elsewhere; `policy show` says why."""
    with (
        Steady(three.factory.bus, three.hq.bus, "raw:proc", rate_per_s=100) as raw,
        Steady(three.factory.bus, three.hq.bus, "telemetry:secret.key", rate_per_s=100) as secret,
        Steady(three.factory.bus, three.hq.bus, "telemetry:marker", rate_per_s=100) as marker,
    ):
        marker.flow(30)
        sent = [traffic.finish(timeout_s=0.1) for traffic in (raw, secret)]
        # The marker runs over the same link in the same order, so what was sent before it would be there.
        marker.flow(1)
        assert marker.finish().flawless
        assert [traffic.figures().received for traffic in (raw, secret)] == [0, 0]
    policy = three.factory("policy", "show")
    assert policy["export_allow"] == ["telemetry:*", "bench:*"]
    assert policy["export_deny"] == ["telemetry:secret*"]
    decided = {d["channel"]: d for d in policy["decisions"] if d["direction"] == "export"}
    for channel, rule, figures in (
        ("raw:proc", "default deny", sent[0]),
        ("telemetry:secret.key", "export.deny[0] telemetry:secret*", sent[1]),
    ):
        assert decided[channel]["allowed"] is False
        assert decided[channel]["messages"] == figures.published
        assert decided[channel]["rule"] == rule
    assert decided["telemetry:marker"]["allowed"] is True


def test_peers_are_listed_and_shown_by_the_beginning_of_their_id(three: Three) -> None:
    """Reputation starts at 1.0, and no cause has moved it."""
    peers = {peer["cluster"]: peer for peer in three.factory("peer", "ls")["peers"] if peer["state"] != "left"}
    assert set(peers) == {"hq", "store"}
    shown = three.factory("peer", "show", peers["hq"]["id"][:12])
    assert (shown["id"], shown["state"], shown["score"]) == (peers["hq"]["id"], "alive", 1.0)
    assert (shown["ignored"], shown["causes"]) == (False, [])
    assert 0 < shown["latency_ms"] < 1_000
    assert shown["addresses"] == [f"127.0.0.1:{three.hq.quic}"]
    with refused(5, "peer.unknown"):
        three.factory("peer", "show", "zzzz")


def test_links_are_added_listed_and_removed_by_hand(three: Three) -> None:
    """Two spokes are not linked by themselves; by hand they are, until the wish is taken back."""
    address = f"quic://127.0.0.1:{three.store.quic}"
    three.factory("link", "add", address)

    def by_hand() -> dict[str, object]:
        links = three.factory("link", "ls")["links"]
        return next((one for one in links if one["asked_by"] == "operator" and one["state"] == "up"), {})

    found = until("the direct link", by_hand)
    assert found["transport"] == "quic"
    assert found["why"]
    assert found["last_error"] == ""
    until("three links seen at hq", lambda: len(links_up(three.hq)) == 3)
    three.factory("link", "rm", address)
    until("its end seen at hq", lambda: len(links_up(three.hq)) == 2)
    assert [one["asked_by"] for one in three.factory("link", "ls")["links"]] == ["mesh"]
    with refused(5, "link.unknown"):
        three.factory("link", "rm", address)


def test_a_link_to_nowhere_says_what_it_tries(three: Three) -> None:
    """State, attempt, last error and next try of a link that does not stand are visible."""
    address = "127.0.0.1:9"
    three.factory("link", "add", address)

    def tried() -> dict[str, object]:
        links = three.factory("link", "ls")["links"]
        return next((one for one in links if one["address"] == address and one["last_error"]), {})

    found = until("a failed try", tried, timeout_s=12)
    assert found["state"] != "up"
    assert found["attempt"]
    assert found["rtt_ms"] is None
    three.factory("link", "rm", address)


def test_certificates_are_shown_and_rotated_without_a_link_falling(three: Three) -> None:
    """A new serial at once, the old leaf still valid, and the links do not notice."""
    before = three.hq("certs", "show")
    assert before["subject"].endswith(f"/hq/{before['node_id']}")
    after = three.hq("certs", "rotate")
    assert after["serial"] != before["serial"]
    assert after["previous_valid_until_ms"] == before["not_after_ms"]
    assert three.hq("certs", "show") == after
    assert three.hq.links_up() == 2


@pytest.mark.requirement("R-JN-7")
def test_who_leaves_is_seen_as_left_and_may_come_back_with_a_new_ticket(three: Three, mesh: LoopbackMesh) -> None:
    """Leaving is told, not guessed: nobody suspects, the quorum counts without it, and a new ticket brings it back."""
    with _joined_for_a_while(mesh, three.hq, "guest") as guest:
        until("a healthy mesh", lambda: healthy(three.hq, three.store, guest))
        guest("mesh", "leave")
        until("the farewell at hq", lambda: state_of(three.hq, "guest") == "left")
        until("the farewell at store", lambda: state_of(three.store, "guest") == "left")
        assert len(links_up(three.store)) == 2
        assert mesh_status(three.store)["partition"]["members"] == 3
        assert mesh_status(guest)["mesh"] is None
        with refused(2, "mesh.none"):
            guest("invite", "ls")
        ticket = three.hq("invite", "new", "--cluster", "guest")["ticket"]
        guest("mesh", "join", ticket)
        until("its return", lambda: state_of(three.hq, "guest") == "alive")
        until("a healthy mesh", lambda: healthy(three.hq, three.store, guest))
        with Steady(guest.bus, three.store.bus, "telemetry:again") as traffic:
            traffic.flow(10)
            assert traffic.finish().flawless


@contextmanager
def _joined_for_a_while(mesh: LoopbackMesh, hq: LoopbackNode, name: str) -> Iterator[LoopbackNode]:
    """One more member, which has left again at the end."""
    node = mesh.join(name, hq)
    yield node
    node("mesh", "leave")
    until(f"the farewell of {name}", lambda: state_of(hq, name) == "left")
    node.stop()
