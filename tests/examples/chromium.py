"""Headless Chromium, driven over its DevTools protocol: open a page, ask it something, take a picture of it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

BINARY: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
    "--window-size=1000,600",
)


class Tab:
    """One page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        id_ = next(self._ids)
        await self._socket.send(json.dumps({"id": id_, "method": method, "params": params}))
        while True:
            answer = json.loads(await self._socket.recv())
            if answer.get("id") == id_:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression is now."""
        told = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return told["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 20) -> Any:
        """Ask until it is true."""
        async with asyncio.timeout(timeout_s):
            while not (value := await self.value(expression)):  # noqa: ASYNC110 -- it happens in the page
                await asyncio.sleep(0.05)
        return value

    async def picture(self) -> bytes:
        """PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])


@asynccontextmanager
async def open_page(url: str) -> AsyncIterator[Tab]:
    """Start a browser with a profile of its own at this page; gone when the block ends."""
    assert BINARY is not None
    with tempfile.TemporaryDirectory(prefix="arqon-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            BINARY,
            *_FLAGS,
            f"--user-data-dir={profile}",
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _debugging_port(Path(profile) / "DevToolsActivePort")
            async with connect(await _page_of(port), max_size=None) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            await process.wait()


async def _debugging_port(file: Path) -> int:
    async with asyncio.timeout(20):
        while True:
            lines = file.read_text().splitlines() if file.exists() else []  # noqa: ASYNC240 -- a few bytes
            if len(lines) >= 2:
                return int(lines[0])
            await asyncio.sleep(0.05)


async def _page_of(port: int) -> str:
    """The WebSocket of the first page, from the list that the browser serves over HTTP."""
    async with asyncio.timeout(20):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port)
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line)
            length = int(headers[b"content-length"])
            listed = json.loads(await reader.readexactly(length))
            writer.close()
            await writer.wait_closed()
            for target in listed:
                if target["type"] == "page" and target["url"].startswith("http"):
                    return str(target["webSocketDebuggerUrl"])
            await asyncio.sleep(0.05)
