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
from typing import Any, Final

from arqonmesh.core.gossip.disk import read_author, trimmed
from arqonmesh.core.gossip.log import body_of, read_record, restored_log
from arqonmesh.core.gossip.telling import told
from arqonmesh.core.routing.graph import agreed
from arqonmesh.core.routing.said import said_of
from arqonmesh.wire.codec import remembered
from arqonmesh.wire.memo import Memo
from arqonmesh.wire.statement import decode_statement, peers_up

REMEMBERED_MAX: Final = 1 << 20
"""Decoded statements that the nodes of one process share."""
FRAMES_REMEMBERED: Final = 1 << 15
"""Decoded messages that they share: those of the last moments, in which a broadcast reaches everyone."""

SHARED: Final[dict[Memo[Any, Any], int]] = {
    remembered: FRAMES_REMEMBERED,
    **dict.fromkeys(
        (decode_statement, read_record, body_of, read_author, restored_log, told, trimmed, agreed, said_of, peers_up),
        REMEMBERED_MAX,
    ),
}
"""What nodes of one process may share, and how much of each."""


class Sharing:
    """Memories that are larger while somebody shares them."""

    def __init__(self, memos: Mapping[Memo[Any, Any], int]) -> None:
        self._memos = memos
        self._before: dict[Memo[Any, Any], int] = {}
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
