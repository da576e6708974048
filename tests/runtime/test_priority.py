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


def asked(as_user: int) -> str:
    """The nice value of a process of its own after it asked, or that it was refused."""
    code = (
        "import os; from arqonmesh.runtime.priority import ask_for_more; "
        f"os.setuid({as_user}); given = ask_for_more(); print(os.nice(0) if given else 'refused')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


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
    as_usual = os.nice(0) == 0 and os.sched_getscheduler(0) == os.SCHED_OTHER
    wanted = asks and (priority == "high" or as_usual)
    assert asks_for_more(NodeSettings(cluster="plant-1", role=role, priority=priority)) is wanted


@pytest.mark.parametrize("chosen", ["os.nice(1)", "os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))"])
def test_what_somebody_chose_when_it_was_started_stays(chosen: str) -> None:
    """`nice arqon node start`, `chrt -b 0 arqon node start`: that is the operator's word, too."""
    code = (
        f"import os; {chosen}; from arqonmesh.runtime.priority import asks_for_more; "
        "from arqonmesh.config.model import NodeSettings; "
        "print(asks_for_more(NodeSettings(cluster='a', role='hub')), "
        "asks_for_more(NodeSettings(cluster='a', role='hub', priority='high')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may raise a process' priority")
def test_root_gets_what_it_asks_for() -> None:
    """The kernel's own answer."""
    assert asked(os.getuid()) == str(HIGH_NICE)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may raise a process' priority")
def test_who_was_started_with_more_does_not_end_with_less() -> None:
    """`Nice=-15` of a unit, and `priority: high`."""
    code = (
        "import os; from arqonmesh.runtime.priority import ask_for_more; "
        "os.setpriority(os.PRIO_PROCESS, 0, -15); ask_for_more(); print(os.nice(0))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "-15"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_whoever_may_not_have_more_goes_on_without() -> None:
    """No error: most nodes are not short of time."""
    assert asked(NOBODY) == "refused"
