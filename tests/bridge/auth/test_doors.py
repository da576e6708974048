"""Credentials at the handshake and after, over real sockets with an independent client library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from arqonmesh.bridge.auth.api_keys import ApiKeys
from arqonmesh.bridge.auth.authenticator import Authenticator, is_loopback, wall_clock_ms
from arqonmesh.bridge.auth.refused import AuthRefused
from arqonmesh.client import BusClient
from arqonmesh.config.model import AuthSettings, BusSettings, JwtSettings
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.events import CredentialRevoked
from arqonmesh.errors import ConfigError, Denied
from bench.lone_bus import LoneBus
from tests.bridge.auth.makers import SECRET, hs
from tests.bridge.conftest import ask, receive

pytestmark = pytest.mark.requirement("R-BU-14")
Start = Callable[..., Any]


class Guarded(LoneBus):
    """A bus that asks for tokens and keys."""

    def __init__(self, folder: Path, **auth: Any) -> None:
        auth.setdefault("jwt", JwtSettings(secret=SECRET, clock_skew_s=0))
        settings = BusSettings(auth=AuthSettings(**auth))
        self.keys = ApiKeys(folder / "bus-keys.db", wall_clock_ms)
        super().__init__(settings, authenticator=Authenticator(settings, keys=self.keys))
        self.url = ""

    def connect(self, path: str = "/", token: str = "", **headers: str) -> connect:
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return connect(self.url.rstrip("/") + path, proxy=None, subprotocols=["arqon.v1"], additional_headers=headers)  # type: ignore[list-item]

    async def refusal(self, path: str = "/", token: str = "", **headers: str) -> tuple[int, str]:
        """(HTTP status, code) with which the handshake is refused."""
        with pytest.raises(InvalidStatus) as refused:
            await self.connect(path, token, **headers)
        body = refused.value.response.body
        assert body is not None
        told = json.loads(bytes(body))["error"]
        assert told["message"]
        assert told["hint"] or told["code"] == "bus.auth-not-yet"
        assert token == "" or token not in str(told)
        return refused.value.response.status_code, told["code"]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    running: list[Guarded] = []

    async def begin(**auth: Any) -> Guarded:
        bus = Guarded(tmp_path, **auth)
        bus.url = await bus.start()
        running.append(bus)
        return bus

    yield begin
    for bus in running:
        await bus.stop()
        bus.keys.close()


async def who(client: ClientConnection) -> dict[str, Any]:
    await receive(client)  # the welcome
    answer = await ask(client, {"type": "authenticate"})
    return dict(answer["payload"])


def token(seconds: float = 600, **claims: Any) -> str:
    return hs(exp=wall_clock_ms() / 1_000 + seconds, **claims)


async def test_a_token_or_key_is_shown_in_the_header_or_the_url(start: Start) -> None:
    """Bearer, X-API-Key, and the query for browsers; role, subject and tenant are those of what was shown."""
    bus = await start()
    key, _ = bus.keys.new("press-7", "guest")
    for path, shown, headers, subject, role in (
        ("/", token(role="admin"), {}, "ann", "admin"),
        (f"/?token={token()}", "", {}, "ann", "user"),
        (f"/?access_token={token()}", "", {}, "ann", "user"),
        ("/", key, {}, "press-7", "guest"),
        (f"/?api_key={key}", "", {}, "press-7", "guest"),
        ("/", "", {"X-API-Key": key}, "press-7", "guest"),
    ):
        async with bus.connect(path, shown, **headers) as client:
            told = await who(client)
            assert (told["subject"], told["role"]) == (subject, role)
    assert bus.authenticator.counters == {"accepted_jwt": 3, "accepted_key": 3}


async def test_who_shows_nothing_or_rubbish_is_refused_with_the_reason(start: Start) -> None:
    """401 and a code: missing, wrong, expired, not yet, revoked."""
    bus = await start()
    key, made = bus.keys.new("a", "user")
    bus.keys.revoke(made.prefix)
    assert await bus.refusal() == (401, "bus.auth")
    assert await bus.refusal(token="rubbish") == (401, "bus.auth")
    assert await bus.refusal(token=hs("another-secret-of-thirty-two-bytes!!")) == (401, "bus.auth")
    assert await bus.refusal(token=token(-10)) == (401, "bus.auth-expired")
    assert await bus.refusal(token=token(nbf=int(wall_clock_ms() / 1_000) + 60)) == (401, "bus.auth-not-yet")
    assert await bus.refusal(token=key) == (401, "bus.auth-revoked")
    assert bus.server.counters["auth"] == 6
    assert bus.core.client_count == 0


async def test_the_tenant_of_the_path_and_of_the_token_agree(start: Start) -> None:
    """/t/TENANT; a token of another or of none is 403; one with a tenant needs no path."""
    bus = await start()
    acme = token(tenant="acme")
    for path in ("/", "/t/acme", "/t/acme/", "/t/acme?name=x"):
        async with bus.connect(path, acme) as client:
            assert (await who(client))["tenant"] == "acme"
    assert await bus.refusal("/t/globex", acme) == (403, "bus.tenant")
    assert await bus.refusal("/t/acme", token()) == (403, "bus.tenant")
    assert await bus.refusal("/t/A|x", acme) == (400, "bus.tenant")
    strict = await start(tenants="required")
    assert await strict.refusal("/", token()) == (403, "bus.tenant")
    none = await start(tenants="off")
    assert await none.refusal("/", acme) == (403, "bus.tenant")


async def test_anonymous_clients_have_the_role_that_is_set_and_no_tenant(start: Start) -> None:
    """Wrong credentials are refused all the same: whoever shows some believes to be someone. A tenant is nobody's who
    shows nothing of it."""
    bus = await start(anonymous="guest")
    async with bus.connect() as client:
        told = await who(client)
        assert (told["subject"], told["role"], told["tenant"]) == ("", "guest", "")
    assert await bus.refusal(token="rubbish") == (401, "bus.auth")
    assert await bus.refusal("/t/acme") == (403, "bus.tenant")


async def test_a_bus_that_asks_nobody_lets_anonymous_clients_name_a_tenant(start: Start) -> None:
    """The development default: nothing is set up that could say whose a tenant is."""
    bus = await start(jwt=JwtSettings())
    async with bus.connect("/t/acme") as client:
        told = await who(client)
        assert (told["subject"], told["role"], told["tenant"]) == ("", "user", "acme")


async def test_tenants_do_not_hear_each_other_over_the_wire(start: Start) -> None:
    """The same channel, two tenants."""
    bus = await start()
    async with (
        bus.connect(token=token(tenant="acme")) as one,
        bus.connect(token=token(tenant="globex")) as other,
        bus.connect(token=token(tenant="acme")) as same,
    ):
        for client in (one, other, same):
            await who(client)
        for client in (other, same):
            await ask(client, {"type": "join", "channel": "*"})
        await one.send(json.dumps({"type": "event", "channel": "plant:press", "payload": 1}))
        assert (await receive(same))["payload"] == 1
        assert (await ask(other, {"type": "list_channels"}))["payload"]["channels"] == []


async def test_a_client_that_renews_stays_and_one_that_does_not_is_closed(start: Start) -> None:
    """Told before, 4401 after; a token of another tenant renews nothing."""
    bus = await start(expiry_notice_s=60)
    async with bus.connect(token=token(1.2)) as client, bus.connect(token=token(1.2)) as idle:
        for one in (client, idle):
            notices = [await receive(one), await receive(one)]
            assert [notice["type"] for notice in notices] == ["system", "system"]
            assert notices[1]["payload"]["event"] == "expiring"
        refused = await ask(client, {"type": "authenticate", "args": {"token": token(tenant="acme")}})
        assert (refused["type"], refused["payload"]["code"]) == ("error", "bus.tenant")
        answer = await ask(client, {"type": "authenticate", "args": {"token": token(600, role="admin")}})
        assert answer["payload"]["role"] == "admin"
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionClosed) as closed:
                await idle.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.partition(":")[0]) == (4401, "bus.auth-expired")
        assert (await ask(client, {"type": "ping"}))["status"] == "success"


async def test_a_key_revoked_by_another_process_closes_its_clients(start: Start, tmp_path: Path) -> None:
    """What `arqon bus key revoke` does beside a running node."""
    bus = await start()
    key, made = bus.keys.new("a", "user")
    async with bus.connect(token=key) as client:
        await who(client)
        beside = ApiKeys(tmp_path / "bus-keys.db", wall_clock_ms)
        beside.revoke(made.prefix)
        beside.close()
        for via in bus.authenticator.revoked():
            bus.on_event(CredentialRevoked(via))
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.partition(":")[0]) == (4401, "bus.auth-revoked")


async def test_who_comes_back_with_a_revoked_key_hears_that_it_was_revoked(start: Start) -> None:
    """The bus's own code and sentence reach the program, whose client tried to connect again."""
    bus = await start()
    key, made = bus.keys.new("a", "user")
    async with await BusClient.connect(bus.url, key, reconnect=True) as client:
        bus.keys.revoke(made.prefix)
        bus.on_event(CredentialRevoked(f"key:{made.prefix}"))
        async with asyncio.timeout(10):
            with pytest.raises(Denied) as refused:
                _ = [message async for message in client.messages(all_types=True)]
    assert (refused.value.code, "revoked" in refused.value.sentence) == ("bus.auth-revoked", True)
    assert refused.value.hint == "arqon bus key new NAME"


