"""The HTTP endpoints over real sockets, with urllib and with clients that break the rules."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arqonmesh.bridge import http
from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.http import HttpServer, HttpSources
from arqonmesh.config.model import BusSettings
from arqonmesh.errors import ConfigError
from tests.core.bus.house import House
from tests.waiting import until


class Node:
    """Sources that tests may change."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {"bus": {"ok": True}, "store": {"ok": True}}
        self.is_ready = True
        self.metrics = b"# HELP arqon_x x\n# TYPE arqon_x gauge\narqon_x 1\n"
        self.house = House()
        self.server = HttpServer(
            HttpSources(
                health=lambda: self.components,
                ready=lambda: self.is_ready,
                version=lambda: {"version": "0.1.0"},
                status=self.status,
                metrics=lambda: self.metrics,
                history=self.house.bus.history_for,
            ),
            gate=Authenticator(BusSettings(auth_token="s3cret")).gate,
            request_timeout_s=0.2,
            idle_timeout_s=0.2,
        )

    def status(self) -> dict[str, Any]:
        if "broken" in self.components:
            raise RuntimeError("a bug of ours")
        return {"clients": 0}

    async def get(self, target: str, headers: str = "") -> tuple[int, dict[str, str], bytes]:
        return await self.request(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n".encode())

    async def request(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of the first response to these bytes."""
        reader, writer = await asyncio.open_connection(*self.server.address)
        writer.write(data)
        try:
            async with asyncio.timeout(10):
                return await response_of(reader)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def response_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    await node.server.start("127.0.0.1", 0)
    yield node
    await node.server.close()


@pytest.mark.requirement("R-HT-3")
async def test_health_is_200_when_every_component_is_well_and_503_else(node: Node) -> None:
    """Per component."""
    status, headers, body = await node.get("/health")
    assert (status, headers["content-type"], json.loads(body)["status"]) == (200, "application/json", "healthy")
    node.components["store"] = {"ok": False, "reason": "disk full"}
    status, _, body = await node.get("/health")
    assert (status, json.loads(body)["components"]["store"]["reason"]) == (503, "disk full")


@pytest.mark.requirement("R-HT-1")
async def test_the_other_endpoints_answer(node: Node) -> None:
    """livez, readyz, version, status, metrics, and the list of them at /."""
    assert (await node.get("/livez"))[0] == 200
    assert json.loads((await node.get("/version"))[2]) == {"version": "0.1.0"}
    assert json.loads((await node.get("/status?verbose=1"))[2]) == {"clients": 0}
    status, headers, body = await node.get("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == node.metrics
    assert "/history" in json.loads((await node.get("/"))[2])["endpoints"]
    node.is_ready = False
    assert (await node.get("/readyz"))[0] == 503


async def test_history_gives_the_frames_to_who_shows_the_token(node: Node) -> None:
    """As JSON, newest last; messages are not for everyone who reaches the port."""
    publisher = node.house.connect()
    for i in range(3):
        node.house.send(publisher, {"type": "event", "channel": "a:b", "payload": i})
    assert (await node.get("/history?channel=a:b"))[0] == 401
    bearer = "Authorization: Bearer s3cret\r\n"
    status, _, body = await node.get("/history?channel=a%3Ab&limit=2", bearer)
    assert (status, [frame["payload"] for frame in json.loads(body)["history"]]) == (200, [1, 2])
    limits = ("0", "501", "x", "00000000100000", "1" * 5_000)
    for query in ("", "?channel=a%20b", *(f"?channel=a:b&limit={limit}" for limit in limits)):
        status, _, body = await node.get("/history" + query, bearer)
        assert (status, bool(json.loads(body)["error"]["message"])) == (400, True)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\n\r\n", 404),
        (b"POST /health HTTP/1.1\r\n\r\n", 405),
        (b"GET /health HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET /health HTTP/3.0\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01 hello \r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET //[ HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 10_000, 431),
    ],
)
async def test_requests_that_are_not_served_are_told_why(node: Node, request_bytes: bytes, status: int) -> None:
    """JSON with a code and a sentence."""
    got, _, body = await node.request(request_bytes)
    assert got == status
    assert json.loads(body)["error"]["code"].startswith("http.")


@pytest.mark.requirement("R-HT-2")
async def test_a_source_that_fails_is_a_500_and_the_next_request_works(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """The trace goes to the log, not to the client."""
    node.components["broken"] = {"ok": True}
    status, _, body = await node.get("/status")
    assert (status, b"a bug of ours" in body) == (500, False)
    assert "a bug of ours" in caplog.text
    assert (await node.get("/livez"))[0] == 200


async def test_a_connection_serves_many_requests_also_pipelined(node: Node) -> None:
    """Keep-alive by default, HEAD without a body, close when asked."""
    reader, writer = await asyncio.open_connection(*node.server.address)
    writer.write(b"GET /livez HTTP/1.1\r\n\r\nGET /version HTTP/1.1\r\n\r\n")
    assert json.loads((await response_of(reader))[2]) == {"status": "alive"}
    assert json.loads((await response_of(reader))[2]) == {"version": "0.1.0"}
    writer.write(b"HEAD /livez HTTP/1.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Length: 19" in head
    writer.write(b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")
    await response_of(reader)
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("trickle", [b"", b"GET /health HT"])
async def test_a_client_that_dawdles_is_gone_in_time(node: Node, trickle: bytes) -> None:
    """Slowloris: a deadline for the whole request, whatever trickles in."""
    reader, writer = await asyncio.open_connection(*node.server.address)
    writer.write(trickle)
    async with asyncio.timeout(5):
        answer = await asyncio.gather(reader.read(), return_exceptions=True)
    assert (answer[0] if trickle else b"HTTP/1.1 408 ")[:13] == b"HTTP/1.1 408 "  # type: ignore[index]
    writer.close()


async def test_a_client_that_does_not_read_its_answers_is_gone_in_time(node: Node) -> None:
    """Pipelined requests wait until the answers are read; not for ever."""
    node.metrics = b"x" * 5_000_000
    _, writer = await asyncio.open_connection(*node.server.address, limit=1_000)  # stops reading at twice that
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n" * 50)
    await until(lambda: node.server.counters["requests"] > 0)
    await until(lambda: not node.server._connections)
    assert node.server.counters["requests"] <= 2
    writer.transport.abort()


async def test_connections_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 for the one beyond; room again when another left."""
    monkeypatch.setattr(http, "CONNECTIONS_MAX", 1)
    _, first = await asyncio.open_connection(*node.server.address)
    first.write(b"GET")
    assert (await node.get("/livez"))[0] == 503
    first.close()
    await first.wait_closed()
    await until(lambda: not node.server._connections)
    assert (await node.get("/livez"))[0] == 200


async def test_an_address_that_is_taken_is_told_with_the_setting(node: Node) -> None:
    """ConfigError http.listen."""
    with pytest.raises(ConfigError, match="cannot listen") as wrong:
        await Node().server.start(*node.server.address)
    assert (wrong.value.code, "listen.http" in wrong.value.hint) == ("http.listen", True)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: b"GET /" + tail + b" HTTP/1.1\r\n\r\n"))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes) -> None:
    """`parse_request` neither raises nor returns anything else."""
    parsed = http.parse_request(data.partition(b"\r\n\r\n")[0])
    assert isinstance(parsed, http.Request | http.Response)
