"""The share of the processor of nodes that run: processes of their own, as the kernel lists them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arqonmesh.runtime.priority import HIGH_NICE
from arqonmesh_testbed.loopback import LoopbackNode
from tests.e2e.kit import nodes

AS_USUAL = os.nice(0) == 0 and os.sched_getscheduler(0) == os.SCHED_OTHER


def nice_values(node: LoopbackNode) -> set[int]:
    """Of all its threads."""
    return {os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{node.pid}/task").iterdir()}


@pytest.mark.skipif(os.getuid() != 0, reason="only root may raise a process' priority")
@pytest.mark.skipif(not AS_USUAL, reason="these tests were started with a priority of somebody's choice, which stays")
def test_a_hub_has_the_larger_share_and_a_spoke_what_it_was_started_with() -> None:
    """With every thread, the store's writer too; and as the operator wants it where he says so."""
    with nodes() as mesh:
        hub, spoke = mesh.make("hub", "hub"), mesh.make("spoke")
        plain = mesh.make("plain", "hub", config="node: {cluster: plain, role: hub, priority: normal}")
        for node in (hub, spoke, plain):
            node.start()
        assert nice_values(hub) == {HIGH_NICE}
        assert nice_values(spoke) == nice_values(plain) == {0}
