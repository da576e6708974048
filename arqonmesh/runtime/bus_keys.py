"""Ties the file of API keys to the bus: what is made or revoked beside the node is told to the cluster, what the
cluster knows holds at once and is written down, and whoever came in with what holds no longer is closed.

When keys were used is written in groups and off the loop: a fleet that comes back shows thousands in one second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from arqonmesh.bridge.auth.api_keys import ApiKeys
from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.bridge.auth.key_file import write_uses
from arqonmesh.core.events import CredentialRevoked, KeysHeld, KeysLearned
from arqonmesh.core.kernel import Event
from arqonmesh.errors import StorageError
from arqonmesh.runtime.event_log import EventLog
from arqonmesh.runtime.host import Host


class BusKeys:
    """`look` is called now and then."""

    def __init__(
        self, host: Host, keys: ApiKeys, authenticator: Authenticator, log: EventLog, on_ended: Callable[[], None]
    ) -> None:
        self._host = host
        self._keys = keys
        self._authenticator = authenticator
        self._log = log
        self._on_ended = on_ended
        """Some credential ended: others than the bus may have clients that came in with it."""
        self._failing = False
        self._uses_written: asyncio.Task[bool] | None = None
        self._looks_soon = False
        self._closed = False
        host.watch(KeysLearned, self._on_learned)

    def look(self) -> None:
        """Write what was learned, tell what is new, close who has to go."""
        self._looks_soon = False
        if self._closed:
            return
        self._save()
        self._write_uses()
        node, now = self._host.node, self._host.now()
        if changed := self._keys.take_changed(node.world.node_id):
            self._host.perform(node.event(now, KeysHeld(tuple(changed))))
        for via in self._authenticator.revoked():
            what = "who shows nothing is let in no more" if via == "anonymous" else f"{via} was revoked"
            self._log.add("node", f"bus: {what}; its clients are closed")
            self._host.perform(node.event(self._host.now(), CredentialRevoked(via)))
            self._on_ended()

    def leave_mesh(self) -> None:
        """The cluster's other nodes made what they made for it, not for where this node goes next: their keys let
        nobody in here any more. What was made here stays, and goes along."""
        here = self._host.node.world.node_id
        if gone := self._keys.forget_others(here):
            kept = sum(1 for key in self._keys.all() if not key.revoked_ms)
            self._log.add(
                "node",
                f"bus: {gone} API keys that other nodes made are forgotten; {kept} that were made here stay, and go "
                "along into the next mesh: arqon bus key ls",
            )
        self.look()

    async def close(self) -> None:
        """Before the file is closed. Repeats are harmless."""
        self._closed = True
        if self._uses_written is not None:
            await asyncio.wait([self._uses_written])
        if uses := self._keys.take_uses():
            await asyncio.to_thread(write_uses, self._keys.path, uses)
        self._save()

    def _on_learned(self, event: Event) -> None:
        assert isinstance(event, KeysLearned)
        self._keys.learn(event.keys)
        if not self._looks_soon:
            self._looks_soon = True
            asyncio.get_running_loop().call_soon(self.look)  # all that one read brought is one transaction

    def _save(self) -> None:
        try:
            self._keys.save()
        except StorageError as error:
            if not self._failing:
                self._log.add("node", f"bus: {error.sentence}; tried again every second")
            self._failing = True
            return
        self._failing = False

    def _write_uses(self) -> None:
        if self._uses_written is not None and not self._uses_written.done():
            return
        self._uses_written = None
        if uses := self._keys.take_uses():
            self._uses_written = asyncio.create_task(asyncio.to_thread(write_uses, self._keys.path, uses))
