"""Nodes that fail in ways in which ours does not: they welcome, and then do as they were told."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Literal, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from tests.waiting import until

Manner = Literal["answers", "hangs up", "says nothing", "talks", "talks on"]


class OddNode:
    """`answers` every command; `hangs up` at the first one; `says nothing`, not even a welcome; `talks` of other things
    for a while before it answers; `talks on` and never does."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.url = ""
        self.came = 0
        """Connections so far."""
        self.here = 0
        """Connections now."""
        self.asked: list[str] = []
        """Channels that somebody wanted to join."""
        self.told = 0
        """Things that nobody asked for."""
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, subprotocols=[Subprotocol("arqon.v1")])
        self.url = f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        await until(lambda: self.here == 0)
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client: ServerConnection) -> None:
        self.came += 1
        self.here += 1
        try:
            if self.manner == "says nothing":
                await client.wait_closed()
                return
            await self._say(client, "system", {"welcome": "odd", "client_id": f"c{self.came}", "node": "n"})
            async for frame in client:
                if self.manner == "hangs up":
                    client.transport.abort()
                    return
                told = json.loads(frame)
                self.asked.append(told.get("args", {}).get("channel", ""))
                while self.manner.startswith("talks"):
                    await self._say(client, "system", {"event": "something else"})
                    await asyncio.sleep(0.02)
                    self.told += 1
                    if self.manner == "talks" and self.told == 15:
                        break
                await self._say(client, "response", {"success": True, "position": {}}, request_id=told["id"])
        finally:
            await client.close()
            self.here -= 1

    async def _say(self, client: ServerConnection, kind: str, payload: object, **more: str) -> None:
        told = {"id": "arq_odd", "type": kind, "from": "arqonbus", "payload": payload, "v": 1, **more}
        await client.send(json.dumps({**told, "timestamp": "2026-01-01T00:00:00.000Z"}))
