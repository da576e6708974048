"""A hub on python-socketio over aiohttp."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio
from aiohttp import web

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")


async def heard(sid: str, data: Any) -> None:
    await server.emit("m", data, skip_sid=sid)


async def main() -> None:
    server.on("m", heard)
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
