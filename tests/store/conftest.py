"""A real redis-server of the test's own, and a client beside the node's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client

from tests.store.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def worker(server: RedisServer) -> Iterator[redis_client.Redis]:
    """What a worker without a WebSocket sees."""
    with redis_client.Redis.from_url(server.url) as client:
        yield client
