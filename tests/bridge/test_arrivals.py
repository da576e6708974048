"""Many clients who come at once, and handshakes larger than the buffer that a connection begins with."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from urllib.parse import urlsplit

from tests.bridge.conftest import RunningBus
from tests.bridge.raw import RawClient
from tests.waiting import until


async def test_hundreds_who_connect_before_the_server_looks_are_all_let_in(bus: RunningBus) -> None:
    """The kernel queues them; the server takes a few per turn of its loop and leaves none behind."""
    split = urlsplit(bus.url)
    address = (split.hostname, split.port)
    sockets = [socket.create_connection(address, timeout=5) for _ in range(300)]  # the loop stands still meanwhile
    for sock in sockets:
        sock.setblocking(False)
    clients = [RawClient(*await asyncio.open_connection(sock=sock)) for sock in sockets]
    for client in clients:
        await client.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    for client in clients:
        assert b" 101 " in await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 10)
    for client in clients:
        await client.hang_up()


async def test_a_handshake_with_long_headers_and_long_frames_after_it_are_read(bus: RunningBus) -> None:
    """A browser's cookies and a frame of 200 KB: the buffer of a connection grows with what it reads."""
    client = await RawClient.upgraded(bus.url, "Connection: Upgrade\r\n" + f"Cookie: {'x' * 6_000}\r\n")
    await client.send(b'{"type":"ping","id":"%b","v":1,"payload":"%b"}' % (b"i" * 20, b"p" * 200_000))
    assert b'"pong":true' in (await client.frame())[1]
    await client.hang_up()


async def test_a_connection_that_ended_leaves_nothing_for_the_garbage_collector(bus: RunningBus) -> None:
    """However it ended: of clients that come and go all day, what waits for a collection would be megabytes."""
    gc.collect()
    gc.disable()
    try:
        for reset in (False, True):
            client = await RawClient.upgraded(bus.url)
            (connection,) = bus.server._connections.values()
            transport = weakref.ref(connection.raw)
            del connection
            if reset:
                client.writer.transport.abort()
            await client.hang_up()
            await until(lambda ended=transport: ended() is None)  # type: ignore[misc]
    finally:
        gc.enable()
