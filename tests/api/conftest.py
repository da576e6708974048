from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from arqonmesh.api.client import NodeClient
from arqonmesh.api.server import ApiServer
from tests.api.fake import FakeNode


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Short, because the kernel holds 107 bytes of it."""
    with tempfile.TemporaryDirectory(prefix="arqon-") as directory:
        yield Path(directory) / "control.sock"


@pytest_asyncio.fixture
async def node() -> FakeNode:
    return FakeNode()


@pytest_asyncio.fixture
async def server(node: FakeNode, socket_path: Path) -> AsyncIterator[ApiServer]:
    server = ApiServer(node, socket_path)
    await server.start()
    yield server
    await server.close(0)


@pytest_asyncio.fixture
async def client(server: ApiServer, socket_path: Path) -> AsyncIterator[NodeClient]:
    async with NodeClient(socket_path) as client:
        yield client
