"""What the nodes of one process decode and derive once for all, for as long as a simulation that wants it lasts.

A thousand nodes read the same bytes. What comes of them is frozen, or nobody changes it; and what is remembered is what
would be made again, so nothing that happens depends on it. The memories are the process's own, as everything is that
nodes outside a simulator use: they are raised when the first simulation shares, and when the last one has ended they
are as they were, and empty.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from arqonmesh.core.gossip.disk import read_author, trimmed
from arqonmesh.core.gossip.log import body_of, read_record, restored_log
from arqonmesh.core.gossip.telling import said_by, told
from arqonmesh.core.routing.graph import agreed
from arqonmesh.core.routing.said import said_of
from arqonmesh.wire.codec import remembered
from arqonmesh.wire.memo import ByIdentity, Memo
from arqonmesh.wire.statement import decode_statement, peers_up

REMEMBERED_MAX: Final = 1 << 20
"""Decoded statements that the nodes of one process share."""
FRAMES_REMEMBERED: Final = 1 << 15
"""Decoded messages that they share: those of the last moments, in which a broadcast reaches everyone."""

Memory: TypeAlias = Memo[Any, Any] | ByIdentity[Any]

SHARED: Final[dict[Memory, int]] = {
    remembered: FRAMES_REMEMBERED,
    decode_statement: REMEMBERED_MAX,
    read_record: REMEMBERED_MAX,
    body_of: REMEMBERED_MAX,
    read_author: REMEMBERED_MAX,
    restored_log: REMEMBERED_MAX,
    told: REMEMBERED_MAX,
    said_by: REMEMBERED_MAX,
    trimmed: REMEMBERED_MAX,
    agreed: REMEMBERED_MAX,
    said_of: REMEMBERED_MAX,
    peers_up: REMEMBERED_MAX,
}
"""What nodes of one process may share, and how much of each."""


class Sharing:
    """Memories that are larger while somebody shares them."""

    def __init__(self, memos: Mapping[Memory, int]) -> None:
        self._memos = memos
        self._before: dict[Memory, int] = {}
        """What each could hold before the first of those who share now."""
        self.users = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Shared in here. After the last of those who share, all is forgotten, and the garbage collector looks again
        at what `no_garbage` has kept from it."""
        if not self.users:
            self._before = {memo: memo.capacity for memo in self._memos}
            for memo, most in self._memos.items():
                memo.capacity = max(memo.capacity, most)
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                self._end()

    def _end(self) -> None:
        for memo, capacity in self._before.items():
            memo.capacity = capacity
            memo.forget()
        gc.unfreeze()


SHARING: Final = Sharing(SHARED)
"""The one of this process."""


@contextmanager
def no_garbage() -> Iterator[None]:
    """What is made in here is kept: nobody looks for garbage in it, now or later, until those who share have ended. A
    thousand nodes are a few million objects and live as long as their world, and looking through them again and again
    takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
