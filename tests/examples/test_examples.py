"""The example programs run as their README says, each as a process of its own against a real bus."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arqonmesh.config.model import BusSettings
from bench.lone_bus import LoneBus

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    bus = LoneBus(BusSettings())
    yield await bus.start()
    await bus.stop()


async def start(name: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, EXAMPLES / name, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def output(process: asyncio.subprocess.Process) -> str:
    text, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, text.decode()
    return text.decode()


@pytest.mark.requirement("R-SD-3")
async def test_what_one_program_publishes_another_prints(url: str) -> None:
    """publish_load.py and watch.py, joined by nothing but the bus."""
    watcher = await start("watch.py", url, "telemetry:host", "--count", "1")
    assert watcher.stdout is not None
    assert await asyncio.wait_for(watcher.stdout.readline(), 20) == b"listening on telemetry:host\n"

    published = await output(await start("publish_load.py", url, "1"))
    seen = await output(watcher)

    assert published.startswith("published ")
    assert seen.startswith("telemetry:host {'load': ")


@pytest.mark.requirement("R-BU-29")
async def test_an_agent_asks_and_another_answers(url: str) -> None:
    """Private messages both ways."""
    assert await output(await start("ask_and_answer.py", url)) == "the answer is 42\n"


@pytest.mark.requirement("R-PA-6")
async def test_an_application_is_told_the_state_of_the_mesh(url: str) -> None:
    """mesh_watch.py prints the present state at once; this bus belongs to no mesh."""
    assert await output(await start("mesh_watch.py", url, "--count", "1")) == "this node belongs to no mesh\n"
