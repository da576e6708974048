"""A hub asks for more of a busy processor, where it may."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Literal

import pytest

from arqonmesh.config.model import NodeSettings
from arqonmesh.runtime.priority import HIGH_NICE, asks_for_more

NOBODY = 65534


def asked(as_user: int) -> int:
    """The nice value of a process of its own after it asked."""
    code = (
        "import os; from arqonmesh.runtime.priority import ask_for_more; "
        f"os.setuid({as_user}); ask_for_more(); print(os.nice(0))"
    )
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize(
    ("role", "priority", "asks"),
    [
        ("hub", "auto", True),
        ("leader", "auto", True),
        ("spoke", "auto", False),
        ("hub", "normal", False),
        ("spoke", "high", True),
    ],
)
def test_those_on_whom_everyone_waits_ask_for_more_unless_the_operator_says_otherwise(
    role: Literal["hub", "spoke", "leader"], priority: Literal["auto", "high", "normal"], asks: bool
) -> None:
    """Late heartbeats of a hub or a leader are everyone's trouble."""
    assert asks_for_more(NodeSettings(cluster="plant-1", role=role, priority=priority)) is asks


@pytest.mark.skipif(os.getuid() != 0, reason="only root may raise a process' priority")
def test_root_gets_what_it_asks_for() -> None:
    """The kernel's own answer."""
    assert asked(os.getuid()) == HIGH_NICE


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_whoever_may_not_have_more_goes_on_without() -> None:
    """No error, nothing to do for the operator: most nodes are not short of time."""
    assert asked(NOBODY) == os.nice(0)
