"""Whom do we reach, by the links that members list?

    reached  =  those to whom we have a link, whom they list as up, whom these list as up, and so on;
                only the records of those who vouch count

A mesh of n members has some 8 n links, and during a cut hundreds of records say something new about half of them. So
who is not reached is kept: a link that is lost by somebody who is not reached changes nothing; one that is lost by a
reached one makes its other end doubtful, which a short search from there settles as long as it goes well. Only when it
does not, or when somebody is reached again, all links are walked once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from arqonmesh.ids import NodeId

DOUBTED_MAX: Final = 8
"""With more of them, one walk from us costs less than a search from each."""


class Reach:
    """The mappings belong to Evidence. After each change call `gained` or `lost`; ask `unreached` then."""

    def __init__(
        self,
        own: NodeId,
        links: Mapping[NodeId, None],
        says: Mapping[NodeId, tuple[NodeId, ...]],
        up: Mapping[NodeId, tuple[NodeId, ...]],
        lost: Mapping[NodeId, object],
        vouching: Mapping[NodeId, None],
    ) -> None:
        self._own = own
        self._links = links
        self._says = says
        self._up = up
        self._lost = lost
        self._vouching = vouching
        self._unreached: dict[NodeId, None] = {}
        self._doubted: dict[NodeId, None] = {}
        self._is_stale = False
        self._changed: dict[NodeId, None] = {}

    @property
    def missed(self) -> bool:
        """Whether somebody is not reached, as far as that was worked out."""
        return bool(self._unreached) or self._is_stale

    def gained(self, author: NodeId, target: NodeId) -> None:
        """`author`, who vouches, lists `target` as up now."""
        if target in self._unreached and author not in self._unreached:
            self._is_stale = True

    def lost(self, target: NodeId) -> None:
        """Somebody who vouched for it does not any more."""
        if self._is_stale or target in self._unreached:
            return
        self._doubted[target] = None
        if len(self._doubted) > DOUBTED_MAX:
            self._is_stale = True

    def unreached(self) -> Mapping[NodeId, None]:
        """Who is listed, or lists anybody, and is not reached."""
        if self._is_stale or not all(self._finds_us(node) for node in self._doubted):
            self._walk()
        self._is_stale = False
        self._doubted.clear()
        return self._unreached

    def changed(self) -> dict[NodeId, None]:
        """Who is reached now and was not, or the other way round, since this was asked last."""
        self.unreached()
        changed, self._changed = self._changed, {}
        return changed

    def _finds_us(self, target: NodeId) -> bool:
        """Whether a way back from `target` ends at one of our links."""
        links, vouching, unreached = self._links, self._vouching, self._unreached
        if target in links:
            return True
        seen, left = {target: None}, [target]
        while left:
            for author in self._up.get(left.pop(), ()):
                if author in seen or author in unreached or author not in vouching:
                    continue
                if author in links:
                    return True
                seen[author] = None
                left.append(author)
        return False

    def _walk(self) -> None:
        reached = dict.fromkeys(self._links)
        left = list(reached)
        while left:
            node = left.pop()
            if node in self._vouching:
                for peer in self._says.get(node, ()):
                    if peer not in reached:
                        reached[peer] = None
                        left.append(peer)
        reached[self._own] = None
        before = self._unreached
        present: dict[NodeId, None] = {}
        for known in (self._says, self._up, self._lost):
            present.update((node, None) for node in known if node not in reached)
        self._unreached = present
        self._changed.update((node, None) for node in before if node not in present)
        self._changed.update((node, None) for node in present if node not in before)
