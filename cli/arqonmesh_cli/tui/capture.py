"""Print the live screen as text, as a terminal of that size would show it:

python -m arqonmesh_cli.tui.capture --data-dir DIR | --context NAME [--keys "down enter"] [--looks 12]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from arqonmesh.api.client import NodeClient
from arqonmesh_cli.connect import client_of
from arqonmesh_cli.tui.app import LiveMesh
from arqonmesh_cli.where import place_of


async def capture(
    client: NodeClient, *, width: int = 80, height: int = 24, keys: tuple[str, ...] = (), looks: int = 2
) -> str:
    """The screen after `looks` answers and then these keys (textual's names: "down", "enter", "question_mark")."""
    app = LiveMesh(client)
    async with app.run_test(size=(width, height)) as pilot:
        while app.looks < looks:
            await pilot.pause(0.02)
        for key in keys:
            await pilot.press(key)
        while app.state.view == "detail" and app.state.detail_lines is None:
            await pilot.pause(0.02)
        return app.text()


async def _main(arguments: argparse.Namespace) -> None:
    async with client_of(place_of(arguments.data_dir, arguments.context)) as client:
        await client.node_status()
        keys = tuple(arguments.keys.split())
        size = {"width": arguments.width, "height": arguments.height}
        sys.stdout.write(await capture(client, keys=keys, looks=arguments.looks, **size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--context")
    parser.add_argument("--width", type=int, default=80)
    parser.add_argument("--height", type=int, default=24)
    parser.add_argument("--keys", default="")
    parser.add_argument("--looks", type=int, default=12)
    asyncio.run(_main(parser.parse_args()))
