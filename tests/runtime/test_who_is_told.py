"""What HTTP tells, and whom: rooms and tenants are in nobody's figures who could not read them on the bus."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from arqonmesh.config.load import loads
from arqonmesh.core.bus import ClientInfo
from arqonmesh.core.bus.identity import Identity
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey

SETTINGS = """
node: {{cluster: hq}}
listen: {{quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "{http}", telemetry: ""}}
bus: {{auth: {{rooms: [{{rooms: ["secret:*"], join: granted, history: granted}},
                      {{rooms: ["hall:*"], presence: admin}}]}}}}
"""
HIDDEN = ('room="secret"', 'room="acme|plant"', 'room="a"')
Get = Callable[..., Any]
pytestmark = pytest.mark.requirement("R-BU-14")


class Told:
    """A running node, and what it answers."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def get(self, path: str, key: str = "", **headers: str) -> tuple[int, Any]:
        """(status, body): JSON where it is an object, else text."""
        host, port = self.service.http.address
        url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}{path}"
        asked = urllib.request.Request(url, headers={**headers, **({"X-API-Key": key} if key else {})})

        def fetch() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as refused:
                with refused:
                    return refused.code, refused.read().decode()

        status, body = await asyncio.to_thread(fetch)
        return status, json.loads(body) if body.startswith("{") else body

    def publish(self, tenant: str, channel: str) -> None:
        bus, now = self.service.node.bus, self.service.host.now()
        client = bus.new_client_id()
        admin = Identity("ann", "admin", tenant, via="token")
        bus.client_connected(now, client, ClientInfo("127.0.0.1:5", "arqon.v1", "", identity=admin))
        bus.client_frames(now, client, [json.dumps({"type": "event", "channel": channel, "payload": 1}).encode()])
        bus.client_disconnected(now, client)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    running: list[Service] = []

    async def begin(http: str = "127.0.0.1:0") -> Told:
        settings = loads(SETTINGS.format(http=http).encode())
        service = Service(settings, NodeKey.generate(), Store.open(tmp_path / "mesh.db"), tmp_path)
        running.append(service)
        await service.open()
        told = Told(service)
        for tenant, channel in (("", "secret:plans"), ("acme", "plant:press"), ("", "a:b")):
            told.publish(tenant, channel)
        return told

    yield begin
    for service in running:
        await service.close()


@pytest.mark.requirement("R-OB-6")
async def test_a_scrape_without_a_credential_reads_sums_and_no_rooms(start: Get) -> None:
    """As soon as there is a key: totals stay, names go; a client reads the rooms it may see, an admin all."""
    told = await start()
    admin, _ = told.service.keys.new("root", "admin")
    guest, _ = told.service.keys.new("panel", "guest")
    acme, _ = told.service.keys.new("acme-panel", "user", tenant="acme")
    told.service.node.bus.limited.note("acme", "press-7", 5)
    status, nobody = await told.get("/metrics")
    assert status == 200
    assert 'arqon_bus_rate_limited_total{subject="(other)",tenant=""} 5.0' in nobody
    assert not [name for name in HIDDEN if name in nobody]
    assert "arqon_bus_messages_published_total 3.0" in nobody
    assert 'arqon_bus_room_messages_total{room="(other)"} 3.0' in nobody
    for key, seen in ((admin, HIDDEN), (guest, ('room="a"',)), (acme, ('room="acme|plant"',))):
        _, answered = await told.get("/metrics", key)
        assert [name for name in HIDDEN if name in answered] == list(seen)
        limited = 'arqon_bus_rate_limited_total{subject="press-7",tenant="acme"} 5.0'
        assert (limited in answered) == (key == admin)
    assert (await told.get("/metrics", "arq_rubbish"))[0] == 401


async def test_the_status_is_an_operators_and_others_read_what_health_says(start: Get) -> None:
    """No rooms, no recorder, no counts of other tenants."""
    told = await start()
    admin, _ = told.service.keys.new("root", "admin")
    acme, _ = told.service.keys.new("acme-root", "admin", tenant="acme")
    for key in ("", acme):
        _, answered = await told.get("/status", key)
        assert set(answered) == {"status", "components"}
    assert "bus" in (await told.get("/status", admin))[1]


async def test_beyond_loopback_nobody_is_told_without_a_credential(start: Get) -> None:
    """The bus itself may trust its own loopback."""
    told = await start("0.0.0.0:0")
    _, metrics = await told.get("/metrics")
    assert not [name for name in HIDDEN if name in metrics]
    assert "components" in (await told.get("/status"))[1]


async def test_a_node_of_which_nobody_said_who_may_use_it_tells_all_on_loopback(start: Get) -> None:
    """The development default, as for the bus."""
    told = await start()
    _, metrics = await told.get("/metrics")
    assert all(name in metrics for name in HIDDEN)
    assert "bus" in (await told.get("/status"))[1]


async def test_a_page_whose_name_leads_here_reads_nothing_over_http(start: Get) -> None:
    """DNS rebinding: the page's own name in `Host`, and no credential. A key opens by any name."""
    told = await start()
    for path in ("/history?channel=a:b", "/channels", "/rooms"):
        status, refused = await told.get(path, Host="evil.example:9180")
        assert (status, refused["error"]["code"]) == (403, "http.host")
        assert refused["error"]["hint"]
    assert "components" in (await told.get("/status", Host="evil.example"))[1]
    _, metrics = await told.get("/metrics", Host="evil.example")
    assert not [name for name in HIDDEN if name in metrics]
    for host in ("localhost:9180", "127.0.0.1", "[::1]:9180", "app.localhost"):
        assert (await told.get("/history?channel=a:b", Host=host))[0] == 200
    key, _ = told.service.keys.new("proxy", "user")
    assert (await told.get("/history?channel=a:b", key, Host="bus.example.org"))[0] == 200


async def test_the_sum_of_the_other_rooms_is_told_to_operators(start: Get) -> None:
    """It counts rooms of all tenants."""
    told = await start()
    told.service.node.bus.analytics.other.messages = 7
    admin, _ = told.service.keys.new("root", "admin")
    guest, _ = told.service.keys.new("panel", "guest")
    counted = [(await told.get("/rooms", key))[1]["other"]["messages"] for key in (admin, guest)]
    assert counted == [7, 0]


async def test_how_many_are_in_a_channel_is_told_with_presence_alone(start: Get) -> None:
    """As by the join's answer, `list_channels` and `channel_info`; of a room in /rooms and /metrics, too."""
    told = await start()
    told.publish("", "hall:one")
    admin, _ = told.service.keys.new("root", "admin")
    user, _ = told.service.keys.new("panel", "user")
    for key, members in ((admin, 0), (user, None)):
        _, answered = await told.get("/channels?room=hall", key)
        assert [channel["members"] for channel in answered["channels"]] == [members]
        _, answered = await told.get("/rooms?room=hall", key)
        assert [room["subscribers"] for room in answered["rooms"]] == [members]
        _, scraped = await told.get("/metrics", key)
        assert ('arqon_bus_room_subscribers{room="hall"}' in scraped) == (members is not None)
        assert 'arqon_bus_room_messages_total{room="hall"}' in scraped
