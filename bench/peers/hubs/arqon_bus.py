"""Our bus without a mesh, from whichever checkout stands first on the path."""

from __future__ import annotations

import asyncio

from arqonmesh.config.model import BusSettings
from bench.lone_bus import LoneBus


async def main() -> None:
    bus = LoneBus(BusSettings())
    print((await bus.start()).rstrip("/").rpartition(":")[2], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