@pytest.mark.parametrize(
    ("host", "auth", "opens"),
    [
        ("127.0.0.1", BusSettings(), True),
        ("localhost", BusSettings(), True),
        ("0.0.0.0", BusSettings(), False),
        ("10.1.2.3", BusSettings(), False),
        ("0.0.0.0", BusSettings(auth_token="s3cret"), True),
        ("0.0.0.0", BusSettings(auth=AuthSettings(jwt=JwtSettings(secret=SECRET))), True),
        ("0.0.0.0", BusSettings(auth=AuthSettings(anonymous="user")), True),
        ("0.0.0.0", BusSettings(auth=AuthSettings(anonymous="off")), True),
    ],
)
def test_a_bus_that_others_reach_does_not_start_open_by_accident(host: str, auth: BusSettings, opens: bool) -> None:
    """Loopback without any setting is the development default; elsewhere somebody has to have decided."""
    authenticator = Authenticator(auth)
    if opens:
        authenticator.check_listen(host, "listen.bus")
        return
    with pytest.raises(ConfigError) as refused:
        authenticator.check_listen(host, "listen.bus")
    assert (refused.value.code, "bus.auth.anonymous" in refused.value.sentence) == ("bus.open", True)
    assert refused.value.hint == "arqon bus key new NAME"


