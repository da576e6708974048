"""Print what the mesh tells its applications: python examples/mesh_watch.py URL [--count N]

Who is out of reach since when, whether this side may change anything, when it is complete again, and user events.
"""

from __future__ import annotations

import argparse
from typing import Any

from arqonmesh.client import BusClient
from arqonmesh.client.program import arguments, run


def line(told: dict[str, Any]) -> str:
    if told["event"] == "user-event":
        return f"event {told['name']} by {told['cluster']}/{told['author'][:8]}: {told.get('payload', '(binary)')}"
    if told["phase"] == "none":
        return "this node belongs to no mesh"
    access = "writable" if told["writable"] else "read-only"
    text = f"{told['phase']}, {access}: {told['votes']} of {told['voters']} votes, {told['required']} required"
    if told["complete"]:
        return f"{text}; complete"
    missing = [f"{one['cluster']}/{one['node'][:8]} since {one['since']}" for one in told["missing"]]
    return f"{text}; missing: {', '.join(missing) or 'nobody any more'}"


async def main(options: argparse.Namespace) -> None:
    left = options.count
    async with await BusClient.connect(options.url, options.token, name="mesh-watch") as bus:
        await bus.join("$mesh")
        async for message in bus.messages():
            print(line(message.payload), flush=True)
            left -= 1
            if left == 0:
                return


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--count", type=int, default=0, help="end after so many messages; 0: never")
    run(main, parser.parse_args())
