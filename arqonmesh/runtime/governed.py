"""Governed writes: whatever changes who belongs to the mesh, or by which rules, needs a quorum on this side.

Admissions and invites are refused on the side without one, with all that an operator needs to see. Withdrawing a ticket
is not refused anywhere: it opens nothing. A side that has a quorum in reach says for a while that it has none: a link
that comes and goes is not believed at once, and where nodes join one soon after the other, those that count already
may not have met. So a write waits for a while before it is refused, and the refusal says how long.
"""

from __future__ import annotations

import asyncio
from typing import Final

from arqonmesh.core.events import PartitionChanged
from arqonmesh.core.kernel import Event
from arqonmesh.core.partition.refusal import READ_ONLY, sentence_of
from arqonmesh.errors import Degraded, UsageError
from arqonmesh.runtime.host import Host

PATIENCE_S: Final = 10.0
"""Less than a join's own timeout (joining.JOIN_TIMEOUT_S), so that the joiner hears why."""
PATIENCE_LATE_S: Final = 2.5
"""Where somebody has been missing for longer than that: a cut that lasts is answered soon, and only the hysteresis of a
quorum that just came back is waited for."""


def refusal(host: Host) -> str | None:
    """Why this node takes no governed write now; None when it does."""
    plane = host.node.plane
    if plane is None:
        return None
    view = plane.partition.view()
    return None if view.writable else sentence_of(view)


def patience_s(host: Host) -> float:
    """How long a quorum is worth waiting for."""
    plane = host.node.plane
    missing = () if plane is None else plane.partition.view().missing
    lasted_ms = host.node.world.wall_ms() - min((since for _, since in missing), default=host.node.world.wall_ms())
    return min(PATIENCE_S, PATIENCE_LATE_S) if lasted_ms > PATIENCE_S * 1_000 else PATIENCE_S


async def wait_until_writable(host: Host, patience_s: float) -> str | None:
    """As `refusal`, after waiting for a quorum for up to `patience_s`."""
    if refusal(host) is None:
        return None
    changed = asyncio.Event()

    def note(event: Event) -> None:
        if refusal(host) is None:
            changed.set()

    host.watch(PartitionChanged, note)
    try:
        async with asyncio.timeout(patience_s):
            await changed.wait()
    except TimeoutError:
        pass
    finally:
        host.unwatch(PartitionChanged, note)
    return refusal(host)


def waited(said: str, waited_s: float) -> str:
    """A refusal that also says how long a quorum was waited for."""
    seen, semicolon, more = said.partition("; ")
    return f"{seen}, after {waited_s:g} s of waiting{semicolon}{more}"


async def require_quorum(host: Host, wish: str) -> None:
    """Raises Degraded `mesh.read-only` when this side cannot do what is wished; UsageError when it left the mesh."""
    waits_s = patience_s(host)
    said = await wait_until_writable(host, waits_s)
    if said is not None:
        raise Degraded(READ_ONLY, f"{waited(said, waits_s)}; it cannot {wish}", hint="arqon mesh status")
    if host.node.plane is None:
        raise UsageError(
            "mesh.none",
            "this node belongs to no mesh; it needs to make one, or to join one",
            hint="arqon mesh seed NAME",
        )
