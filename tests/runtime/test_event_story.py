"""The sentences of the event log: true when they are read, each told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arqonmesh.core.events import PartitionChanged, Rebalanced, Verdict
from arqonmesh.core.kernel import Emit, Event
from arqonmesh.runtime.control import Control
from arqonmesh.runtime.service import Service
from tests.runtime.test_service import service
from tests.waiting import until


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Service]:
    made = service(tmp_path, "hq", "hub")
    await made.open()
    yield made
    await made.close()


def told(node: Service, kind: str, *events: Event) -> list[str]:
    """The lines of this kind after these events."""
    node.host.perform([Emit(event) for event in events])
    return [line.text for line in node.log.newest if line.kind == kind]


def partition(state: str, writable: bool, reachable: int, votes: int, phase: str = "healthy") -> PartitionChanged:
    return PartitionChanged(state, writable, reachable, 2, 3, "crash", phase, votes, 3)


async def test_a_state_that_is_worse_than_its_count_is_said_to_settle(node: Service) -> None:
    """It improves only after the count has held; so does the right to write. One that the count bears out does not."""
    assert told(
        node,
        "partition",
        partition("critical", False, 1, 1, "partitioned"),
        partition("critical", False, 3, 3, "healing"),
        partition("critical", True, 3, 3, "healing"),
        partition("degraded", True, 3, 3),
        partition("healthy", True, 3, 3),
        partition("degraded", True, 2, 2),
        partition("degraded", False, 2, 2),
        partition("degraded", False, 2, 1),
    ) == [
        "mesh is critical, read-only: 1 of 3 reachable, 2 required; partitioned",
        "mesh is critical, read-only: 3 of 3 reachable, 2 required; healing, settling",
        "mesh is critical, writable: 3 of 3 reachable, 2 required; healing, settling",
        "mesh is degraded, writable: 3 of 3 reachable, 2 required; settling",
        "mesh is healthy, writable: 3 of 3 reachable, 2 required",
        "mesh is degraded, writable: 2 of 3 reachable, 2 required",
        "mesh is degraded, read-only: 2 of 3 reachable, 2 required; settling",
        "mesh is degraded, read-only: 2 of 3 reachable, 2 required",
    ]


async def test_a_change_that_no_line_tells_makes_no_line(node: Service) -> None:
    """How many of those who are reached have a vote is such a one."""
    changes = [partition("healthy", True, 3, 2), partition("healthy", True, 3, 3), partition("degraded", True, 2, 2)]
    assert len(told(node, "partition", *changes)) == 2
    assert len(told(node, "partition", changes[0])) == 3, "it was another state in between"


async def test_of_the_next_mesh_everything_is_told_though_it_reads_as_of_the_last(node: Service) -> None:
    """Its first count is the last one's, word for word, and so may be whom it prefers."""
    chosen = Rebalanced("latency", (), (), 0)

    def since(first: int) -> list[str]:
        return sorted(line.text for line in node.log.newest[first:] if line.text.startswith(("mesh is", "prefers")))

    of_mesh = []
    for name in ("first", "second"):
        before = len(node.log.newest)
        await Control(node).seed(name, "open", "")
        told(node, "mesh", chosen, chosen)
        await until(lambda first=before: len(since(first)) == 2)  # type: ignore[misc]
        of_mesh.append(since(before))
        await Control(node).leave()
    assert of_mesh[0] == of_mesh[1]


async def test_a_verdict_tells_what_may_be_and_not_what_came_of_it(node: Service) -> None:
    """The message may be held for a link that is down."""
    verdict = Verdict("transit", "telemetry:host", "store", True, "export.allow[0] telemetry:*")
    assert told(node, "federation", verdict) == [
        "transit telemetry:host to store may cross (export.allow[0] telemetry:*)"
    ]
