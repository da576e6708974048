"""Tenants do not see each other: not in channels, patterns, history, listings, presence, private messages, imports."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.events import Imported
from arqonmesh.ids import ClientId, NodeId
from tests.core.bus.house import House

pytestmark = pytest.mark.requirement("R-BU-14")
TENANTS = ("", "acme", "globex")
CHANNEL = "plant:press"


def someone(house: House, tenant: str, subprotocol: str = "arqon.v1") -> ClientId:
    """An admin of this tenant."""
    return house.connect(subprotocol, identity=Identity("x", "admin", tenant))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(TENANTS),
        st.sampled_from(["join", "event", "leave", "create", "private"]),
        st.sampled_from([CHANNEL, "plant:*", "*", "chat:lobby"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60)
@given(STEPS)
def test_whatever_clients_do_nobody_hears_of_another_tenant(steps: list[tuple[str, str, str]]) -> None:
    """Every frame that anyone gets speaks of that tenant's clients and payloads alone."""
    house = House()
    clients = {tenant: [someone(house, tenant), someone(house, tenant)] for tenant in TENANTS}
    for tenant, word, channel in steps:
        first, second = clients[tenant]
        if word == "private":
            strangers = [one for other in TENANTS if other != tenant for one in clients[other]]
            house.send(first, {"type": "private", "to": [second, *strangers], "payload": {"of": tenant}})
        elif word == "event":
            if not channel.endswith("*"):
                house.send(first, {"type": "event", "channel": channel, "payload": {"of": tenant}})
        else:
            house.send(second, {"type": word, "channel": channel})
    for tenant, (first, second) in clients.items():
        for one in (first, second):
            house.send(one, {"type": "list_channels"}, {"type": "status"}, {"type": "history", "channel": CHANNEL})
            for frame in house.take(one):
                frame.pop("to", None)  # as its sender wrote it
                text = json.dumps(frame)
                for other in TENANTS:
                    if other == tenant:
                        continue
                    assert f'"of": "{other}"' not in text
                    if frame["type"] == "error":
                        continue  # it names whom the client itself named
                    assert all(stranger not in text for stranger in clients[other]), frame
                assert "|" not in text


def test_the_same_name_is_another_channel_for_each_tenant() -> None:
    """Members, history, counts and info are each tenant's own, under the name that its clients use."""
    house = House()
    for tenant in TENANTS:
        publisher, reader = someone(house, tenant), someone(house, tenant, subprotocol="")
        house.send(reader, {"type": "command", "command": "join_channel", "args": {"channel": CHANNEL}})
        house.take(reader)
        house.send(publisher, {"type": "event", "channel": CHANNEL, "payload": tenant})
        (heard,) = house.take(reader)
        assert (heard["room"], heard["channel"]) == ("plant", "press")
        history = house.ask(publisher, {"type": "history", "channel": CHANNEL})["payload"]
        assert [frame["payload"] for frame in history["messages"]] == [tenant]
        info = house.ask(publisher, {"type": "info", "channel": CHANNEL})["payload"]["channel"]
        assert (info["id"], info["member_count"]) == (CHANNEL, 1)
    assert [event.channel for event in house.published] == [CHANNEL, f"acme|{CHANNEL}", f"globex|{CHANNEL}"]


@pytest.mark.parametrize("name", ["acme|plant:press", "acme|plant", "plant:acme|press", "acme|*", "|:x"])
def test_no_client_can_write_the_name_inside(name: str) -> None:
    """Not as channel, not as room, not as pattern."""
    house = House()
    stranger = someone(house, "globex")
    for frame in (
        {"type": "join", "channel": name},
        {"type": "history", "channel": name},
        {"type": "event", "channel": name, "payload": 1},
        {"type": "join", "room": name},
        {"type": "command", "command": "list_channels", "args": {"room": name}},
    ):
        told = house.ask(stranger, frame)
        assert told["type"] == "error" or told["payload"].get("channels") == [], frame
    assert house.published == []


def test_an_admin_of_a_tenant_is_nobody_elsewhere() -> None:
    """No private message, no deletion, no look."""
    house = House()
    admin, other = someone(house, "acme"), someone(house, "globex")
    house.send(other, {"type": "join", "channel": CHANNEL})
    house.take(other)
    told = house.ask(admin, {"type": "private", "to": [other], "payload": 1})
    assert told["payload"]["code"] == "bus.no-such-client"
    assert house.ask(admin, {"type": "delete_channel", "channel": CHANNEL})["type"] == "error"
    assert house.take(other) == []


def canonical(payload: str) -> bytes:
    return (
        b'{"id":"arq_x","type":"event","room":"plant","channel":"press","from":"arq_y","payload":"%b",'
        b'"timestamp":"2026-01-01T00:00:00.000Z","v":1}' % payload.encode()
    )


def test_what_comes_from_other_nodes_and_clusters_stays_with_its_tenant() -> None:
    """The name inside travels beside the frame; a made-up tenant is refused."""
    house = House()
    readers = {tenant: someone(house, tenant) for tenant in TENANTS}
    for reader in readers.values():
        house.send(reader, {"type": "join", "channel": "*"})
        house.take(reader)
    for channel in (f"acme|{CHANNEL}", f"a b|{CHANNEL}", f"acme|globex|{CHANNEL}", f"|{CHANNEL}"):
        house.tell(Imported(NodeId("f" * 32), "far", channel, (canonical(channel),)))
    heard = {tenant: [frame["payload"] for frame in house.take(reader)] for tenant, reader in readers.items()}
    assert heard == {"": [], "acme": [f"acme|{CHANNEL}"], "globex": []}
    assert house.bus.counters["import_refused"] == 3


def test_status_counts_the_clients_own_bus_and_everything_for_an_admin() -> None:
    """Who has no tenant does not hear of those who have one."""
    house = House()
    acme = house.connect(identity=Identity("ann", "user", "acme"))
    plain, admin = house.connect(identity=Identity("bob", "user")), house.connect(identity=Identity("root", "admin"))
    for _ in range(3):
        house.send(acme, {"type": "event", "channel": CHANNEL, "payload": 1})
    house.send(plain, {"type": "event", "channel": CHANNEL, "payload": 1})
    told = [house.ask(client, {"type": "status"})["payload"] for client in (acme, plain, admin)]
    assert [status["connections"]["active"] for status in told] == [1, 2, 3]
    assert [status["connections"]["cluster"] for status in told] == [1, 2, 3]
    assert [status["channels"] for status in told] == [1, 1, 2]
    assert [status["messages"]["published"] for status in told] == [3, 1, 4]
    assert ["total" in status["connections"] for status in told] == [False, False, True]
