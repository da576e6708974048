"""The dashboard example: its page in headless Chromium, fed by its own readings."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from arqonmesh.config.model import BusSettings
from bench.lone_bus import LoneBus
from tests.examples import chromium
from tests.sdk import kit

DASHBOARD = Path(__file__).resolve().parents[2] / "examples" / "dashboard" / "dashboard.py"
LENGTHS = "[...document.querySelectorAll('polyline')].map(l => (l.getAttribute('points') ?? '').split(' ').length)"
POINTS = f"Math.min(...{LENGTHS})"
CONNECTED = "document.getElementById('state').textContent.startsWith('connected')"
HOSTS = ("web-1", "web-2", "db-1")


@pytest.mark.requirement("R-BU-29")
@pytest.mark.skipif(chromium.BINARY is None, reason="no chromium on this machine")
async def test_the_page_draws_what_is_published() -> None:
    """A chart per number, moving; and it says so when the bus goes and comes back."""
    kit.built("build")
    bus = LoneBus(BusSettings())
    url = await bus.start()
    process = await asyncio.create_subprocess_exec(
        sys.executable, DASHBOARD, url, "--port", "0", "--feed", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        said = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        async with chromium.open_page(said.split()[-1]) as page:
            await page.until("document.querySelectorAll('figure').length === 6")
            assert await page.until(f"{POINTS} >= 5 && {POINTS}")
            names = await page.value("[...document.querySelectorAll('figcaption span')].map(s => s.textContent).sort()")
            assert names == sorted(f"telemetry:{host} {what}" for host in HOSTS for what in ("load", "requests"))
            first = await page.picture()
            count = await page.value(POINTS)
            await page.until(f"{POINTS} > {count}")
            second = await page.picture()
            assert first.startswith(b"\x89PNG")
            assert min(len(first), len(second)) > 10_000, "a page without its charts is smaller"
            assert first != second, "the charts move"
            for connection in list(bus.server._connections.values()):
                connection.abort()
            count = await page.until(f"{CONNECTED} && {POINTS}")
            await page.until(f"{POINTS} > {count}")
    finally:
        process.terminate()
        await process.wait()
        await bus.stop()
    assert process.returncode == 0


async def test_a_port_that_is_taken_is_said_in_two_lines() -> None:
    """With the option that helps, and none of Python's trace."""
    kit.built("build")
    bus = LoneBus(BusSettings())
    url = await bus.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, DASHBOARD, url, "--port", port, stderr=asyncio.subprocess.PIPE
        )
        _, told = await asyncio.wait_for(process.communicate(), 20)
    await bus.stop()
    problem, hint = told.decode().splitlines()
    assert (f"127.0.0.1:{port}" in problem, "--port" in hint, process.returncode) == (True, True, 2)