async def test_the_first_key_ends_anonymous_access(start: Start, tmp_path: Path) -> None:
    """Made by another process, under `auto`: before it anyone on this machine is a user, after it only who has one."""
    bus = await start(jwt=JwtSettings())
    async with bus.connect(token="whatever") as client:
        assert (await who(client))["role"] == "user"
    beside = ApiKeys(tmp_path / "bus-keys.db", wall_clock_ms)
    async with bus.connect() as anyone:
        anonymous = bus.authenticator.identify("/", {}, {})
        assert (await who(anyone))["role"] == "user"
        assert (bus.authenticator.revoked(), bus.authenticator.ended(anonymous)) == ([], "")
        _, key = beside.new("a", "user")
        assert bus.authenticator.ended(anonymous) == "bus.auth"
        assert bus.authenticator.revoked() == ["anonymous"]
        assert bus.authenticator.revoked() == [], "told once"
        bus.on_event(CredentialRevoked("anonymous"))
        with pytest.raises(ConnectionClosed) as closed:
            await anyone.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.partition(":")[0]) == (4401, "bus.auth")
    assert await bus.refusal() == (401, "bus.auth")
    beside.revoke(key.prefix)
    beside.close()
    assert await bus.refusal() == (401, "bus.auth")


async def test_what_loopback_gives_a_server_on_the_network_does_not(start: Start) -> None:
    """The bus on loopback lets anyone in; history over HTTP on another address does not follow it."""
    bus = await start(jwt=JwtSettings())
    assert bus.authenticator.gate_at("127.0.0.1")({}, {}) is not None
    with pytest.raises(AuthRefused) as refused:
        bus.authenticator.gate_at("0.0.0.0")({}, {})
    assert (refused.value.code, refused.value.status, bool(refused.value.hint)) == ("bus.auth", 401, True)
    key, _ = bus.keys.new("a", "user")
    identity = bus.authenticator.gate_at("0.0.0.0")({"authorization": f"Bearer {key}"}, {})
    assert identity is not None
    assert identity.subject == "a"


def test_what_counts_as_loopback() -> None:
    """Names are not looked up: a resolver may answer anything."""
    hosts = {"127.0.0.1": True, "127.9.9.9": True, "::1": True, "[::1]": True, "localhost": True}
    others = {"0.0.0.0": False, "::": False, "10.0.0.1": False, "example.org": False, "": False}
    for host, expected in {**hosts, **others}.items():
        assert is_loopback(host) is expected, host


def test_the_operator_acts_in_the_tenant_that_it_names() -> None:
    """Where every client needs one, so does the operator, and is told how to say it; HTTP oversees all of them."""
    settings = BusSettings(auth=AuthSettings(anonymous="off", tenants="required"), auth_token="a-token-of-everyone")
    authenticator = Authenticator(settings, operator="arqo_now")
    shown = {"authorization": "Bearer arqo_now"}
    assert authenticator.identify("/t/acme", shown, {}) == Identity("operator", "admin", "acme", via="operator")
    with pytest.raises(AuthRefused, match="--tenant") as refused:
        authenticator.identify("/", shown, {})
    assert (refused.value.code, refused.value.status) == ("bus.tenant", 403)
    assert "--tenant NAME" in refused.value.hint
    assert authenticator.gate(shown, {}) == Identity("operator", "admin", via="operator")
    with pytest.raises(AuthRefused):
        authenticator.gate({"authorization": "Bearer a-token-of-everyone"}, {})
    nobodys = BusSettings(auth=AuthSettings(tenants="off"), auth_token="a-token-of-everyone")
    with pytest.raises(AuthRefused, match="no tenants"):
        Authenticator(nobodys, operator="arqo_now").identify("/t/acme", shown, {})


def test_the_operator_of_a_node_is_its_admin() -> None:
    """By the token in the data directory, after a reload as well; that of an earlier start is rubbish."""
    settings = BusSettings(auth_token="s3cret")
    authenticator = Authenticator(settings, operator="arqo_now")
    for judge in (authenticator, authenticator.candidate(settings)):
        identity = judge.identify("/", {"authorization": "Bearer arqo_now"}, {})
        assert identity == Identity("operator", "admin", via="operator")
        with pytest.raises(AuthRefused):
            judge.identify("/", {"authorization": "Bearer arqo_before"}, {})
    with pytest.raises(AuthRefused):
        Authenticator(settings).identify("/", {}, {"token": [""]})
