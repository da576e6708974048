"""The telemetry server over real WebSockets: what clients get, and what their misbehaviour and ours comes to."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arqonmesh.bridge.auth.api_keys import ApiKeys
from arqonmesh.bridge.auth.authenticator import Authenticator, wall_clock_ms
from arqonmesh.bridge.telemetry import DASHBOARD_STREAM, TELEMETRY_STREAM
from arqonmesh.bridge.telemetry import server as server_module
from arqonmesh.config.model import AuthSettings, BusSettings, JwtSettings
from tests.bridge.telemetry.conftest import Start, Watched, ask, receive
from tests.waiting import until


@pytest.mark.requirement("R-BU-16")
async def test_an_event_reaches_the_others_whole_and_enriched(start: Start) -> None:
    """id, node, cluster, timestamp and the stream are added; the payload is as it came."""
    watched = await start()
    async with watched.client() as dashboard, watched.client() as agent:
        await agent.send('{"type":"telemetry","eventType":"door.opened","source":"porch","payload":{"door": 3 }}')
        event = await receive(dashboard)
    assert event == {
        "id": "arq_0",
        "type": "telemetry",
        "eventType": "door.opened",
        "source": "porch",
        "stream": TELEMETRY_STREAM,
        "node": "n" * 32,
        "cluster": "hq",
        "timestamp": "2026-03-01T12:00:00.000Z",
        "payload": {"door": 3},
    }


@pytest.mark.requirement("R-BU-16")
@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "telemetry", "payload": {"x": 1}}, "telemetry.event-type"),
        ({"type": "telemetry", "eventType": "x"}, "telemetry.payload"),
        ({"type": "telemetry", "eventType": "x", "payload": None}, "telemetry.payload"),
        ({"type": "telemetry", "eventType": "x" * 200, "payload": 1}, "telemetry.field"),
        ({"type": "telemetry", "eventType": 5, "payload": 1}, "telemetry.field"),
        ({"type": "subscribe", "sources": ["x"] * 100}, "telemetry.filter"),
        ({"type": "dance"}, "telemetry.type"),
    ],
)
async def test_a_frame_that_is_no_event_is_refused_with_its_reason(start: Start, frame: object, code: str) -> None:
    """eventType and payload are required; nothing of it reaches anyone, and the client stays."""
    watched = await start()
    async with watched.client() as client:
        await client.send(json.dumps(frame))
        assert (await receive(client))["error"]["code"] == code
        assert (await ask(client, {"type": "ping", "id": "7"})) == {"type": "pong", "id": "7"}
    assert watched.server.hub.counters["taken"] == 0


async def test_text_that_is_not_utf8_reaches_nobody(start: Start) -> None:
    """A payload goes on as it came, and whoever watches would have to close at such a one (RFC 6455, 8.1)."""
    watched = await start()
    async with watched.client() as dashboard, watched.client() as agent:
        await agent.send(b'{"type":"telemetry","eventType":"x","payload":"\xff"}', text=True)
        assert (await receive(agent))["error"]["code"] == "telemetry.json"
        await agent.send('{"type":"telemetry","eventType":"y","payload":1}')
        assert (await receive(dashboard))["eventType"] == "y"


@pytest.mark.requirement("R-BU-17")
async def test_subscribers_get_what_they_filter_for(start: Start) -> None:
    """By type, by source, by stream; in the URL or with `subscribe`; patterns end in `*`."""
    watched = await start()
    async with watched.client("?eventType=door.*&source=porch") as by_url, watched.client() as by_frame:
        told = await ask(by_frame, {"type": "subscribe", "streams": [DASHBOARD_STREAM], "eventTypes": ["a", "b"]})
        assert (told["type"], told["streams"], told["event_types"]) == ("subscribed", [DASHBOARD_STREAM], ["a", "b"])
        for event_type, source, stream in (
            ("door.opened", "cellar", TELEMETRY_STREAM),
            ("window.opened", "porch", TELEMETRY_STREAM),
            ("a", "x", TELEMETRY_STREAM),
            ("c", "x", DASHBOARD_STREAM),
            ("door.shut", "porch", TELEMETRY_STREAM),
            ("b", "x", DASHBOARD_STREAM),
        ):
            watched.server.tell(event_type, {}, source=source, stream=stream)
        assert (await receive(by_url))["eventType"] == "door.shut"
        assert (await receive(by_frame))["eventType"] == "b"


@pytest.mark.requirement("R-BU-17")
@pytest.mark.requirement("R-BU-28")
async def test_who_asks_for_batches_gets_all_that_waited_in_one_frame(start: Start) -> None:
    """As many as wait, at most `batch_events`; the order holds."""
    watched = await start(batch_events=4, batch_ms=60_000)
    async with watched.client("?batch=1") as client:
        for number in range(8):
            watched.tell("x", number=number)
        batches = [await receive(client), await receive(client)]
    assert [(batch["type"], batch["count"]) for batch in batches] == [("telemetry_batch", 4)] * 2
    numbers = [event["payload"]["number"] for batch in batches for event in batch["events"]]
    assert numbers == list(range(8))


async def test_a_source_that_never_subscribed_is_sent_nothing_but_answers(start: Start) -> None:
    """Else what only sends would have to read everyone's telemetry; who subscribed before goes on listening."""
    watched = await start()
    async with watched.client() as source, watched.client() as both, watched.client() as third:
        await source.send('{"type":"telemetry","eventType":"one","payload":1}')
        assert (await receive(both))["eventType"] == "one"
        assert (await receive(third))["eventType"] == "one"
        assert (await ask(both, {"type": "subscribe"}))["type"] == "subscribed"
        await both.send('{"type":"telemetry","eventType":"two","payload":2}')
        assert (await receive(both))["eventType"] == "two"
        assert (await ask(source, {"type": "ping"}))["type"] == "pong"
        assert (await ask(third, {"type": "unsubscribe"}))["type"] == "telemetry"  # "two", sent before
        assert (await receive(third))["type"] == "unsubscribed"


