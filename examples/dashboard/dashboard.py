"""A dashboard in the browser: python examples/dashboard/dashboard.py [BUS_URL] [--port 8080] [--channels 'telemetry:*']

Serves one page and the built TypeScript client. The page is a client of the bus itself and draws a chart of every
number that comes; this script carries no messages. With --feed it also publishes readings, to have something to see.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import math
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from arqonmesh.client import BusClient
from arqonmesh.client.program import arguments, run
from arqonmesh.errors import UsageError

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parents[1] / "clients" / "typescript" / "dist"


class Page(SimpleHTTPRequestHandler):
    """The page, the client's modules below /client/, and where the bus is."""

    def __init__(self, *given: object, settings: bytes) -> None:
        self.settings = settings
        super().__init__(*given, directory=str(HERE))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path != "/settings.json":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.settings)))
        self.end_headers()
        self.wfile.write(self.settings)

    def translate_path(self, path: str) -> str:
        name = path.partition("?")[0]
        if name.startswith("/client/") and name.endswith(".js"):
            return str(CLIENT / Path(name).name)
        return str(HERE / ("app.js" if name == "/app.js" else "index.html"))

    def log_message(self, format: str, *args: object) -> None:
        """Not worth a line each."""


@contextmanager
def serving(options: argparse.Namespace) -> Iterator[str]:
    """Serve on a thread of its own; the page's address."""
    settings = json.dumps({"url": options.url, "token": options.token, "channels": options.channels}).encode()
    try:
        server = ThreadingHTTPServer(("127.0.0.1", options.port), functools.partial(Page, settings=settings))
    except OSError as wrong:
        raise UsageError(
            "dashboard.port",
            f"the page cannot be served on 127.0.0.1:{options.port}: {wrong.strerror or wrong}",
            hint="--port 0  # takes a free one",
        ) from wrong
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def main(options: argparse.Namespace) -> None:
    async with await BusClient.connect(options.url, options.token, name="dashboard feed", kind="service") as bus:
        with serving(options) as address:
            print(f"dashboard at {address}", flush=True)
            step = 0
            while options.feed:
                for host, phase in (("web-1", 0.0), ("web-2", 2.0), ("db-1", 4.0)):
                    load = 1 + math.sin(step / 15 + phase) + random.random() / 3
                    await bus.publish(f"telemetry:{host}", {"load": round(load, 3), "requests": random.randrange(100)})
                step += 1
                await asyncio.sleep(0.1)
            await bus.wait_closed()


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--channels", default="telemetry:*", help="what is shown: a channel, room:* or *")
    parser.add_argument("--feed", action="store_true", help="publish readings of three pretended hosts")
    given = parser.parse_args()
    if not (CLIENT / "index.js").exists():
        sys.exit("error: the TypeScript client is not built\nhint: cd clients/typescript && npm ci && npm run build")
    run(main, given)
