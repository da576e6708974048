"""With whom is somebody out of reach? Those who vouch for it, those who vouch for these, and so on.

Who vouch for each other are on one island, so it is searched once for all of them and kept until the links change:
strongly connected components (Tarjan, SIAM J. Comput. 1(2), 1972) of the links read backwards. A component comes out
after all that vouch for it, and its island is itself and theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arqonmesh.ids import NodeId

Island = Mapping[NodeId, None]

TOO_MANY: Final[Island] = {}


class Islands:
    """The mappings belong to Evidence; `forget` after each change of theirs."""

    def __init__(self, up: Mapping[NodeId, tuple[NodeId, ...]], vouching: Mapping[NodeId, None]) -> None:
        self._up = up
        self._vouching = vouching
        self._most = 0
        self._of: dict[NodeId, Island] = {}

    def forget(self) -> None:
        if self._of:
            self._of.clear()

    def of(self, target: NodeId, most: int) -> Island:
        """The island of one who is not reached, itself included; nobody when they are more than `most`."""
        if most != self._most:
            self._most = most
            self.forget()
        if target not in self._of:
            self._search(target)
        return self._of[target]

    def _search(self, root: NodeId) -> None:
        order, low = {root: 0}, {root: 0}
        pending = [root]  # whose component is not complete: Tarjan's stack
        path = [(root, iter(self._up.get(root, ())))]
        while path:
            node, authors = path[-1]
            for author in authors:
                if author in self._of or author not in self._vouching:
                    continue
                if author not in order:
                    order[author] = low[author] = len(order)
                    pending.append(author)
                    path.append((author, iter(self._up.get(author, ()))))
                    break
                low[node] = min(low[node], order[author])
            else:
                path.pop()
                if path:
                    below = path[-1][0]
                    low[below] = min(low[below], low[node])
                if low[node] == order[node]:
                    component = [pending.pop()]
                    while component[-1] != node:
                        component.append(pending.pop())
                    self._complete(component)

    def _complete(self, component: list[NodeId]) -> None:
        island: dict[NodeId, None] = dict.fromkeys(component)
        kept: Island = island
        for mate in component:
            for author in self._up.get(mate, ()):
                if author in island or author not in self._vouching:
                    continue
                beyond = self._of[author]
                island.update(beyond)
                if not beyond:
                    kept = TOO_MANY
        if len(island) > self._most:
            kept = TOO_MANY
        self._of.update(dict.fromkeys(component, kept))
