"""The example programs run as their README says, each as a process of its own against a real bus."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arqonmesh.client import BusClient
from arqonmesh.config.model import BusSettings
from bench.lone_bus import LoneBus
from tests.waiting import until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    bus = LoneBus(BusSettings())
    yield await bus.start()
    await bus.stop()


async def start(name: str, *arguments: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / name,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().rstrip("\n")


async def output(process: asyncio.subprocess.Process, typed: str = "") -> str:
    text, _ = await asyncio.wait_for(process.communicate(typed.encode()), 20)
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
    """In a channel, in private, and what cannot be answered."""
    said = await output(await start("ask_and_answer.py", url))
    assert said.splitlines() == [
        "the answer is 42",
        "are you sure? I am sure",
        "and the meaning of 42? agents:questions could not answer: nobody knows that",
    ]


@pytest.mark.requirement("R-BU-29")
async def test_people_chat_and_a_newcomer_sees_what_was_said(url: str) -> None:
    """Presence, live lines, history; and the text of others cannot steer the terminal."""
    ada = await start("chat.py", url, "ada")
    assert await line(ada) == "* in chat:lobby: ada"
    bob = await start("chat.py", url, "bob")
    assert await line(bob) == "* in chat:lobby: ada, bob"
    assert await line(ada) == "* bob joined"
    assert ada.stdin is not None
    ada.stdin.write(b"hello \x1b[2J there\n\n")
    assert (await line(bob)).endswith(" ada: hello [2J there")
    assert await output(bob) == ""
    assert await line(ada) == "* bob left"
    newcomer = await start("chat.py", url, "eve")
    assert (await line(newcomer)).endswith(" ada: hello [2J there")
    await output(newcomer)
    ada.send_signal(signal.SIGINT)
    await output(ada)


@pytest.mark.requirement("R-BU-29")
async def test_a_sensor_s_readings_all_arrive(url: str) -> None:
    """Each with its own time, in order."""
    async with await BusClient.connect(url) as bus:
        await bus.join("sensors:t1")
        sensor = await start("iot_publisher.py", url, "--sensor", "t1", "--count", "3", "--every", "0.01")
        said = (await output(sensor)).splitlines()
        readings = []
        async for message in bus.messages():
            readings.append(message.payload)
            if len(readings) == 3:
                break
    assert said == [f"{reading['celsius']:.2f} °C" for reading in readings]
    assert [reading["at_ms"] for reading in readings] == sorted(reading["at_ms"] for reading in readings)
    assert {reading["lost"] for reading in readings} == {0}


@pytest.mark.requirement("R-BU-29")
async def test_log_lines_are_shipped_once_over_restarts(url: str, tmp_path: Path) -> None:
    """What was shipped is not shipped again; a line without its end waits; a rotated file begins anew."""
    log = tmp_path / "web.log"
    shipped: list[str] = []

    async def ship(content: str) -> str:
        log.write_text(content)
        return await output(await start("log_shipper.py", url, log, "--once"))

    async with await BusClient.connect(url) as bus:
        bus.on("logs:web", lambda message: shipped.extend(message.payload["lines"]))
        await bus.join("logs:web")
        assert await ship("one\ntwo\nhal") == "2 lines\n"
        assert await ship("one\ntwo\nhalf\n") == "1 lines\n"
        assert await ship("new\n") == "1 lines\n"
        assert await ship("new\n") == ""
        await until(lambda: len(shipped) == 4)
    assert shipped == ["one", "two", "half", "new"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("watch.py", ["a:b"]),
        ("publish_load.py", []),
        ("ask_and_answer.py", []),
        ("mesh_watch.py", []),
        ("chat.py", ["ada"]),
        ("iot_publisher.py", []),
        ("log_shipper.py", [str(Path(__file__))]),
    ],
)
async def test_a_wrong_address_is_two_lines_and_no_traceback(name: str, more: list[str]) -> None:
    """What was tried and what helps; the exit code is that of the error."""
    for url, code, said in (("ws://127.0.0.1:1", 1, "bus.unreachable"), ("http://localhost", 2, "bus.address")):
        process = await start(name, url, *more)
        text, _ = await asyncio.wait_for(process.communicate(), 20)
        lines = text.decode().splitlines()
        assert (process.returncode, len(lines)) == (code, 2), text.decode()
        assert lines[0].startswith("error: ")
        assert lines[0].endswith(f"[{said}]")
        assert lines[1].startswith("hint: ")


@pytest.mark.requirement("R-PA-6")
async def test_an_application_is_told_the_state_of_the_mesh(url: str) -> None:
    """mesh_watch.py prints the present state at once; this bus belongs to no mesh."""
    assert await output(await start("mesh_watch.py", url, "--count", "1")) == "this node belongs to no mesh\n"
