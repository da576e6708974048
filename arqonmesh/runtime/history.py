"""The durable history of a running node: performs what the bus asks of it, whatever happens to the disk.

A history that cannot be opened or written never stops the node: the bus goes on with what it has in memory, and the
component `history` of /health says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.bus.bus import Bus
from arqonmesh.core.bus.identity import Identity
from arqonmesh.core.bus.names import resolve
from arqonmesh.core.bus.past import Page, page, plan, window_of
from arqonmesh.core.bus.tenants import inside
from arqonmesh.core.events import HistoryRead
from arqonmesh.core.kernel import ForgetHistory, HistoryQuery, KeepFrames, ReadHistory, Row
from arqonmesh.errors import ArqonError, StorageError
from arqonmesh.store.history import Found, HistoryBackend, open_backend

_log = logging.getLogger("arqonmesh.runtime.history")


class HistoryKeeper:
    """Made before the node, closed after it. `answered` is called on the loop with what a read found."""

    def __init__(self, folder: Path, settings: HistorySettings) -> None:
        self.failure: ArqonError | None = None
        self.backend: HistoryBackend | None = None
        self.answered: Callable[[HistoryRead], None] = lambda event: None
        self._rows: Sequence[Row] = ()
        self._reads: set[asyncio.Task[None]] = set()
        try:
            self._open(folder, settings)
        except StorageError as error:
            self.failure = error
            # what is on disk has nothing to do with an address that is none, nor Redis with a damaged file
            rest = {"redis_url": ""} if error.code == "store.redis-url" else {"durable": False}
            with contextlib.suppress(StorageError):
                self._open(folder, msgspec.structs.replace(settings, **rest))
            instead = "memory" if self.backend is None else self.backend.NAME
            _log.warning("%s: %s; %s keeps the history", error.code, error.sentence, instead)

    def _open(self, folder: Path, settings: HistorySettings) -> None:
        backend = open_backend(folder, settings)
        self._rows = () if backend is None else backend.load()
        self.backend = backend

    @property
    def durable(self) -> bool:
        """Whether there is anything beyond the node's memory."""
        return self.backend is not None

    def load(self) -> Sequence[Row]:
        """Rows of `streams` for the bus's start, once; from now on the back end works, so on the running loop."""
        if self.backend is not None:
            self.backend.start()
        rows, self._rows = self._rows, ()
        return rows

    @property
    def ended_life(self) -> int:
        """As the back end knows it."""
        return 0 if self.backend is None else self.backend.ended_life

    def adopt(self, settings: HistorySettings) -> None:
        """Other bounds from now on."""
        if self.backend is not None:
            self.backend.adopt(settings)

    def keep(self, effect: KeepFrames) -> None:
        if self.backend is not None:
            self.backend.keep(effect)

    def forget(self, effect: ForgetHistory) -> None:
        if self.backend is not None:
            self.backend.forget(effect.channel)

    def read(self, effect: ReadHistory) -> None:
        """Answers later, on the loop."""
        task = asyncio.get_running_loop().create_task(self._read(effect))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def find(self, query: HistoryQuery) -> Found:
        """Raises StorageError."""
        if self.backend is None:
            return Found([], False)
        return await self.backend.read(query)

    def health(self) -> Mapping[str, Any]:
        """For /health: `ok` is false while anything less is kept than was asked for."""
        if self.failure is not None:
            reason = f"{self.failure.code}: {self.failure.sentence}"
            known = {"backend": "memory"} if self.backend is None else self.backend.health()
            return {**known, "ok": False, "reason": reason, "hint": self.failure.hint}
        if self.backend is None:
            return {"ok": True, "backend": "memory"}
        return self.backend.health()

    def stats(self) -> Mapping[str, int]:
        return {} if self.backend is None else self.backend.stats()

    async def close(self, epoch: str) -> None:
        """`epoch`: the streams of this life, which end cleanly here."""
        for task in list(self._reads):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._reads, return_exceptions=True)
        if self.backend is not None:
            await self.backend.close(epoch)

    async def _read(self, effect: ReadHistory) -> None:
        try:
            found = await self.find(effect.query)
        except ArqonError as error:
            self.answered(HistoryRead(effect.token, (), failed=f"{error.code}: {error.sentence}"))
            return
        except Exception as error:  # whatever it is: a client waits for the answer
            self.answered(HistoryRead(effect.token, (), failed=f"store.io: {error!r}"))
            return
        self.answered(HistoryRead(effect.token, tuple(found.frames), found.more))


async def page_for(
    bus: Bus, keeper: HistoryKeeper, identity: Identity, channel: str, limit: int, since: str, before: str
) -> list[bytes]:
    """What `history` answers, for somebody outside the bus; `since` and `before` as text. Raises ArqonError."""
    name = inside(identity.tenant, resolve("", channel, bus.settings.names))
    bus.permissions.check(identity, "history", name)
    found = plan(bus, name, limit, window_of(_raw(since), _raw(before)))
    if isinstance(found, Page):
        return found.frames
    read = await keeper.find(found)
    return page(read.frames, limit, found.oldest).frames


def _raw(bound: str) -> Raw:
    """A position is JSON already; anything else is a JSON string."""
    if bound.lstrip().startswith("{"):
        return Raw(bound.strip().encode())
    return Raw(msgspec.json.encode(bound)) if bound else Raw(b"")
