"""Ties the file of API keys to the bus: what is made or revoked beside the node is told to the cluster, what the
cluster knows is written down, and whoever came in with what holds no longer is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from arqonmesh.bridge.auth.api_keys import ApiKeys
from arqonmesh.bridge.auth.authenticator import Authenticator
from arqonmesh.core.events import CredentialRevoked, KeysHeld, KeysLearned
from arqonmesh.core.kernel import Event
from arqonmesh.errors import StorageError
from arqonmesh.runtime.event_log import EventLog
from arqonmesh.runtime.host import Host
from arqonmesh.wire.messages import KeyRecord

WAITING_MAX: Final = 20_000
"""Learned keys that a disk that is full does not take; the cluster tells of what is beyond at the next start."""


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
        self._waiting: list[KeyRecord] = []
        self._failing = False
        self._looks_soon = False
        self._closed = False
        host.watch(KeysLearned, self._on_learned)

    def look(self) -> None:
        """Write what was learned, tell what is new, close who has to go."""
        self._looks_soon = False
        if self._closed:
            return
        self._write()
        node, now = self._host.node, self._host.now()
        if changed := self._keys.take_changed(node.world.node_id):
            self._host.perform(node.event(now, KeysHeld(tuple(changed))))
        for via in self._authenticator.revoked():
            what = "who shows nothing is let in no more" if via == "anonymous" else f"{via} was revoked"
            self._log.add("node", f"bus: {what}; its clients are closed")
            self._host.perform(node.event(self._host.now(), CredentialRevoked(via)))
            self._on_ended()

    def close(self) -> None:
        """Before the file is closed. Repeats are harmless."""
        self._closed = True

    def _on_learned(self, event: Event) -> None:
        assert isinstance(event, KeysLearned)
        self._waiting += event.keys[: max(0, WAITING_MAX - len(self._waiting))]
        if not self._looks_soon:
            self._looks_soon = True
            asyncio.get_running_loop().call_soon(self.look)  # all that one read brought is one transaction

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            self._keys.learn(self._waiting)
        except StorageError as error:
            if not self._failing:
                self._log.add("node", f"bus: {error.sentence}; tried again every second")
            self._failing = True
            return
        self._failing = False
        self._waiting = []
