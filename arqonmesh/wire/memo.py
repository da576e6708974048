"""A bounded memory of what bytes decode to, or rows of a table.

A signed statement comes to a node over several links, is read again when it is passed on, served or taken as evidence,
and is the same bytes each time. What it decodes to is frozen, so one decoding serves all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

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

    @contextmanager
    def enlarged(self, capacity: int) -> Iterator[None]:
        """Remembers at least so many in here: where many parts ask for the same, one after the other for all of it."""
        before, self.capacity = self.capacity, max(self.capacity, capacity)
        try:
            yield
        finally:
            self.capacity = before
            while len(self._known) > before:
                self._known.popitem(last=False)

    def forget(self) -> None:
        """Know nothing any more, as at the start."""
        self._known.clear()


class ByIdentity(Generic[T]):
    """`function` of several objects, its newest `capacity` results remembered by which objects they were: what is equal
    and another object is computed again. For what shares its objects anyway, and takes longer to hash than to find."""

    __slots__ = ("_function", "_known", "capacity")

    def __init__(self, function: Callable[[tuple[Any, ...]], T]) -> None:
        self._function = function
        self._known: OrderedDict[tuple[int, ...], tuple[tuple[Any, ...], T]] = OrderedDict()
        """With the objects themselves, or another could get the place of one that is gone."""
        self.capacity = 0
        """As in `Memo`."""

    def __call__(self, objects: tuple[Any, ...]) -> T:
        if not self.capacity:
            return self._function(objects)
        key = tuple(map(id, objects))
        found = self._known.get(key)
        if found is None:
            found = (objects, self._function(objects))
            if len(self._known) >= self.capacity:
                self._known.popitem(last=False)
            self._known[key] = found
        return found[1]

    def __len__(self) -> int:
        return len(self._known)

    def forget(self) -> None:
        """Know nothing any more, as at the start."""
        self._known.clear()
