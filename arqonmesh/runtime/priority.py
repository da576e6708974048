"""The share of the processor that a node asks the kernel for.

Whoever's heartbeats are late is taken for gone. Where a machine has too little time for all, everyone gets an equal
share, and the first whom that is too little is the one with the most links: a hub, on which everyone's reachability
hangs. So a hub asks for more, where it may (root, or `LimitNICE` of its unit); where it may not it does without. The
same reason makes Corosync run under the real-time scheduler and keepalived take `vrrp_priority`.

In a cgroup of its own (a systemd unit, a container) what counts between groups is the group's weight: `CPUWeight=`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from arqonmesh.config.model import NodeSettings

HIGH_NICE: Final = -10
"""Nine times the share of a process that asks for nothing (sched(7))."""
_AUTOGROUP: Final = Path("/proc/self/autogroup")


def asks_for_more(node: NodeSettings) -> bool:
    """Hubs and leaders do, unless the operator says otherwise: by the setting, or by how the process was started."""
    if node.priority == "auto":
        return node.role in ("hub", "leader") and _is_as_usual()
    return node.priority == "high"


def ask_for_more() -> bool:
    """For this thread and those that it starts, so before any was; whether it was given. Where processes are grouped by
    session (autogroup, sched(7)), for the session, too, if it is ours alone."""
    nice = min(HIGH_NICE, os.getpriority(os.PRIO_PROCESS, 0))
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError:
        return False
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            _AUTOGROUP.write_text(str(nice))
    return True


def _is_as_usual() -> bool:
    """Nobody chose a nice value or a scheduling policy for this process."""
    return os.getpriority(os.PRIO_PROCESS, 0) == 0 and os.sched_getscheduler(0) == os.SCHED_OTHER
