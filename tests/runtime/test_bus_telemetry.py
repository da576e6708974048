"""A real node and its telemetry: what it tells of the bus, and that the bus does not notice when it fails."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from arqonmesh.config.load import loads
from arqonmesh.runtime.service import Service
from arqonmesh.runtime.status import node_status
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey
from tests.bridge.telemetry.conftest import receive
from tests.waiting import until

SETTINGS = """
node: {{cluster: hq}}
listen: {{quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "127.0.0.1:0", telemetry: "{telemetry}"}}
telemetry: {{batch_ms: 5, activity_s: 0.05, stats_s: 0.05}}
bus: {{auth: {{rooms: [{{rooms: ["secret:*"], join: granted, history: granted}}]}}}}
"""
Start = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    running: list[Service] = []

    async def start(telemetry: str = "127.0.0.1:0") -> Service:
        settings = loads(SETTINGS.format(telemetry=telemetry).encode())
        service = Service(settings, NodeKey.generate(), Store.open(tmp_path / "mesh.db"), tmp_path)
        running.append(service)
        await service.open()
        return service

    yield start
    for service in running:
        await service.close()


async def get(service: Service, path: str) -> tuple[int, Any]:
    url = "http://{}:{}{}".format(*service.http.address, path)

    def fetch() -> tuple[int, Any]:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()

    status, body = await asyncio.to_thread(fetch)
    return status, json.loads(body) if body.startswith(b"{") else body.decode()


async def say_and_hear(service: Service) -> None:
    """One client publishes, another hears it."""
    url = "ws://{}:{}/?type=human".format(*service.bus.address)
    async with connect(url, proxy=None) as one, connect(url, proxy=None) as other:
        for client in (one, other):
            await receive(client)
            await client.send('{"type":"join","channel":"a:b","v":1}')
            assert (await receive(client))["type"] == "response"
        await other.send('{"type":"event","channel":"a:b","payload":42,"v":1}')
        while (await receive(one)).get("payload") != 42:
            pass


@pytest.mark.requirement("R-BU-16")
@pytest.mark.requirement("R-BU-19")
async def test_agents_figures_and_the_standard_channels_reach_telemetry_clients(start: Start) -> None:
    """agent_activity of an agent that comes, publishes and goes; bus_stats; what is said on the streams' channels."""
    service = await start()
    assert service.telemetry.server.address is not None
    url = "ws://{}:{}/".format(*service.telemetry.server.address)
    heard: list[dict[str, Any]] = []
    async with connect(url, proxy=None) as watcher:
        assert (await receive(watcher))["type"] == "welcome"

        async def until_heard(wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
            while True:
                event = await receive(watcher)
                heard.append(event)
                if wanted(event):
                    return event

        bus = "ws://{}:{}/?type=ai-agent&name=planner".format(*service.bus.address)
        async with connect(bus, proxy=None) as agent:
            for channel in ("work:tasks", "integriguard:telemetry-stream", "dashboard-events"):
                frame = {"type": "event", "channel": channel, "payload": {"eventType": "plan.made", "n": 1}, "v": 1}
                await agent.send(json.dumps(frame))
            said = [await until_heard(lambda event: event["eventType"] == "plan.made") for _ in range(2)]
            assert [event["stream"] for event in said] == ["integriguard:telemetry-stream", "dashboard-events"]
            told = await until_heard(lambda event: event["payload"].get("activity") == "publish")
            assert (told["source"], told["payload"]["messages"]) == ("planner", 3)
        await until_heard(lambda event: event["payload"].get("activity") == "disconnect")
        stats = await until_heard(lambda event: event["eventType"] == "bus_stats")
        assert (stats["stream"], stats["payload"]["messages_total"]) == ("dashboard-events", 3)
    first = next(event for event in heard if event["eventType"] == "agent_activity")
    assert first["payload"]["activity"] == "connect"


@pytest.mark.requirement("R-BU-14")
async def test_the_agents_of_a_tenant_are_not_told_to_who_has_none(start: Start) -> None:
    """An agent of a tenant comes, publishes and goes, then one without a tenant: only of that is anybody told."""
    service = await start()
    assert service.telemetry.server.address is not None
    telemetry = "ws://{}:{}/?eventType=agent_activity".format(*service.telemetry.server.address)
    bus = "ws://{}:{}".format(*service.bus.address)
    async with connect(telemetry, proxy=None) as watcher:
        await receive(watcher)
        for path in ("/t/acme?name=theirs", "/?name=ours"):
            async with connect(bus + path, proxy=None) as agent:
                await receive(agent)
                await agent.send('{"type":"event","channel":"a:b","payload":1}')
        told = [await receive(watcher) for _ in range(2)]
    assert [event["source"] for event in told] == ["ours", "ours"]
    assert service.telemetry.server.hub.counters["taken"] >= 4


@pytest.mark.requirement("R-BU-17")
@pytest.mark.requirement("R-HT-3")
async def test_a_telemetry_port_that_is_taken_degrades_the_node_and_the_bus_works(start: Start) -> None:
    """The node starts, messages flow, /health says what is missing and stays 200, and metrics too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = await start(f"127.0.0.1:{taken.getsockname()[1]}")
        await say_and_hear(service)
        status, health = await get(service, "/health")
        assert (status, health["status"]) == (200, "degraded")
        assert health["components"]["telemetry"]["state"] == "failed"
        assert {"store", "bus", "transport", "mesh", "gossip", "router", "history"} <= set(health["components"])
        _, metrics = await get(service, "/metrics")
        assert "arqon_telemetry_up 0.0" in metrics


@pytest.mark.requirement("R-BU-17")
async def test_a_telemetry_that_crashes_at_every_step_is_not_felt_by_the_bus(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking, sending, counting: each raises; clients come, talk and go as ever."""
    service = await start()

    def broken(*args: object, **named: object) -> None:
        raise RuntimeError("a bug of ours")

    for place, name in (
        (service.telemetry.server.hub, "take"),
        (service.telemetry.server.hub, "drain"),
        (service.telemetry.activity, "connected"),
        (service.telemetry.activity, "disconnected"),
        (service.telemetry.activity, "look"),
    ):
        monkeypatch.setattr(place, name, broken)
    await say_and_hear(service)
    url = "ws://{}:{}/".format(*service.bus.address)
    async with connect(url, proxy=None) as client:
        await receive(client)
        await client.send('{"type":"telemetry","payload":{"eventType":"x"},"v":1}')
        await client.send('{"type":"ping","v":1}')
        while (await receive(client)).get("type") != "response":
            pass
    await until(lambda: service.telemetry.server.counters["failures"] > 4)
    assert (await get(service, "/health"))[1]["components"]["telemetry"]["ok"] is False
    monkeypatch.undo()
    await until(lambda: service.telemetry.server.health()["ok"])


@pytest.mark.requirement("R-OB-6")
async def test_rooms_latencies_and_commands_are_in_status_and_metrics(start: Start) -> None:
    """Per room; from read to write; per command; as an OpenMetrics-readable page."""
    service = await start()
    await say_and_hear(service)
    _, status = await get(service, "/status")
    assert status["bus"]["rooms"][0]["room"] == "a"
    assert status["bus"]["commands"]["join_channel"]["count"] == 2
    assert service.bus.written.count > 0
    _, metrics = await get(service, "/metrics")
    for line in (
        'arqon_bus_room_messages_total{room="a"} 1.0',
        'arqon_bus_command_seconds_count{command="join_channel"} 2.0',
        'arqon_bus_delivery_seconds_bucket{le="+Inf"}',
    ):
        assert line in metrics
    _, rooms = await get(service, "/rooms")
    assert rooms["rooms"][0]["messages"] == 1


@pytest.mark.requirement("R-BU-14")
@pytest.mark.requirement("R-OB-6")
async def test_rooms_are_told_to_who_may_see_a_channel_of_them(start: Start) -> None:
    """A room that listings hide is hidden here too, by name as well."""
    service = await start()
    async with connect("ws://{}:{}/".format(*service.bus.address), proxy=None) as publisher:
        await receive(publisher)
        for channel in ("secret:plans", "a:b"):
            frame = {"type": "event", "channel": channel, "payload": 1, "metadata": {"ack": True}}
            await publisher.send(json.dumps(frame))
            assert (await receive(publisher))["status"] == "success"
    for query, names in (("", ["a"]), ("?room=secret", []), ("?room=a", ["a"])):
        _, rooms = await get(service, f"/rooms{query}")
        assert ([room["room"] for room in rooms["rooms"]], rooms["total"]) == (names, len(names))


@pytest.mark.requirement("R-HT-2")
async def test_telemetry_can_be_switched_off_and_http_too(tmp_path: Path) -> None:
    """Empty addresses: nothing listens, nothing is gathered, the bus works."""
    settings = SETTINGS.format(telemetry="").replace('http: "127.0.0.1:0"', 'http: ""')
    service = Service(loads(settings.encode()), NodeKey.generate(), Store.open(tmp_path / "mesh.db"), tmp_path)
    await service.open()
    try:
        await say_and_hear(service)
        assert service.telemetry.server.health()["state"] == "off"
        assert node_status(service).http == ""
        assert len(service.telemetry.server.hub) == 0 and service.node.bus.observed == {}
    finally:
        await service.close()
