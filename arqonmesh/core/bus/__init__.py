"""The message bus of one node: clients, channels, history, commands. It knows nothing of the mesh.

`Bus` is the core; `ClientInfo` is what the bridge tells of a new connection. Federation listens to what the bus
emits (`Published`) and speaks to it in events (`Imported`, `Backlog`).
"""

from __future__ import annotations

from arqonmesh.core.bus.bus import Bus, BusEnv
from arqonmesh.core.bus.clients import ClientInfo

__all__ = ["Bus", "BusEnv", "ClientInfo"]
