"""The HTTP endpoints over real sockets, with plain clients and with clients that break the rules."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import jwt
import pytest

from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.door import anyone
from arqonmesh.bridge.http import HttpServer, HttpSources, reference, server
from arqonmesh.bridge.http.messages import (
    ChannelFigures,
    Channels,
    Clients,
    HistoryQuery,
    ListingQuery,
    RoomFigures,
    Rooms,
)
from arqonmesh.bridge.listening import why_not
from arqonmesh.config.model import AuthSettings, BusSettings, JwtSettings
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.names import resolve
from arqonmesh.errors import CATALOGUE, ConfigError, Denied
from tests.core.bus.house import House
from tests.waiting import until

SECRET = "s" * 32
SETTINGS = BusSettings(auth_token="s3cret", auth=AuthSettings(jwt=JwtSettings(secret=SECRET)))
BEARER = "Authorization: Bearer s3cret\r\n"
JSON_BODY = "Content-Type: application/json\r\n"
Answered = tuple[int, dict[str, str], bytes]


def bearer(role: str) -> str:
    token = jwt.encode({"sub": role, "role": role, "exp": int(time.time()) + 60}, SECRET, "HS256")
    return f"Authorization: Bearer {token}\r\n"


class Node:
    """Sources that tests may change."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {"bus": {"ok": True}, "store": {"ok": True}}
        self.is_ready = True
        self.metrics = b"# HELP arqon_x x\n# TYPE arqon_x gauge\narqon_x 1\n"
        self.house = House()
        self.asked: list[tuple[str, str, str]] = []
        self.held: asyncio.Event | None = None
        """While it is set to one, /history waits for it."""
        self.server = HttpServer(
            HttpSources(
                health=lambda: self.components,
                ready=lambda: self.is_ready,
                version=lambda: {"version": "0.1.0", "software": "arqonmesh"},
                status=self.status,
                metrics=lambda identity: self.metrics,
                history=self.history,
                channels=self.channels,
                rooms=lambda identity, query: Rooms(0, [], RoomFigures("(other)", 0, 0, 0.0, 0.0, 0, 0, 0)),
                clients=lambda identity, query: Clients(0, []),
                create_channel=self.create,
                delete_channel=self.delete,
                disconnect=lambda identity, client: client == "arq_1",
            ),
            gate=Authenticator(SETTINGS).gate,
            cors_origins=("https://ops.example.org",),
            request_timeout_s=0.2,
            idle_timeout_s=0.2,
        )

    def status(self, identity: Identity | None) -> dict[str, Any] | None:
        if "broken" in self.components:
            raise RuntimeError("a bug of ours")
        return {"node": {"clients": 0}} if identity is not None else None

    def history(self, identity: Identity, query: HistoryQuery) -> Any:
        if self.held is not None:
            return self._history_later()
        return self.house.bus.history_for(identity, query.channel, query.limit)

    async def _history_later(self) -> Sequence[bytes]:
        assert self.held is not None
        await self.held.wait()
        if "forbidden" in self.components:
            raise Denied("bus.forbidden", "no")
        return [b'{"late":1}']

    def channels(self, identity: Identity, query: ListingQuery) -> Channels:
        return Channels(1, [ChannelFigures("a:b", "a", 0, 0, 0, 0)][: query.limit])

    def create(self, identity: Identity, channel: str) -> tuple[str, bool]:
        name = resolve("", channel)
        self.asked.append(("create", identity.subject, name))
        return name, name == "new:one"

    def delete(self, identity: Identity, channel: str) -> bool:
        self.asked.append(("delete", identity.subject, channel))
        return channel == "a:b"

    async def get(self, target: str, headers: str = "") -> Answered:
        return await self.send("GET", target, headers)

    async def send(self, method: str, target: str, headers: str = "", body: bytes = b"") -> Answered:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}{headers}\r\n"
        return await self.request(head.encode() + body)

    async def request(self, data: bytes) -> Answered:
        """(status, headers, body) of the first response to these bytes."""
        reader, writer = await asyncio.open_connection(*self.server.address)
        writer.write(data)
        try:
            async with asyncio.timeout(10):
                return await response_of(reader)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def response_of(reader: asyncio.StreamReader) -> Answered:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))


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


