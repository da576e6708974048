"""A running node takes new settings: all of what it can, or nothing at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arqonmesh.client import BusClient
from arqonmesh.config.fields import settings
from arqonmesh.config.load import load
from arqonmesh.errors import ArqonError, ConfigError
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.reload import reload_by_signal
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey
from tests.waiting import until

BASE = """\
node: {cluster: hq}
listen: {quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "127.0.0.1:0", telemetry: "127.0.0.1:0"}
"""


class Running:
    """A node whose file is rewritten."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "arqon.yaml"
        self.write("")
        self.service = Service(load(self.file, {}), NodeKey.generate(), Store.open(folder / "mesh.db"), folder)
        self.control = Control(self.service)

    def write(self, text: str) -> None:
        self.file.write_text(BASE + text)

    @property
    def url(self) -> str:
        return "ws://{}:{}".format(*self.service.bus.address)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(tmp_path)
    await running.service.open()
    yield running
    await running.service.close()


@pytest.mark.requirement("R-CF-2")
async def test_what_differs_is_told_and_what_can_be_is_taken(node: Running) -> None:
    """`diff` changes nothing; `reload` takes the marked settings and names the others, which stay different."""
    node.write("bus: {rate_per_s: 7, auth_token: hunter2hunter2, frame_bytes_max: 100000}\nlog: {level: info}\n")
    told = await node.control.config_changes(False)
    assert [(each.name, each.running, each.file, each.hot) for each in told.changes] == [
        ("bus.frame_bytes_max", "262144", "100000", False),
        ("bus.rate_per_s", "0", "7", True),
        ("bus.auth_token", '""', '"********"', True),
    ]
    assert told.changes[1].origin == "arqon.yaml, line 3"
    assert (told.applied, node.service.config.bus.rate_per_s) == (False, 0)
    done = await node.control.config_changes(True)
    assert (done.applied, done.changes) == (True, told.changes)
    assert [each.name for each in (await node.control.config_changes(False)).changes] == ["bus.frame_bytes_max"]
    text = node.service.log.newest[-1].text
    assert text == (
        'settings reloaded: bus.rate_per_s 0 -> 7, bus.auth_token "" -> "********"; '
        "a restart is needed for bus.frame_bytes_max"
    )


@pytest.mark.requirement("R-CF-2")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("bus: {rate_per_s: 7, clients_max: -1}", "config.type"),
        ("bus: {rate_per_s: 7}\nbuss: {}", "config.unknown-key"),
        ("bus: {rate_per_s: 7, auth: {jwt: {jwks_file: absent.json}}}", "bus.auth-keys"),
        ("bus: {rate_per_s: 7, buffer_bytes_max: 2000, frame_bytes_max: 1000}", "config.needs-restart"),
        ("bus: {rate_per_s: 7", "config.syntax"),
        ("bus: {rate_per_s: 7}\nfederation: {export: {deny: [nocolon]}}", "config.pattern"),
    ],
)
async def test_a_file_with_anything_wrong_changes_nothing(node: Running, text: str, code: str) -> None:
    """Not even what is right in it, and the error says what is wrong; a signal's goes to the log."""
    before = node.service.config
    node.write(text)
    for apply in (True, False):
        with pytest.raises(ConfigError) as caught:
            await node.control.config_changes(apply)
        assert caught.value.code == code
    reload_by_signal(node.service)
    assert f"[{code}]" in node.service.log.newest[-1].text
    assert node.service.config is before
    assert node.service.node.bus.settings.rate_per_s == 0


async def test_what_waits_for_a_restart_with_something_else_is_told_with_both_values(node: Running) -> None:
    """A pin and the region that it needs, in one edit: the region is given, and only the node does not have it yet."""
    node.write('federation:\n  pin: [{channels: ["a:*"], regions: [eu]}]\n')
    node.file.write_text(node.file.read_text().replace("{cluster: hq}", "{cluster: hq, region: eu}"))
    with pytest.raises(ConfigError) as caught:
        await node.control.config_changes(True)
    assert caught.value.code == "config.needs-restart"
    assert str(caught.value) == (
        'federation.pin (arqon.yaml, line 4) goes with node.region, which is "eu" there and "" in the running node; '
        "a restart takes both, a reload only the first, so that nothing was changed"
    )


