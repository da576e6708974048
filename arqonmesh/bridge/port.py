"""The seam between the bridge and the runtime: whom the bridge tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from arqonmesh.core.bus.clients import ClientInfo
from arqonmesh.core.events import Dropped
from arqonmesh.ids import ClientId


class BusPort(Protocol):
    """Implemented by the runtime; called on the event loop. It may call `BusServer` from within any of these."""

    def new_client_id(self) -> ClientId:
        """An id for a connection whose handshake is done."""

    def client_connected(self, client: ClientId, info: ClientInfo) -> None:
        """The client can be delivered to from now on."""

    def client_frames(self, client: ClientId, frames: Sequence[bytes]) -> None:
        """All text frames of one read, in order: each valid UTF-8 and no longer than `frame_bytes_max`."""

    def client_disconnected(self, client: ClientId) -> None:
        """Exactly once for each `client_connected`."""

    def client_drained(self, client: ClientId) -> None:
        """Once for each `await_drain`, unless the client goes before: what waited for it is read, all but a little."""

    def gap_notice(self, client: ClientId, missing: int) -> bytes:
        """The frame, as the client's dialect has it, that says how many messages are missing where it stands."""

    def dropped(self, event: Dropped) -> None:
        """The bridge refused or cut off something; `where` is "bridge"."""
