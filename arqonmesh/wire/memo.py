"""A bounded memory of what bytes decode to, or rows of a table.

A signed statement comes to a node over several links, is read again when it is passed on, served or taken as evidence,
and is the same bytes each time. What it decodes to is frozen, so one decoding serves all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Memo(Generic[K, T]):
    """`function` of bytes (or another key), its newest `capacity` results remembered; what is older is computed again.
    What raises is not remembered, so nothing can be filled with rubbish."""

    __slots__ = ("_function", "_known", "capacity", "evicted")

    def __init__(self, function: Callable[[K], T], capacity: int) -> None:
        self._function = function
        self._known: OrderedDict[K, T] = OrderedDict()  # a dict looks for its first key among the deleted ones
        self.capacity = capacity
        """0 for none. May be raised at any time: a simulator, where a thousand nodes read the same bytes, does."""
        self.evicted = 0

    def __call__(self, data: K) -> T:
        found = self._known.get(data)
        if found is None:
            found = self._function(data)
            if len(self._known) >= self.capacity:
                if not self.capacity:
                    return found
                self._known.popitem(last=False)
                self.evicted += 1
            self._known[data] = found
        return found

    def __len__(self) -> int:
        return len(self._known)

    def forget(self) -> None:
        """Know nothing any more, as at the start."""
        self._known.clear()
