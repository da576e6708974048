"""What a client says when it is not let in, or when it has come to the wrong door: the reason, and what helps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from arqonmesh.bridge.telemetry import Hub, Origin, TelemetryServer
from arqonmesh.client import BusClient
from arqonmesh.client import connection as connection_module
from arqonmesh.client.failures import not_a_bus, told_by_the_bus
from arqonmesh.client.message import read
from arqonmesh.config.model import BusSettings, TelemetrySettings
from arqonmesh.errors import Denied, PeerError, TimedOut, UsageError
from bench.lone_bus import LoneBus
from tests.bridge.test_http import Node
from tests.client.conftest import url_of


@pytest.fixture
async def guarded() -> AsyncIterator[LoneBus]:
    """It has one token."""
    bus = LoneBus(BusSettings(auth_token="s3cret"))
    await bus.start()
    yield bus
    await bus.stop()


async def test_the_reason_of_a_refusal_is_the_bus_s_own(guarded: LoneBus) -> None:
    """No token, a wrong one and one of another tenant are told apart."""
    with pytest.raises(Denied, match="none was shown") as none:
        await BusClient.connect(url_of(guarded))
    with pytest.raises(Denied, match="neither a known token") as wrong:
        await BusClient.connect(url_of(guarded), "s4cret")
    with pytest.raises(Denied, match="tenant") as tenant:
        await BusClient.connect(f"{url_of(guarded)}/t/other", "s3cret")
    assert [one.value.code for one in (none, wrong, tenant)] == ["bus.auth", "bus.auth", "bus.tenant"]
    assert "--token" in none.value.hint
    assert url_of(guarded) in tenant.value.sentence


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"error": 7}', b'{"error": {"code": 7}}', b"\xff"])
def test_a_refusal_without_a_reason_is_one_all_the_same(body: bytes) -> None:
    """A proxy's page, half a body, somebody else's JSON."""
    assert isinstance(not_a_bus("ws://a", 401, body), Denied)
    assert isinstance(not_a_bus("ws://a", 403, body), Denied)
    assert not_a_bus("ws://a", 502, body).sentence == "ws://a answered with HTTP 502, not as a bus"


def test_a_bus_that_is_full_says_so() -> None:
    """Any refusal of the bus has its own code and words."""
    full = not_a_bus(
        "ws://a", 429, b'{"error": {"code": "bus.connections", "message": "8 come from here", "hint": ""}}'
    )
    assert (full.code, isinstance(full, Denied)) == ("bus.connections", False)
    assert "8 come from here" in full.sentence


async def test_tls_to_a_port_without_it_leads_to_ws(guarded: LoneBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bus says so at once, where something answers in clear, and where it waits for more."""
    monkeypatch.setattr(connection_module, "CONNECT_TIMEOUT_S", 0.2)
    with pytest.raises(PeerError, match="no TLS is spoken there") as told:
        await BusClient.connect(url_of(guarded).replace("ws:", "wss:"), "s3cret")
    assert told.value.hint.startswith(url_of(guarded))

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    waiting = await asyncio.start_server(waits, "127.0.0.1", 0)
    address = f"127.0.0.1:{waiting.sockets[0].getsockname()[1]}"
    with pytest.raises(TimedOut) as silent:
        await BusClient.connect(f"wss://{address}")
    assert silent.value.hint.startswith(f"ws://{address}")
    waiting.close()

    async def in_clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(in_clear, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(PeerError, match="no TLS is spoken there") as answered:
        await BusClient.connect(f"wss://{address}")
    assert answered.value.hint.startswith(f"ws://{address}")
    server.close()


async def test_the_telemetry_port_is_called_what_it_is() -> None:
    """At once: its greeting tells it apart."""
    hub = Hub(TelemetrySettings(), Origin("a" * 32, "hq"), lambda: ("arq_1", "2026-03-01T12:00:00.000Z"), 0)
    server = TelemetryServer(hub, TelemetrySettings(), BusSettings(), now=lambda: time.monotonic_ns() // 1_000)
    await server.start("127.0.0.1", 0)
    assert server.address is not None
    with pytest.raises(PeerError, match="telemetry, not its bus") as told:
        await BusClient.connect(f"ws://127.0.0.1:{server.address[1]}")
    assert told.value.hint.startswith("arqon node status")
    await server.close()


async def test_the_http_port_is_no_bus_and_the_hint_says_where_one_is() -> None:
    """It answers the handshake as it answers every request."""
    server = Node().server
    await server.start("127.0.0.1", 0)
    with pytest.raises(PeerError, match="HTTP 200, not as a bus") as told:
        await BusClient.connect(f"ws://127.0.0.1:{server.address[1]}")
    assert told.value.hint.startswith("arqon node status")
    await server.close()


async def test_a_connection_that_ended_names_the_ways_to_go_on(guarded: LoneBus) -> None:
    """For a program and on the command line."""
    client = await BusClient.connect(url_of(guarded), "s3cret", reconnect=False)
    await guarded.stop()
    with pytest.raises(PeerError) as over:
        await client.wait_closed()
    assert over.value.code == "bus.closed"
    assert "--reconnect" in over.value.hint and "reconnect=True" in over.value.hint


@pytest.mark.parametrize(
    ("frame", "call"),
    [
        ({"type": "list_channels"}, "bus.command('list_channels')"),
        ({"type": "info", "channel": "a:b"}, "bus.command('info', channel='a:b')"),
        ({"type": "join", "channel": "a:b", "since": {}}, "bus.join('a:b')"),
        ({"type": "event", "channel": "a:b", "payload": {"x": 1}}, "bus.publish('a:b', {'x': 1})"),
        ({"type": "private", "to": ["arq_1"], "payload": 1}, "bus.private('arq_...', 1)"),
        (
            {"type": "command", "command": "update_client", "args": {"name": "x"}},
            "bus.command('update_client', name='x')",
        ),
        ({"type": "authenticate", "args": {"token": "..."}}, "connect(url, token) with a token or key that may"),
    ],
)
def test_a_hint_for_a_program_is_a_call_of_this_client(frame: dict[str, object], call: str) -> None:
    """The bus shows the frame that would be right; nobody who has a client writes frames."""
    payload = {"code": "bus.x", "message": "no", "hint": json.dumps(frame)}
    message = read(json.dumps({"type": "error", "payload": payload}).encode())
    assert message is not None
    assert told_by_the_bus(message).hint.startswith(call)


def test_a_hint_in_words_stays_as_it_is() -> None:
    """So does one that only looks like a frame."""
    for hint in ("help", "{x}", '{"a": 1}', ""):
        message = read(json.dumps({"type": "error", "payload": {"code": "bus.x", "hint": hint}}).encode())
        assert message is not None
        assert told_by_the_bus(message).hint == hint


async def test_a_frame_that_the_bus_would_end_the_connection_for_is_not_sent() -> None:
    """The error says how large it may be; the connection, and what waits in it, goes on."""
    bus = LoneBus(BusSettings(frame_bytes_max=1_000))
    async with await BusClient.connect(await bus.start(), reconnect=False) as client:
        assert client.frame_bytes_max == 1_000
        with pytest.raises(UsageError, match=r"bus\.frame_bytes_max at ws://.* is 1000") as refused:
            await client.publish("a:b", "x" * 1_000)
        assert refused.value.code == "bus.frame-too-large"
        assert (await client.send("a:b", "x" * 800)).id
    await bus.stop()
