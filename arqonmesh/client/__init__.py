"""The Python SDK of the bus: `BusClient` for asyncio, `SyncBusClient` for everything else.

    from arqonmesh.client import BusClient

    async with await BusClient.connect("ws://127.0.0.1:9100") as bus:
        await bus.join("chat:lobby")
        await bus.publish("chat:lobby", {"text": "hello"})

docs/sdk/python.md is its guide.
"""

from __future__ import annotations

from arqonmesh.client.client import BusClient
from arqonmesh.client.message import Message
from arqonmesh.client.records import Member, Page, Presence, Receipt
from arqonmesh.client.resume import Gap, Resumed
from arqonmesh.client.sync import SyncBusClient
from arqonmesh.client.typed import Channel

__all__ = [
    "BusClient",
    "Channel",
    "Gap",
    "Member",
    "Message",
    "Page",
    "Presence",
    "Receipt",
    "Resumed",
    "SyncBusClient",
]
