"""Private messages and deletions across the nodes of a cluster."""

from __future__ import annotations

import json

import pytest

from arqonmesh.config.model import Rules
from arqonmesh.core.bus.cluster.calls import DELETE, PRIVATE
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.events import Imported
from arqonmesh.core.federation.patterns import INSIDE, RuleSet
from tests.core.bus.cluster.town import Town, only


@pytest.fixture
def two() -> Town:
    town = Town("a", "b")
    town.mesh()
    town.settle()
    return town


@pytest.mark.requirement("R-BU-9")
@pytest.mark.requirement("R-BU-21")
def test_a_private_message_finds_its_client_at_another_node(two: Town) -> None:
    """In the dialect that the client speaks, marked as private, once; the sender is told how many it reached."""
    a, b = two["a"], two["b"]
    sender, here = a.guest(), a.guest()
    there, old = b.guest(), b.guest(subprotocol="")
    b.send(old, {"version": "1.0", "type": "message", "channel": "x:y", "payload": {}})
    two.settle()
    b.take(old)
    frame = {"type": "private", "to": [there, here, old], "payload": {"n": 1}, "metadata": {"ack": True}}
    a.send(sender, frame | {"correlation_id": "c"})
    two.settle()
    (acknowledged,) = a.take(sender)
    assert acknowledged["payload"]["delivered"] == 3
    (near,), (far,), (legacy,) = a.take(here), b.take(there), b.take(old)
    assert near == far
    assert (far["type"], far["from"], far["payload"], far["correlation_id"]) == ("private", sender, {"n": 1}, "c")
    assert (legacy["type"], legacy["private"], legacy["to_client"], legacy["from"]) == ("message", True, old, sender)
    assert (legacy["id"], legacy["payload"]) == (far["id"], {"n": 1})
    assert legacy["timestamp"].endswith("+00:00")


def test_who_is_nowhere_in_the_cluster_is_named(two: Town) -> None:
    """The others have the message all the same."""
    a, b = two["a"], two["b"]
    sender, there = a.guest(), b.guest()
    two.settle()
    answer = a.ask(sender, {"type": "private", "to": [there, "arq_nobody"], "payload": 1})
    two.settle()
    assert answer["payload"]["code"] == "bus.no-such-client"
    assert "arq_nobody" in answer["payload"]["message"]
    assert [frame["payload"] for frame in b.take(there)] == [1]


def test_tenants_do_not_reach_each_other_across_nodes(two: Town) -> None:
    """The sender's node refuses; a node that is asked all the same hands nothing over."""
    a, b = two["a"], two["b"]
    acme = Identity(tenant="acme")
    sender, other, mate = a.guest(identity=acme), b.guest(), b.guest(identity=acme)
    two.settle()
    for stranger in (other, a.guest()):
        answer = a.ask(sender, {"type": "private", "to": [stranger], "payload": 1})
        assert answer["payload"]["code"] == "bus.no-such-client"
    a.send(sender, {"type": "private", "to": [mate], "payload": 2})
    two.settle()
    (frame,) = b.take(mate)
    call = {"to": [other], "tenant": "acme", "frame": frame}
    b.tell(Imported(a.id, "hq", f"{PRIVATE}|acme", (json.dumps(call).encode(),)))
    assert b.take(other) == []


@pytest.mark.requirement("R-RE-1")
def test_a_call_says_the_tenant_whose_data_it_carries_where_federation_can_see_it(two: Town) -> None:
    """Pins are asked by the channel; a call under another tenant's name was judged as that one's, and is refused."""
    a, b = two["a"], two["b"]
    acme = Identity(tenant="acme")
    sender, mate = a.guest(identity=acme), b.guest(identity=acme)
    two.settle()
    a.send(sender, {"type": "private", "to": [mate], "payload": 2})
    two.settle()
    (frame,) = b.take(mate)
    call = json.dumps({"to": [mate], "tenant": "acme", "frame": frame}).encode()
    for channel in (PRIVATE, f"{PRIVATE}|umbrella"):
        b.tell(Imported(a.id, "hq", channel, (call,)))
    assert b.take(mate) == [] and b.bus.counters["import_refused"] == 2
    b.tell(Imported(a.id, "hq", f"{PRIVATE}|acme", (call,)))
    assert len(b.take(mate)) == 1