async def test_fragments_are_put_together_and_control_frames_answered(start: Start) -> None:
    """RFC 6455, 5.4 and 5.5."""
    watched = await start()
    async with watched.client() as client, watched.client() as other:
        await client.send(['{"type":"telemetry",', '"eventType":"x",', '"payload":1}'])
        assert (await receive(other))["eventType"] == "x"
        await (await client.ping())
        await client.send(b"binary")
        with pytest.raises(ConnectionClosed) as closed:
            await receive(client)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1003


@pytest.mark.requirement("R-BU-17")
async def test_a_client_that_does_not_read_misses_events_and_is_told_how_many(start: Start) -> None:
    """What waits for it is bounded; the others get everything; when it reads again, it hears what it missed."""
    watched = await start(buffer_bytes_max=100_000)
    async with watched.client() as good:
        reader, writer = await asyncio.open_connection(*watched.server.address, limit=1_000)  # type: ignore[misc]
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await until(lambda: watched.server.client_count == 2)
        big = "x" * 50_000
        sent = 0
        while watched.server.counters["missed"] < 5:
            watched.tell("big", text=big)
            sent += 1
            assert (await receive(good))["payload"]["text"] == big
            assert sent < 1_000
        bad = [feed for feed in watched.server._feeds if feed.missed]
        assert len(bad) == 1 and bad[0].unsent_bytes() < 300_000
        data, told = b"", False
        while b"telemetry_missed" not in data:
            if bad[0].unsent_bytes() == 0 and not told:
                told = True
                watched.tell("after")
            data = data[-100:] + await asyncio.wait_for(reader.read(1 << 16), 10)
        writer.transport.abort()
        assert (await receive(good))["eventType"] == "after"


