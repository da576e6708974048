"""Who does not reach whom: the directions in which every packet vanishes, and the sides that a mesh falls into."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from arqonmesh.sim.link_model import LinkModel


class Cuts:
    """By (from, to), in the order in which they were made."""

    def __init__(self, path: Callable[[str, str], LinkModel]) -> None:
        """`path`: the way from one machine to another."""
        self._path = path
        self._cut: dict[tuple[str, str], None] = {}

    def __len__(self) -> int:
        return len(self._cut)

    def set(self, a: str, b: str, cut: bool) -> None:
        """One direction, without a word."""
        self._path(a, b).cut = cut
        if cut:
            self._cut[a, b] = None
        else:
            self._cut.pop((a, b), None)

    def mend(self) -> None:
        """All of them."""
        for a, b in list(self._cut):
            self.set(a, b, False)

    def sides(self, names: Iterable[str]) -> list[list[str]]:
        """Groups of these that reach each other, over others if need be, both ways."""
        left = list(names)
        if not self._cut:
            return [left] if left else []
        groups: list[list[str]] = []
        while left:
            group, queue = [left[0]], [left.pop(0)]
            while queue:
                here = queue.pop()
                for there in list(left):
                    if (here, there) not in self._cut and (there, here) not in self._cut:
                        left.remove(there)
                        group.append(there)
                        queue.append(there)
            groups.append(group)
        return groups
