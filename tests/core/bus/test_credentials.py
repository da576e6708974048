"""Identities end and are renewed: expiry notices, close codes, `authenticate`, revoked keys."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.config.model import AuthSettings, BusSettings, RoomRule
from arqonmesh.core.bus.credentials import NOT_AUTHENTICATED, Credentials
from arqonmesh.core.bus.identity import Identity, Role
from arqonmesh.core.bus.refusal import Refusal
from arqonmesh.core.events import CredentialRevoked
from arqonmesh.ids import ClientId
from tests.core.bus.house import START_MS, House

pytestmark = pytest.mark.requirement("R-BU-14")
PLANT = RoomRule(rooms=("plant:*",), join="admin")


def known(current: Identity, shown: str) -> Identity:
    """Tokens of this test: ROLE@EXPIRY in seconds from the start."""
    role, _, expires = shown.partition("@")
    if role not in ("guest", "user", "admin"):
        raise Refusal("bus.auth", "the token does not hold up", field="token")
    return replace(current, role=cast(Role, role), expires_ms=START_MS + int(expires) * 1_000, via="jwt")


def house(notice_s: int = 60) -> House:
    return House(BusSettings(auth=AuthSettings(expiry_notice_s=notice_s, rooms=(PLANT,))), authenticate=known)


def until(seconds: int, role: str = "user") -> Identity:
    return Identity("ann", role, expires_ms=START_MS + seconds * 1_000, via="jwt")  # type: ignore[arg-type]


def test_a_client_is_told_before_its_token_expires_and_closed_after() -> None:
    """Once, a minute before; 4401 with the code in its reason; nothing of a client whose identity has no end."""
    bus = house()
    client, endless = bus.connect(identity=until(300)), bus.connect(identity=Identity("root"))
    bus.take(client)
    bus.wait(239_000)
    assert bus.take(client) == []
    bus.wait(2_000)
    (told,) = bus.take(client)
    assert (told["type"], told["payload"]["event"], told["payload"]["expires_in_ms"]) == ("system", "expiring", 60_000)
    assert told["payload"]["expires"] == "2026-01-01T00:05:00.000Z"
    bus.wait(58_000)
    assert bus.closed == []
    bus.wait(2_000)
    ((closed),) = bus.closed
    assert (closed.client, closed.code) == (client, NOT_AUTHENTICATED)
    assert closed.reason.startswith("bus.auth-expired: ")
    assert [dropped.reason for dropped in bus.dropped] == ["auth-expired"]
    assert bus.send(client, {"type": "ping"}) == []
    bus.wait(10_000_000)
    assert len(bus.closed) == 1
    assert bus.ask(endless, {"type": "ping"})["status"] == "success"


def test_a_client_that_comes_with_a_token_about_to_expire_is_told_at_once() -> None:
    """Less than the notice is left: the notice follows the welcome."""
    bus = house()
    client = bus.connect(identity=until(5))
    bus.take(client)
    bus.wait(1)
    (told,) = bus.take(client)
    assert (told["payload"]["event"], told["payload"]["expires_in_ms"]) == ("expiring", 5_000)
    bus.wait(5_000)
    assert (bus.take(client), [closed.client for closed in bus.closed]) == ([], [client])


def test_a_newer_token_keeps_the_connection_and_the_subscriptions() -> None:
    """And moves the end; the answer says who the client is now."""
    bus = house()
    client = bus.connect(identity=until(100))
    bus.send(client, {"type": "join", "channel": "chat:lobby"})
    answer = bus.ask(client, {"type": "authenticate", "id": "7", "args": {"token": "admin@500"}})
    assert answer["payload"]["role"] == "admin"
    assert answer["payload"]["expires"] == "2026-01-01T00:08:20.000Z"
    assert (answer["payload"]["left"], answer["request_id"]) == ([], "7")
    bus.wait(430_000)
    assert bus.closed == []
    bus.send(bus.connect(), {"type": "event", "channel": "chat:lobby", "payload": 1})
    assert [frame["type"] for frame in bus.take(client)] == ["event"]
    bus.wait(80_000)
    assert [frame["payload"]["event"] for frame in bus.take(client)] == ["expiring"]
    assert [closed.client for closed in bus.closed] == [client]


def test_with_fewer_rights_the_subscriptions_that_need_more_end() -> None:
    """At once, patterns included, and routes that were worked out before."""
    bus = house()
    client = bus.connect(identity=until(9_000, "admin"))
    for channel in ("plant:press", "*", "chat:lobby"):
        bus.send(client, {"type": "join", "channel": channel})
    bus.send(client, {"type": "event", "channel": "chat:lobby", "payload": 1})
    answer = bus.ask(client, {"type": "authenticate", "args": {"token": "guest@9000"}})
    assert answer["payload"]["left"] == ["plant:press"]
    assert bus.ask(client, {"type": "event", "channel": "chat:lobby", "payload": 1})["type"] == "error"
    bus.send(bus.connect(identity=Identity("root", "admin")), {"type": "event", "channel": "plant:press", "payload": 1})
    assert bus.take(client) == []


def test_a_token_that_does_not_hold_up_changes_nothing() -> None:
    """An error, and the client is who it was; without a token, the answer is who it is."""
    bus = house()
    client = bus.connect(identity=until(100))
    told = bus.ask(client, {"type": "authenticate", "args": {"token": "rubbish@1"}})
    assert (told["type"], told["payload"]["code"]) == ("error", "bus.auth")
    assert "rubbish" not in str(told)
    answer = bus.ask(client, {"type": "authenticate"})["payload"]
    assert (answer["subject"], answer["role"], answer["expires"]) == ("ann", "user", "2026-01-01T00:01:40.000Z")
    nobody = House()
    assert nobody.ask(nobody.connect(), {"type": "authenticate", "args": {"token": "x"}})["type"] == "error"


def test_a_revoked_key_closes_its_clients_and_no_others() -> None:
    """4401; whoever came in with another credential stays."""
    bus = house()
    gone = [bus.connect(identity=Identity("a", via="key:k1")) for _ in range(2)]
    stays = bus.connect(identity=Identity("a", via="key:k2"))
    bus.tell(CredentialRevoked("key:k1"))
    assert [(closed.client, closed.code) for closed in bus.closed] == [(one, NOT_AUTHENTICATED) for one in gone]
    assert bus.ask(stays, {"type": "ping"})["status"] == "success"


def test_the_end_of_anonymous_access_closes_who_showed_nothing() -> None:
    """4401 bus.auth; whoever showed something stays."""
    bus = house()
    nobody, stays = bus.connect(), bus.connect(identity=Identity("a", via="key:k2"))
    bus.tell(CredentialRevoked("anonymous"))
    ((closed, code, reason),) = [(closed.client, closed.code, closed.reason) for closed in bus.closed]
    assert (closed, code, reason.partition(":")[0]) == (nobody, NOT_AUTHENTICATED, "bus.auth")
    assert bus.ask(stays, {"type": "ping"})["status"] == "success"


def test_a_wall_clock_that_steps_back_closes_nobody_early() -> None:
    """The timer wakes, the wall clock decides, and it is looked at again."""
    bus = house(notice_s=0)
    client = bus.connect(identity=until(100))
    bus.wall_ms -= 50_000
    bus.wait(120_000)
    assert bus.closed == []
    bus.wait(40_000)
    assert [closed.client for closed in bus.closed] == [client]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100), st.booleans()), max_size=200), st.integers(0, 100))
def test_who_is_due_is_found_whatever_was_set_and_forgotten(steps: list[tuple[int, int, bool]], now: int) -> None:
    """Against a plain dictionary; and the heap does not grow with what was forgotten."""
    credentials, model = Credentials(), dict[ClientId, int]()
    for number, at, forget in steps:
        client = ClientId(str(number))
        if forget:
            credentials.forget(client)
            model.pop(client, None)
        else:
            credentials.set(client, at)
            model[client] = at
    assert credentials.next == min(model.values(), default=None)
    assert sorted(credentials.due(now)) == sorted(client for client, at in model.items() if at <= now)
    assert len(credentials) == sum(at > now for at in model.values())
    assert len(credentials._heap) <= 2 * 6 + 65
