"""A hub on `websockets`, as its documentation makes one: `broadcast` to everybody else, compression off."""

from __future__ import annotations

import asyncio
import contextlib

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

_clients: set[ServerConnection] = set()


async def client(connection: ServerConnection) -> None:
    _clients.add(connection)
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            broadcast(_clients - {connection}, message)
    _clients.discard(connection)


async def main() -> None:
    async with serve(client, "127.0.0.1", 0, compression=None, write_limit=1 << 26) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
