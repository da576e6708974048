"""Real nodes in this process, linked, for tests of what one tells of the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from arqonmesh.runtime.service import Service
from tests.runtime.test_service import linked, service


@asynccontextmanager
async def opened(*nodes: Service) -> AsyncIterator[None]:
    """All of them run, and are closed however the test ends."""
    try:
        for node in nodes:
            await node.open()
        yield
    finally:
        for node in nodes:
            await node.close()


@asynccontextmanager
async def hub_and_spoke(tmp_path: Path) -> AsyncIterator[tuple[Service, Service]]:
    """A hub of the cluster hq, the founder, and a spoke of the cluster store, whose link is up at the hub."""
    hub, spoke = service(tmp_path, "hq", "hub"), service(tmp_path, "store", "spoke")
    async with opened(hub, spoke):
        await linked(hub, spoke)
        yield hub, spoke
