"""Where received messages wait for whoever takes them: one box per handler or iterator, bounded all together.

When a box is full the connection is read no further: the bus holds what comes, and its policy for slow clients
decides. So a slow reader costs memory nowhere but where its operator said so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from arqonmesh.client.message import CARRIED, Message
from arqonmesh.errors import ArqonError

QUEUE_MAX: Final = 10_000
"""Messages received and not yet taken, per box."""
NOTICES: Final = frozenset(("system", "error", "response"))


class Mailbox:
    """Messages for one taker. `takes` names what: a channel, `room:*`, `*:channel`, `*`, `private` or `notice`."""

    def __init__(self, takes: str, emptied: Callable[[], None]) -> None:
        self.takes = takes
        self.held: deque[Message] = deque()
        self.taken = False
        """Whether somebody has begun to take from it."""
        self._emptied = emptied
        self._something = asyncio.Event()
        self._over = False
        self._problem: ArqonError | None = None

    def put(self, message: Message) -> bool:
        """True when that filled it."""
        self.held.append(message)
        self._something.set()
        return len(self.held) >= QUEUE_MAX

    def end(self, problem: ArqonError | None) -> None:
        """No more will come: whoever takes sees the end after what is held, as an error when there is one."""
        self._over, self._problem = True, problem
        self._something.set()

    async def messages(self) -> AsyncIterator[Message]:
        self.taken = True
        while True:
            while self.held:
                message = self.held.popleft()
                if len(self.held) == QUEUE_MAX // 2:
                    self._emptied()
                yield message
            if self._over:
                if self._problem is not None:
                    raise self._problem
                return
            self._something.clear()
            await self._something.wait()


class Mailboxes:
    """All boxes of a client. What no handler asked for goes to the common one, from which `messages` takes."""

    def __init__(self, emptied: Callable[[], None]) -> None:
        self.unclaimed = 0
        """Messages that came for nobody: there are handlers, none for this, and no one iterates."""
        self._emptied = emptied
        self.common = Mailbox("", emptied)
        self._by_name: dict[str, list[Mailbox]] = {}
        self._over = False
        self._problem: ArqonError | None = None

    def open(self, takes: str) -> Mailbox:
        """A box of its own, for what `takes` names."""
        box = Mailbox(takes, self._emptied)
        if self._over:
            box.end(self._problem)
        self._by_name.setdefault(takes, []).append(box)
        return box

    def shut(self, box: Mailbox) -> None:
        boxes = self._by_name.get(box.takes, [])
        if box in boxes:
            boxes.remove(box)
            box.end(None)
            if not boxes:
                del self._by_name[box.takes]
            self._emptied()

    def put(self, message: Message) -> bool:
        """To all who asked for it; True when a box is full now."""
        if not self._by_name:
            return self.common.put(message)
        claimed = full = False
        names = names_of(message)
        if message.channel_ == "*":
            names = [name for name in self._by_name if name == "*" or name.partition(":")[0] == message.room]
        for name in names:
            for box in self._by_name.get(name, ()):
                full |= box.put(message)
                claimed = True
        if claimed:
            return full
        if self.common.taken:
            return self.common.put(message)
        self.unclaimed += 1
        return False

    @property
    def fullest(self) -> int:
        """Messages in the fullest box."""
        most = len(self.common.held)
        for boxes in self._by_name.values():
            for box in boxes:
                most = max(most, len(box.held))
        return most

    def end(self, problem: ArqonError | None) -> None:
        if self._over:
            return
        self._over, self._problem = True, problem
        self.common.end(problem)
        for boxes in self._by_name.values():
            for box in boxes:
                box.end(problem)


def names_of(message: Message) -> Iterable[str]:
    """Under which names somebody may have asked for it."""
    if message.type == "private":
        return ("private",)
    if message.type not in CARRIED:
        return ("notice",)
    if message.channel_ == "*":  # said to everyone in the room
        return (message.channel, "*")
    return (message.channel, f"{message.room}:*", f"*:{message.channel_}", "*")
