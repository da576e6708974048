"""Who is turned away learns why, in the way that it can read, and at once."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arqonmesh.bridge import refusing
from arqonmesh.config.model import AuthSettings
from tests.bridge.conftest import RunningBus, StartBus
from tests.bridge.raw import RawClient
from tests.waiting import until

PAGE = "http://localhost:8080"
CLOSED = AuthSettings(anonymous="off")


async def refused_page(url: str, **options: object) -> tuple[int, str]:
    async with connect(url, proxy=None, origin=PAGE, **options) as page:  # type: ignore[arg-type]
        with pytest.raises(ConnectionClosed) as closed:
            await page.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.requirement("R-BU-1")
async def test_a_page_reads_why_it_is_refused_and_a_program_gets_the_status(start_bus: StartBus) -> None:
    """4000 + the status and the code for whoever names an Origin; neither is a client."""
    bus = await start_bus(auth=CLOSED)
    url = bus.url.replace("127.0.0.1", "localhost")
    code, reason = await refused_page(url, subprotocols=["x", "arqon.v1"])
    assert (code, reason.partition(":")[0]) == (4401, "bus.auth")
    with pytest.raises(InvalidStatus) as program:
        await connect(bus.url, proxy=None)
    assert program.value.response.status_code == 401
    body = program.value.response.body
    assert body is not None
    assert json.loads(body)["error"]["code"] == "bus.auth"
    assert bus.drops() == [("bridge", "auth")] * 2
    assert (bus.server.client_count, bus.core.counters["clients"]) == (0, 0)
    await until(lambda: not bus.server._refusals.told)


async def test_a_request_that_is_no_websocket_has_http_alone(bus: RunningBus) -> None:
    """There is no connection on which a page could be told."""
    raw = await RawClient.open(bus.url)
    await raw.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n")
    assert (await raw.rest()).startswith(b"HTTP/1.1 426 ")
    await raw.hang_up()


async def test_pages_that_are_being_told_are_bounded(start_bus: StartBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not answer its close frame is gone in two seconds; too many at a time get the status."""
    monkeypatch.setattr(refusing, "TOLD_MAX", 1)
    monkeypatch.setattr(refusing, "CLOSE_GRACE_S", 0.2)
    bus = await start_bus(auth=CLOSED)
    answers = []
    raws = [await RawClient.open(bus.url) for _ in range(2)]
    for raw in raws:
        await raw.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nUpgrade: websocket\r\n"
            b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answers.append((await raw.reader.readline()).split()[1])
    assert answers == [b"101", b"401"]
    await raws[0].rest()
    assert not bus.server._refusals.told
    for raw in raws:
        await raw.hang_up()


async def test_the_end_of_the_node_does_not_wait_for_a_page(start_bus: StartBus) -> None:
    """What is left of a refusal goes with the server."""
    bus = await start_bus(auth=CLOSED)
    raw = await RawClient.open(bus.url)
    await raw.write(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await raw.reader.readline()
    assert len(bus.server._refusals.told) == 1
    await bus.server.close()
    await until(lambda: not bus.server._refusals.told)
    await raw.hang_up()


async def test_wss_to_the_plain_port_fails_at_once(bus: RunningBus, caplog: pytest.LogCaptureFixture) -> None:
    """With a TLS alert, so that the client's own error says so; counted each time, logged once."""
    context = ssl.create_default_context()
    with caplog.at_level(logging.WARNING, "arqonmesh.bridge.picows_server"):
        for _ in range(2):
            async with asyncio.timeout(3):
                with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
                    await connect(bus.url.replace("ws://", "wss://"), proxy=None, ssl=context)
    assert bus.drops() == [("bridge", "tls")] * 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert "wss://" in line
    await until(lambda: not bus.server._acceptor.handshakes and not bus.server._acceptor.by_address)
    async with bus.client():
        pass