@pytest.mark.requirement("R-BU-17")
async def test_a_client_that_is_stuck_is_cut_off(start: Start) -> None:
    """Nothing read for `STUCK_S`; and one that answers no ping is half-open."""
    watched = await start(buffer_bytes_max=1)
    async with watched.client("?eventType=none"):
        feed = next(iter(watched.server._feeds))
        feed.look_after(0.0)
        feed.heard = False
        feed.look_after(20.0)
        assert watched.server.counters["half-open"] == 1


@pytest.mark.requirement("R-BU-17")
async def test_a_port_that_is_taken_is_told_and_tried_again(start: Start) -> None:
    """`start` returns, `health` says why, and events go nowhere; later the port is free, and all is well."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        watched = await start(port=port, retry_s=0.01)
        health = watched.server.health()
        assert (health["ok"], health["state"]) == (False, "failed")
        assert "listen.telemetry" in health["reason"]
        assert watched.server.address is None
        watched.tell("x")
    await until(lambda: watched.server.health()["ok"])
    async with watched.client() as client:
        watched.tell("y")
        assert (await receive(client))["eventType"] in ("x", "y")


@pytest.mark.requirement("R-BU-17")
async def test_a_crash_while_sending_is_told_counted_and_over_with_the_next_batch(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody who handed over an event hears of it; the timer runs on."""
    monkeypatch.setattr(server_module, "_AFTER_FAILURE_S", 0.01)
    watched = await start()
    hub = watched.server.hub
    drain = hub.drain

    def broken(now: int) -> list[object]:
        raise RuntimeError("a bug of ours")

    async with watched.client() as client:
        monkeypatch.setattr(hub, "drain", broken)
        watched.tell("lost-or-not")
        await until(lambda: watched.server.counters["failures"] >= 3)
        assert "a bug of ours" in watched.server.health()["reason"]
        assert caplog.text.count("the bus goes on") == 1
        monkeypatch.setattr(hub, "drain", drain)
        assert (await receive(client))["eventType"] == "lost-or-not"
        await until(lambda: watched.server.health()["ok"])

        def no_ids() -> tuple[str, str]:
            raise RuntimeError("another bug")

        monkeypatch.setattr(hub, "_stamp", no_ids)
        watched.tell("x")
        watched.server.take("x", b"{}", source="", stream="s")
        watched.server.take_from_bus("s", (b'{"type":"event","payload":{}}',))
        assert "another bug" in watched.server.health()["reason"]


async def test_clients_are_bounded_and_turned_away_with_503(start: Start) -> None:
    """`telemetry.clients_max`; a URL that cannot be read is 400."""
    watched = await start(clients_max=1)
    async with watched.client():
        with pytest.raises(InvalidStatus) as refused:
            async with watched.client():
                pass
        assert refused.value.response.status_code == 503
    await until(lambda: watched.server.client_count == 0)
    with pytest.raises(InvalidStatus) as refused:
        async with watched.client("?eventType=" + "x" * 1_000):
            pass
    assert refused.value.response.status_code == 400


async def test_the_gate_is_asked_and_no_tenant_sees_the_telemetry_of_all(start: Start) -> None:
    """401 for who shows nothing that counts, 403 for the members of a tenant; guests read and send nothing."""
    secret = "s" * 32
    settings = BusSettings(auth_token="t0ken", auth=AuthSettings(jwt=JwtSettings(secret=secret)))
    watched = await start(authenticator=Authenticator(settings))

    def token(**claims: str) -> str:
        return jwt.encode({"sub": "x", "exp": int(time.time()) + 60, **claims}, secret, "HS256")

    for shown, status in (("", 401), ("wrong", 401), (token(role="admin", tenant="acme"), 403)):
        with pytest.raises(InvalidStatus) as refused:
            async with watched.client(f"?token={shown}"):
                pass
        assert refused.value.response.status_code == status
        error = json.loads(bytes(refused.value.response.body or b""))["error"]
        assert all(error[part] for part in ("code", "message", "hint")), error
    async with watched.client(f"?token={token(role='guest')}") as guest:
        told = await ask(guest, {"type": "telemetry", "eventType": "x", "payload": 1})
        assert told["error"]["code"] == "telemetry.role"
    async with watched.client("?token=t0ken") as user:
        assert (await ask(user, {"type": "ping"}))["type"] == "pong"


