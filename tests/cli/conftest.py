from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arqonmesh.api.server import ApiServer
from arqonmesh_cli.app import run
from arqonmesh_cli.where import place_of
from tests.api.fake import FakeNode


@dataclass(frozen=True)
class Done:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The whole of standard output as one JSON document."""
        return json.loads(self.out)


Arqon = Callable[..., Done]


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests reaches them."""
    for name in ("ARQON_DATA_DIR", "ARQON_CONTEXT", "ARQON_JOIN_KEY", "ARQON_DEBUG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def arqon(monkeypatch: pytest.MonkeyPatch) -> Arqon:
    """Run a command line in this process: arqon("mesh", "status")."""

    def call(*arguments: str, stdin: str = "") -> Done:
        out, err = _Stream(), _Stream()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            patched.setattr(sys, "stdin", io.StringIO(stdin))
            code = run(arguments)
        return Done(code, out.text(), err.text())

    return call


class _Stream(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


@dataclass
class Served:
    """A node's control side behind a real socket, in a data directory of its own."""

    data_dir: Path
    node: FakeNode
    loop: asyncio.AbstractEventLoop

    @property
    def at(self) -> tuple[str, str]:
        return ("--data-dir", str(self.data_dir))


@pytest.fixture
def served() -> Iterator[Served]:
    """Runs in a thread, because commands bring their own event loop."""
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        data_dir = Path(directory)
        place = place_of(data_dir, None)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()

        async def begin() -> tuple[FakeNode, ApiServer]:
            node = FakeNode()
            server = ApiServer(node, place.socket)
            await server.start()
            return node, server

        node, server = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
        yield Served(data_dir, node, loop)
        asyncio.run_coroutine_threadsafe(server.close(0), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
