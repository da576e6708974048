"""A real node does what its description says: schemathesis reads /openapi.json and tries it, right and wrong."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from arqonmesh.config.load import loads
from arqonmesh.runtime.service import Service
from arqonmesh.store.store import Store
from arqonmesh.trust.keys import NodeKey

SECRET = "s" * 32
EXAMPLES = 12
"""Per operation; enough that each kind of wrong parameter and body comes up."""
TOLD_IN_WORDS: dict[str, list[Any]] = {"/history": [positive_data_acceptance]}
"""`since` and `before` are a time or a position, which the description says in words."""
HEAD_TOO_LARGE = 431
"""Refused before anybody looked at the parameters."""
SETTINGS = f"""
node: {{cluster: hq}}
listen: {{quic: "127.0.0.1:0", bus: "127.0.0.1:0", http: "127.0.0.1:0", telemetry: "127.0.0.1:0"}}
bus: {{auth: {{jwt: {{secret: {SECRET}}}}}}}
http: {{cors_origins: ["*"]}}
"""


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A node on a loop of its own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> Service:
        service = Service(loads(SETTINGS.encode()), NodeKey.generate(), Store.open(tmp_path / "mesh.db"), tmp_path)
        await service.open()
        return service

    service = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    yield "http://{}:{}".format(*service.http.address)
    asyncio.run_coroutine_threadsafe(service.close(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


@pytest.mark.requirement("R-HT-1")
@pytest.mark.requirement("R-HT-4")
@pytest.mark.timeout(90)
def test_every_endpoint_does_what_its_description_says(url: str) -> None:
    """Statuses, content types, bodies; what does not fit the description is refused, and nothing is a 500."""
    token = jwt.encode({"sub": "ann", "role": "admin", "exp": int(time.time()) + 600}, SECRET, "HS256")
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = []
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # raises for a description that is wrong
        for mode in schemathesis.GenerationMode:
            if mode.is_negative and not (operation.query or operation.path_parameters or operation.body):
                continue

            @seed(4)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def holds(case: schemathesis.Case[Any]) -> None:
                response = case.call(headers=headers)
                if response.status_code != HEAD_TOO_LARGE:
                    case.validate_response(response, excluded_checks=TOLD_IN_WORDS.get(case.path))

            holds()
        tried.append(operation.label)
    described = {f"{method.upper()} {path}" for path, one in schema.raw_schema["paths"].items() for method in one}
    assert set(tried) == described - {"GET /openapi.json"}, "that one was read before"