async def test_what_is_about_a_tenants_client_is_for_operators_alone(start: Start) -> None:
    """Who has no tenant is a bus of its own, and no more allowed to know of a tenant than another tenant is."""
    secret = "s" * 32
    settings = BusSettings(auth=AuthSettings(anonymous="user", jwt=JwtSettings(secret=secret)))
    watched = await start(authenticator=Authenticator(settings))
    shown = jwt.encode({"sub": "x", "role": "admin", "exp": int(time.time()) + 60}, secret, "HS256")
    async with watched.client() as anyone, watched.client(f"?token={shown}") as operator:
        for tenant in ("acme", ""):
            watched.server.tell("agent_activity", {"of": tenant}, stream=TELEMETRY_STREAM, tenant=tenant)
        first, second = [await receive(operator) for _ in range(2)]
        assert (first["tenant"], first["payload"]) == ("acme", {"of": "acme"})
        assert "tenant" not in second
        assert (await receive(anyone))["payload"] == {"of": ""}


async def test_who_watches_is_closed_when_its_key_is_revoked_or_its_token_ends(start: Start, tmp_path: Path) -> None:
    """4401, as on the bus, with the next sweep; whoever came with what still counts stays."""
    secret, wall_ms = "s" * 32, [wall_clock_ms()]
    keys = ApiKeys(tmp_path / "bus-keys.db", lambda: wall_ms[0])
    settings = BusSettings(auth=AuthSettings(jwt=JwtSettings(secret=secret)))
    watched = await start(authenticator=Authenticator(settings, keys=keys, wall_ms=lambda: wall_ms[0]), sweep_s=0.02)
    (stays, _), (goes, key) = keys.new("stays", "guest"), keys.new("goes", "guest")
    token = jwt.encode({"sub": "x", "exp": wall_ms[0] // 1_000 + 3_600}, secret, "HS256")
    async with (
        watched.client(f"?api_key={stays}") as staying,
        watched.client(f"?api_key={goes}") as revoked,
        watched.client(f"?token={token}") as expiring,
    ):
        keys.revoke(key.prefix)
        await asyncio.wait_for(revoked.wait_closed(), 10)
        wall_ms[0] += 7_200_000
        await asyncio.wait_for(expiring.wait_closed(), 10)
        assert (revoked.close_code, revoked.close_reason) == (4401, "bus.auth-revoked: show a newer token or key")
        assert (expiring.close_code, expiring.close_reason) == (4401, "bus.auth-expired: show a newer token or key")
        assert (await ask(staying, {"type": "ping"}))["type"] == "pong"
    keys.close()


async def test_a_client_may_not_send_more_than_its_rate(start: Start) -> None:
    """A second's worth at once; what is over is refused, counted, and the client told."""
    watched = await start(rate_per_s=2)
    async with watched.client("?eventType=none") as client:
        for _ in range(3):
            await client.send('{"type":"telemetry","eventType":"x","payload":1}')
        assert (await receive(client))["error"]["code"] == "telemetry.rate-limited"
    assert (watched.server.hub.counters["taken"], watched.server.counters["rate-limited"]) == (2, 1)


async def test_everyone_is_told_when_the_node_stops(start: Start) -> None:
    """1001, and the port is free again."""
    watched = await start()
    async with watched.client() as client:
        await watched.server.close()
        with pytest.raises(ConnectionClosed) as closed:
            await receive(client)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    with pytest.raises(OSError, match="Connect call failed"):
        await connect("ws://{}:{}/".format(*address_of(watched)), proxy=None)


def address_of(watched: Watched) -> tuple[str, int]:
    assert watched.server._where is not None
    return watched.server._where[0], 1