@pytest.mark.requirement("R-HT-3")
async def test_a_component_that_the_bus_can_do_without_makes_the_node_degraded(node: Node) -> None:
    """200, so that nobody takes the node out of service for its telemetry."""
    node.components["telemetry"] = {"ok": False, "critical": False, "reason": "port taken"}
    status, _, body = await node.get("/health")
    assert (status, json.loads(body)["status"]) == (200, "degraded")


@pytest.mark.requirement("R-HT-1")
async def test_the_other_endpoints_answer(node: Node) -> None:
    """livez, readyz, version, status, metrics, rooms, and the list of them at /."""
    assert (await node.get("/livez"))[0] == 200
    assert json.loads((await node.get("/version"))[2])["version"] == "0.1.0"
    assert json.loads((await node.get("/status?verbose=1", BEARER))[2]) == {"node": {"clients": 0}}
    assert json.loads((await node.get("/status"))[2])["status"] == "healthy", "to nobody in particular: its health"
    status, headers, body = await node.get("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == node.metrics
    assert json.loads((await node.get("/rooms", BEARER))[2])["total"] == 0
    assert json.loads((await node.get("/channels?limit=1", BEARER))[2])["channels"][0]["channel"] == "a:b"
    assert {"/history", "/openapi.json"} <= set(json.loads((await node.get("/"))[2])["endpoints"])
    node.is_ready = False
    assert (await node.get("/readyz"))[0] == 503


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("/rooms?limt=3", "'limt' is no parameter here; is `limit` meant?"),
        ("/history?channel=a:b&colour=red", "'colour' is no parameter here; `channel`, `limit`, `since`, `before` are"),
    ],
)
async def test_a_parameter_that_means_nothing_is_refused_with_the_nearest(node: Node, query: str, said: str) -> None:
    """A typing error is not an answer to another question; a credential in the URL is none."""
    status, _, body = await node.get(query, BEARER)
    assert (status, json.loads(body)["error"]["message"]) == (400, said)
    assert (await node.get("/channels?limit=1&token=s3cret"))[0] == 200


async def test_history_gives_the_frames_to_who_shows_the_token(node: Node) -> None:
    """As JSON, newest last; messages are not for everyone who reaches the port."""
    publisher = node.house.connect()
    for i in range(3):
        node.house.send(publisher, {"type": "event", "channel": "a:b", "payload": i})
    assert (await node.get("/history?channel=a:b"))[0] == 401
    status, _, body = await node.get("/history?channel=a%3Ab&limit=2", BEARER)
    assert (status, [frame["payload"] for frame in json.loads(body)["history"]]) == (200, [1, 2])
    limits = ("0", "501", "x", "00000000100000", "1" * 5_000)
    for query in ("", "?channel=", "?channel=a%20b", *(f"?channel=a:b&limit={limit}" for limit in limits)):
        status, _, body = await node.get("/history" + query, BEARER)
        assert (status, bool(json.loads(body)["error"]["message"])) == (400, True)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /health HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /channels HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, 413),
        (b"POST /channels HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET /health HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01 hello \r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nX: " + b"x" * 10_000, 431),
    ],
)
async def test_requests_that_are_not_served_are_told_why(node: Node, request_bytes: bytes, status: int) -> None:
    """JSON with a code and a sentence."""
    got, _, body = await node.request(request_bytes)
    assert got == status
    assert json.loads(body)["error"]["code"].startswith("http.")