async def test_several_problems_are_counted_in_the_one_that_is_told(node: Running) -> None:
    """`arqon config check` tells them all."""
    node.write("bus: {clients_max: -1, rate_per_s: x}\nbuss: {}\n")
    with pytest.raises(ConfigError) as caught:
        await node.control.config_changes(True)
    assert str(caught.value).endswith("and 2 more problems; nothing was changed")
    assert caught.value.hint == "arqon config check"


@pytest.mark.requirement("R-CF-2")
async def test_rooms_tokens_origins_and_limits_hold_for_clients_at_once(node: Running) -> None:
    """Who is connected is held to the new rates and rules; who comes, to the new token and limits. Who showed nothing
    is closed when a token is asked for from now on."""
    text = (
        "bus:\n  clients_max: 2\n  subscriptions_max: 2\n  rate_per_s: 1000\n"
        "  history: {per_channel: 2}\n  auth: {rooms: [{rooms: ['plant:*'], publish: admin}]}\n"
    )
    async with await BusClient.connect(node.url) as early:
        await early.join("plant:press")
        node.write(text)
        await node.control.config_changes(True)
        bus = node.service.node.bus
        assert all(client.limits is not None for client in bus.clients.values())
        (connected,) = bus.clients.values()
        assert not bus.permissions.may(connected.info.identity, "publish", "plant:press")
        await early.join("a:1")
        with pytest.raises(ArqonError) as refused:
            await early.join("a:2")
        assert refused.value.code == "bus.subscriptions-full"
        node.write(text + "  auth_token: hunter2hunter2\n")
        await node.control.config_changes(True)
        await until(lambda: not bus.clients)
        with pytest.raises(ArqonError) as anonymous:
            await BusClient.connect(node.url)
        assert anonymous.value.code.startswith("bus.")
        async with await BusClient.connect(node.url, token="hunter2hunter2"):
            await until(lambda: len(bus.clients) == 1)
        assert bus.history.per_channel == 2
    node.write("")
    await node.control.config_changes(True)
    async with await BusClient.connect(node.url) as late:
        await late.join("plant:press")
        assert all(client.limits is None for client in node.service.node.bus.clients.values())


async def test_every_marked_setting_reaches_whoever_works_by_it(node: Running) -> None:
    """Each part's settings are those of the configuration, after a reload as after a start."""
    node.write(
        "bus: {buffer_bytes_max: 300000, connections_per_address_max: 9, origins: ['https://a.example'],"
        " slow: {policy: spill, spill_bytes_max: 5}, history: {max_age_s: 60, max_bytes: 1000}}\n"
        "telemetry: {window_s: 2, batch_ms: 7, clients_max: 1}\nhttp: {cors_origins: ['*']}\n"
        "federation: {export: {allow: ['a:*']}}\nuser_events: {burst: 3}\nrouting: {transit: trusted}\n"
    )
    await node.control.seed("acme", "open", "")
    assert not node.service.node.bus.exported("a:b")
    await node.control.config_changes(True)
    service = node.service
    config = service.config
    assert service.node.config is config
    assert service.node.bus.settings is service.bus.settings is config.bus
    assert service.bus._acceptor.per_address_max == 9
    slow = service.bus.outgoing.slow
    assert (slow.policy, slow._bytes_max, slow._room.bytes_max) == ("spill", 300_000, 5)
    assert service.telemetry.server.settings is service.telemetry.server.hub._settings is config.telemetry
    assert service.http.cors_origins == ("*",)
    assert service.node.bus.exported("a:b")
    plane = service.node.plane
    assert plane is not None
    assert plane.routing.transit._settings is config.routing and config.routing.transit == "trusted"
    fired = [service.node.fire(service.host.now(), "x", b"") for _ in range(3)]
    assert len(fired) == 3
    with pytest.raises(ArqonError, match=r"user_events\.rate_per_s"):
        service.node.fire(service.host.now(), "x", b"")


def test_the_marks_are_those_that_the_reload_serves() -> None:
    """A mark is a promise: a section with marked settings is one that somebody adopts."""
    hot = {".".join(setting.path[:2]) for setting in settings().values() if setting.hot}
    served = {"bus", "telemetry", "http", "log", "federation", "routing", "user_events"}
    assert {name.split(".")[0] for name in hot} == served
    assert {"federation.outbox", "federation.ttl"}.isdisjoint(hot)
