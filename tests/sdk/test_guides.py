"""The first program of each guide runs as it stands there, against a real bus, and prints what it should."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arqonmesh.config.model import BusSettings
from bench.lone_bus import LoneBus
from tests.sdk.kit import TYPESCRIPT

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "ws://127.0.0.1:9100"
LINES_MAX = 10


@pytest.fixture
async def url() -> AsyncIterator[str]:
    bus = LoneBus(BusSettings())
    yield await bus.start()
    await bus.stop()


def programs(guide: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(), re.M | re.S)


async def start(*command: str | Path, cwd: Path = ROOT) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def printed(*command: str | Path, cwd: Path = ROOT) -> str:
    process = await start(*command, cwd=cwd)
    text, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, text.decode()
    return text.decode()


@pytest.mark.requirement("R-SD-3")
async def test_the_python_guide_s_programs(url: str) -> None:
    """With an event loop in at most ten lines, and without."""
    first, second = programs(ROOT / "docs" / "sdk" / "python.md", "python")
    assert len([line for line in first.splitlines() if line.strip()]) <= LINES_MAX
    assert (await printed(sys.executable, "-c", first, url)).endswith(" {'text': 'hello'}\n")
    assert await printed(sys.executable, "-c", second.replace(ADDRESS, url)) == "{'text': 'hello'}\n"


def first_programs() -> list[str]:
    """Of the front page and of the guide."""
    return [programs(page, "python")[0] for page in (ROOT / "README.md", ROOT / "docs" / "sdk" / "python.md")]


@pytest.mark.requirement("R-SD-3")
@pytest.mark.parametrize("program", first_programs(), ids=["front page", "guide"])
async def test_a_first_program_with_a_wrong_token_says_so_in_two_lines(program: str) -> None:
    """Whoever begins is told what helps, and sees none of our code."""
    bus = LoneBus(BusSettings(auth_token="s3cret"))
    process = await start(sys.executable, "-c", program, await bus.start(), "--token", "wr0ng")
    text, _ = await asyncio.wait_for(process.communicate(), 30)
    await bus.stop()
    problem, hint = text.decode().splitlines()
    assert (problem.startswith("error: "), hint.startswith("hint: "), process.returncode) == (True, True, 4)


@pytest.mark.requirement("R-SD-3")
async def test_ctrl_c_ends_the_front_page_s_program_without_a_word(url: str) -> None:
    """After it has printed its own message."""
    process = await start(sys.executable, "-u", "-c", first_programs()[0], url)
    assert process.stdout is not None
    assert b"{'load': 0.4}" in await asyncio.wait_for(process.stdout.readline(), 30)
    process.send_signal(signal.SIGINT)
    text, _ = await asyncio.wait_for(process.communicate(), 30)
    assert (text, process.returncode) == (b"", 0)


@pytest.mark.requirement("R-SD-3")
@pytest.mark.parametrize("guide", ["docs/sdk/typescript.md", "clients/typescript/README.md"])
async def test_the_typescript_guide_s_program(url: str, guide: str, typescript: Path) -> None:
    """In at most ten lines; the package is found by its name."""
    (program,) = programs(ROOT / guide, "ts")
    assert len([line for line in program.splitlines() if line.strip()]) <= LINES_MAX
    text = await printed("node", "--input-type=module", "--eval", program.replace(ADDRESS, url), cwd=TYPESCRIPT)
    assert "{ text: 'hello' }" in text


@pytest.mark.requirement("R-SD-3")
async def test_the_typescript_guide_s_program_says_in_two_lines_that_a_token_is_wanted(typescript: Path) -> None:
    """No dump of the client's code, and the exit code of a refusal."""
    bus = LoneBus(BusSettings(auth_token="s3cret"))
    (program,) = programs(ROOT / "docs/sdk/typescript.md", "ts")
    program = program.replace(ADDRESS, (await bus.start()).rstrip("/"))
    process = await start("node", "--input-type=module", "--eval", program, cwd=TYPESCRIPT)
    text, _ = await asyncio.wait_for(process.communicate(), 30)
    await bus.stop()
    problem, hint = text.decode().splitlines()
    assert ("none was shown [bus.auth]" in problem, hint) == (True, "hint: connect(url, { token })")
    assert process.returncode == 4