@pytest.mark.parametrize("call", [b"", b"[]", b'{"to":[]}', b'{"to":["CLIENT"],"tenant":"","frame":7}', b"\xff"])
def test_a_call_that_makes_no_sense_is_counted_and_harms_nobody(two: Town, call: bytes) -> None:
    """Whatever another node says."""
    b = two["b"]
    client = b.guest(subprotocol="")
    b.take(client)
    for channel in (PRIVATE, DELETE, "$cluster:other"):
        b.tell(Imported(two["a"].id, "hq", channel, (call.replace(b"CLIENT", client.encode()),)))
    assert b.bus.counters["import_refused"] >= 2
    assert b.take(client) == []


def test_calls_of_another_cluster_are_not_answered(two: Town) -> None:
    """Only this cluster's nodes hand messages to its clients."""
    b = two["b"]
    member = b.guest("lab:bench")
    call = json.dumps({"channel": "lab:bench", "by": "x"}).encode()
    b.tell(Imported(two["a"].id, "elsewhere", DELETE, (call,)))
    assert b.take(member) == []
    b.tell(Imported(two["a"].id, "hq", DELETE, (call,)))
    assert only(b.take(member), "channel_deleted")


def test_no_export_rule_lets_calls_out() -> None:
    """Not even `*`."""
    rules = RuleSet("export", Rules(allow=("*", "$cluster:*")))
    assert rules.ruling(PRIVATE) == rules.ruling(DELETE) == INSIDE
    assert rules.ruling("a:b").allowed


@pytest.mark.requirement("R-BU-11")
def test_deleting_a_channel_ends_it_on_every_node(two: Town) -> None:
    """Members at both nodes are told, once, and are in it no longer; it is listed nowhere."""
    a, b = two["a"], two["b"]
    admin = a.guest("lab:bench", identity=Identity(role="admin"))
    here, there = a.guest("lab:bench"), b.guest("lab:bench")
    b.send(there, {"type": "create_channel", "channel": "lab:bench"})
    two.settle()
    for home, client in ((a, here), (b, there)):
        home.take(client)
    answer = a.ask(admin, {"type": "delete_channel", "channel": "lab:bench"})
    assert answer["payload"]["members_removed"] == 3
    two.settle()
    for home, client in ((a, here), (b, there)):
        (told,) = only(home.take(client), "channel_deleted")
        assert (told["channel"], told["client_id"]) == ("lab:bench", admin)
    assert a.presence() == b.presence() == {}


def test_a_channel_that_only_another_node_has_can_be_joined_told_of_and_deleted(two: Town) -> None:
    """It does not matter where a client is connected."""
    a, b = two["a"], two["b"]
    maker = b.guest()
    b.send(maker, {"type": "create_channel", "channel": "lab:kept"})
    two.settle()
    admin = a.guest(identity=Identity(role="admin"))
    info = a.ask(admin, {"type": "channel_info", "channel": "lab:kept"})["payload"]["channel"]
    assert (info["member_count"], info["members"]) == (0, [])
    assert not a.ask(admin, {"type": "create_channel", "channel": "lab:kept"})["payload"]["created"]
    a.send(admin, {"type": "delete_channel", "channel": "lab:kept"})
    two.settle()
    assert b.presence() == a.presence() == {}


@pytest.mark.requirement("R-BU-9")
def test_aliases_lead_to_people_in_shared_channels_wherever_they_are(two: Town) -> None:
    """human and dashboard by type; owner by the credentials; never the sender, never another tenant."""
    a, b = two["a"], two["b"]
    ann = Identity(subject="ann")
    agent = a.guest("lab:bench", kind="ai-agent", identity=ann)
    person, panel = b.guest("lab:bench", kind="human"), a.guest("lab:bench", kind="dashboard")
    apart, mine = b.guest("lab:other", kind="human"), b.guest(kind="human", identity=ann)
    stranger = b.guest("lab:bench", kind="human", identity=Identity(tenant="acme"))
    two.settle()
    for home, client in ((a, agent), (b, person), (a, panel)):
        home.take(client)
    for alias, reached in (("human", person), ("dashboard", panel), ("owner", mine)):
        a.send(agent, {"type": "private", "to": alias, "payload": alias, "metadata": {"ack": True}})
        two.settle()
        assert [answer["payload"]["delivered"] for answer in a.take(agent)] == [1]
        for home, client in ((b, person), (a, panel), (b, apart), (b, mine), (b, stranger)):
            got = [frame["payload"] for frame in home.take(client) if frame["type"] == "private"]
            assert got == ([alias] if client == reached else [])
    assert (
        a.ask(panel, {"type": "private", "to": ["dashboard"], "payload": 1})["payload"]["code"] == "bus.no-such-client"
    )