async def test_any_bytes_are_answered_or_the_connection_ends(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """Never a trace in the log, and the next request is served."""
    for seed in range(60):
        dice = Random(seed)
        case = bytes(dice.choices(b"GET POST/ HTTP/1.1\r\n: \x00\xff{}x%", k=dice.randrange(200))) + b"\r\n\r\n"
        reader, writer = await asyncio.open_connection(*node.server.address)
        writer.write(case)
        writer.write_eof()
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
        writer.close()
    assert (await node.get("/livez"))[0] == 200
    assert caplog.records == []


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


async def test_an_answer_that_takes_its_time_keeps_its_place(node: Node) -> None:
    """Pipelined requests behind it wait; its failure is told like any other."""
    node.held = asyncio.Event()
    reader, writer = await asyncio.open_connection(*node.server.address)
    ask = f"GET /history?channel=a:b HTTP/1.1\r\nHost: x\r\n{BEARER}\r\n".encode()
    writer.write(ask + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: node.server.counters["requests"] == 1)
    node.held.set()
    assert json.loads((await response_of(reader))[2])["history"] == [{"late": 1}]
    assert json.loads((await response_of(reader))[2]) == {"status": "alive"}
    node.components["forbidden"] = {}
    writer.write(ask)
    assert (await response_of(reader))[0] == 403
    writer.close()


async def test_a_connection_serves_many_requests_also_pipelined(node: Node) -> None:
    """Keep-alive by default, HEAD without a body, close when asked."""
    reader, writer = await asyncio.open_connection(*node.server.address)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    assert json.loads((await response_of(reader))[2]) == {"status": "alive"}
    assert json.loads((await response_of(reader))[2])["software"] == "arqonmesh"
    writer.write(b"HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Length: 19" in head
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await response_of(reader)
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    "trickle", [b"", b"GET /health HT", b"POST /channels HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"]
)
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
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
    await until(lambda: node.server.counters["requests"] > 0)
    await until(lambda: not node.server.connection_count)
    assert node.server.counters["requests"] <= 2
    writer.transport.abort()


async def test_connections_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 for the one beyond; room again when another left."""
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 1)
    _, first = await asyncio.open_connection(*node.server.address)
    first.write(b"GET")
    assert (await node.get("/livez"))[0] == 503
    first.close()
    await first.wait_closed()
    await until(lambda: not node.server.connection_count)
    assert (await node.get("/livez"))[0] == 200


async def test_an_address_that_is_taken_is_told_with_the_setting(node: Node) -> None:
    """ConfigError http.listen."""
    with pytest.raises(ConfigError, match="cannot listen") as wrong:
        await Node().server.start(*node.server.address)
    assert wrong.value.code == "http.listen" and "listen.http in the node's arqon.yaml" in wrong.value.hint
    host, port = node.server.address
    assert str(wrong.value).startswith(f"HTTP cannot listen on {host}:{port}: another process has it; it needs")
    assert "init" not in wrong.value.hint + CATALOGUE["http.listen"][1] + CATALOGUE["bus.listen"][1]


async def test_an_address_that_cannot_be_had_is_told_in_our_words() -> None:
    """One of another machine, a number without words of ours; what a resolver says is its own to tell."""
    with pytest.raises(ConfigError) as wrong:
        await Node().server.start("192.0.2.1", 1)
    assert "on 192.0.2.1:1: it is no address of this machine; it needs" in str(wrong.value)
    assert why_not(OSError(errno.ENOBUFS, "error while attempting")) == os.strerror(errno.ENOBUFS)
    assert why_not(socket.gaierror(socket.EAI_NONAME, "nobody is named so")) == "nobody is named so"


@pytest.mark.requirement("R-HT-4")
async def test_administration_needs_an_admin(node: Node) -> None:
    """401 for who shows nothing, 403 for whom it is not; the source hears who asked."""
    body = b'{"channel": "new:one"}'
    assert (await node.send("POST", "/channels", JSON_BODY, body))[0] == 401
    assert (await node.send("POST", "/channels", JSON_BODY + BEARER, body))[0] == 403
    assert (await node.get("/clients", bearer("user")))[0] == 403
    assert node.asked == []
    admin = bearer("admin")
    status, _, told = await node.send("POST", "/channels", JSON_BODY + admin, body)
    assert (status, json.loads(told)) == (201, {"channel": "new:one", "created": True})
    assert (await node.send("POST", "/channels", JSON_BODY + admin, b'{"channel": "old"}'))[0] == 200
    assert (await node.send("DELETE", "/channels/a%3Ab", admin))[0] == 204
    assert (await node.send("DELETE", "/channels/a%3Ac", admin))[0] == 404
    assert node.asked == [
        ("create", "admin", "new:one"),
        ("create", "admin", "default:old"),
        ("delete", "admin", "a:b"),
        ("delete", "admin", "a:c"),
    ]
    assert json.loads((await node.get("/clients", admin))[2]) == {"total": 0, "clients": []}
    assert (await node.send("DELETE", "/clients/arq_1", admin))[0] == 204
    assert (await node.send("DELETE", "/clients/arq_2", admin))[0] == 404


async def test_a_refusal_says_what_is_wrong_with_what_was_shown(node: Node) -> None:
    """Nothing, rubbish, and what has expired are three things; each with code, sentence and the next step."""
    expired = jwt.encode({"sub": "ann", "exp": 1_000_000_000}, SECRET, "HS256")
    told = {}
    for shown, header in (("nothing", ""), ("rubbish", "x"), ("expired", expired)):
        headers = f"Authorization: Bearer {header}\r\n" if header else ""
        status, got, body = await node.get("/channels", headers)
        assert (status, "Bearer" in got["www-authenticate"]) == (401, True)
        told[shown] = json.loads(body)["error"]
    assert [error["code"] for error in told.values()] == ["bus.auth", "bus.auth", "bus.auth-expired"]
    assert "none was shown" in told["nothing"]["message"]
    assert len({error["message"] for error in told.values()}) == 3
    assert all(error["hint"] for error in told.values())


@pytest.mark.requirement("R-HT-4")
async def test_without_authentication_nobody_administers(node: Node) -> None:
    """Whoever reaches the port is no admin by that, also where the bus lets anyone in."""
    node.server._gate = anyone
    assert (await node.get("/channels"))[0] == 200
    status, headers, body = await node.get("/clients")
    assert (status, "Bearer" in headers["www-authenticate"]) == (401, True)
    error = json.loads(body)["error"]
    assert error["code"] == "http.admin"
    assert error["hint"].startswith("arqon bus key new NAME --role admin  # the first key ends anonymous access")
    node.server._gate = lambda headers, query: Identity(role="admin")
    assert (await node.get("/clients"))[0] == 401, "anonymous, whatever role that has"


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ("", b"{}", 415, "http.content-type"),
        (JSON_BODY, b"{", 400, "http.body"),
        ("Content-Type: application/json; charset=utf-8\r\n", b"{}", 400, "http.parameter"),
        (JSON_BODY, b'{"channel": 5}', 400, "http.parameter"),
        (JSON_BODY, b'{"channel": "a:b", "chanel": 1}', 400, "http.parameter"),
        (JSON_BODY, b'{"channel": "a b:c"}', 400, "http.parameter"),
    ],
)
async def test_a_body_that_does_not_fit_is_told_why(
    node: Node, headers: str, body: bytes, status: int, code: str
) -> None:
    """What is wrong, in a code and a sentence."""
    got, _, told = await node.send("POST", "/channels", headers + bearer("admin"), body)
    assert (got, json.loads(told)["error"]["code"]) == (status, code)


async def test_a_method_that_is_not_served_is_told_with_those_that_are(node: Node) -> None:
    """405 and Allow (RFC 9110, 15.5.6); OPTIONS tells the same."""
    status, headers, _ = await node.send("PATCH", "/channels")
    assert (status, headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")
    status, headers, body = await node.send("OPTIONS", "/channels")
    assert (status, headers["allow"], body) == (204, "GET, POST, HEAD, OPTIONS", b"")


async def test_pages_of_listed_origins_may_read_the_answers(node: Node) -> None:
    """CORS: the preflight, the answer, and nothing for others."""
    ours, others = "Origin: https://ops.example.org\r\n", "Origin: https://evil.example\r\n"
    status, headers, _ = await node.send("OPTIONS", "/channels", ours + "Access-Control-Request-Method: POST\r\n")
    assert (status, headers["access-control-allow-methods"]) == (204, "GET, POST, HEAD, OPTIONS")
    assert "Authorization" in headers["access-control-allow-headers"]
    assert (await node.get("/livez", ours))[1]["access-control-allow-origin"] == "https://ops.example.org"
    _, headers, _ = await node.get("/livez", others)
    assert ("access-control-allow-origin" in headers, headers["vary"]) == (False, "Origin")
    _, headers, _ = await node.send("OPTIONS", "/channels", others + "Access-Control-Request-Method: POST\r\n")
    assert "access-control-allow-methods" not in headers


def test_the_reference_page_is_current() -> None:
    """`python -m arqonmesh.bridge.http.reference > docs/reference/http.md`, or `just docs`."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "http.md"
    assert page.read_text() == reference.render()


async def test_the_description_names_every_endpoint_and_refers_to_nothing_that_is_not_there(node: Node) -> None:
    """OpenAPI 3.1, made from the table."""
    described = node.server.description
    for endpoint in node.server._endpoints:
        assert endpoint.method.lower() in described["paths"][endpoint.path]
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert names <= set(described["components"]["schemas"])
    assert json.loads((await node.get("/openapi.json"))[2]) == described
    assert described["openapi"] == "3.1.0"
