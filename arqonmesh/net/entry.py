"""One connection and what it is to this node: a stranger's handshake, a dial, a join, a link, or one that gives way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from arqonmesh.net.addresses import show_address
from arqonmesh.net.connection import Connection
from arqonmesh.net.dialer import Wish
from arqonmesh.net.intake import Place
from arqonmesh.net.join import JoinClient, JoinServer
from arqonmesh.net.links import Link, Retirement
from arqonmesh.net.session import MeshSession

Session: TypeAlias = "MeshSession | JoinServer | JoinClient"


@dataclass(slots=True, eq=False)
class Entry:
    """A row of the endpoint's table of connections."""

    connection: Connection
    session: Session | None = None
    wish: Wish | None = None
    link: Link | None = None
    retirement: Retirement | None = None
    half_open: Place | None = None
    """What it holds at the intake."""
    settled: bool = False
    """It became a link, or its end has been told; no refusal is told any more."""
    timer: asyncio.TimerHandle | None = None
    timer_at: float = 0.0
    limit: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        return show_address(self.connection.path[0])
