"""Which web pages may open the bus."""

from __future__ import annotations

from typing import Any

import pytest

from arqonmesh.bridge.handshake import origin_is_welcome
from arqonmesh.config.model import AuthSettings
from tests.bridge.conftest import StartBus
from tests.bridge.raw import RawClient


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "welcome"),
    [
        ("http://node.local:9180", "node.local:9100", (), True),
        ("https://node.local", "node.local:9100", (), True),
        ("http://[::1]:8000", "[::1]:9100", (), True),
        ("http://evil.example", "node.local:9100", (), False),
        ("http://node.local.evil.example", "node.local:9100", (), False),
        ("null", "node.local:9100", (), False),
        ("file://", "node.local:9100", (), False),
        ("http://[", "node.local:9100", (), False),
        ("null", "node.local:9100", ("null",), True),
        ("https://app.example.org", "node.local", ("https://app.example.org",), True),
        ("https://APP.example.org", "node.local", ("https://app.example.org",), True),
        ("http://app.example.org", "node.local", ("https://app.example.org",), False),
        ("https://a.example.org", "node.local", ("https://*.example.org",), True),
        ("https://example.org", "node.local", ("https://*.example.org",), False),
        ("http://anything", "node.local", ("*",), True),
    ],
)
def test_a_page_is_of_this_host_or_listed(origin: str, host: str, allowed: tuple[str, ...], welcome: bool) -> None:
    """Ports may differ, because another program serves the page; the scheme counts in a list."""
    assert origin_is_welcome(origin, host, allowed) is welcome


async def test_a_page_of_another_host_is_told_how_to_be_let_in(start_bus: StartBus) -> None:
    """4403 with the code, which its script can read, and a count; a program, which names no origin, is let in."""
    bus = await start_bus()
    client = await RawClient.open(bus.url)
    await client.write(
        b"GET / HTTP/1.1\r\nHost: node:9100\r\nOrigin: https://evil.example\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
    code, reason = await client.closed_with()
    assert code == 4403
    assert reason.startswith("bus.origin: the page comes from 'https://evil.example'")
    await client.hang_up()
    assert bus.drops() == [("bridge", "origin")]
    async with bus.client():
        pass


@pytest.mark.parametrize(
    ("host", "settings", "welcome"),
    [
        ("evil.example", {}, False),
        ("evil.example", {"origins": ("http://evil.example:9180",)}, True),
        ("evil.example", {"auth": AuthSettings(anonymous="user")}, True),
        ("localhost.evil.example", {}, False),
        ("localhost", {}, True),
        ("app.localhost", {}, True),
        ("127.0.0.1", {}, True),
        ("[::1]", {}, True),
    ],
)
async def test_a_name_that_is_made_to_lead_here_opens_no_trusting_bus(
    start_bus: StartBus, host: str, settings: dict[str, Any], welcome: bool
) -> None:
    """DNS rebinding: page and bus have the same host, whose owner chose the address. Where nobody shows who it is, only
    hosts that no name server is asked about are let in, and those that are listed or meant by a role for anyone."""
    bus = await start_bus(**settings)
    client = await RawClient.open(bus.url)
    await client.write(
        b"GET / HTTP/1.1\r\nHost: %b:9100\r\nOrigin: http://%b:9180\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        % (host.encode(), host.encode())
    )
    assert b" 101 " in await client.reader.readuntil(b"\r\n\r\n")
    if welcome:
        assert b'"welcome"' in (await client.frame())[1]
    else:
        assert (await client.closed_with())[0] == 4403
    await client.hang_up()
