"""What the members' link records say about one of them: does anybody still have a link to it?

A link that fell silent is evidence of its own kind: somebody who exchanged heartbeats with the member ten times a
second signs that they stopped. When everyone who had a link says so, and nobody who may vouch still has one, the member
is *severed*: no probe can reach it, no refutation of its own could come, and asking others again adds nothing.

    island(t)   =  t, those whose newest records list t as up, those whose records list these, and so on;
                   none, when somebody to whom we have a link is among them
    severed(t)  =  t is on an island,  and one at least who is not on it lists t as down

Our own links count as they are at this moment, those of others as their newest LINKS records (signed) say. A dead
member's record vouches for nobody: it is as old as its death. As is that of one who died just now: so whoever is
vouched for only by those whom nobody reaches is not reached either, be it two linked hubs that died together. Whether
an island is dead or cut off, nobody can tell from here; timing.py says what that means.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.core.membership.islands import Island, Islands
from arqonmesh.core.membership.reach import Reach
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Links, peers_up

FRESH_US: Final = 10 * SECOND
"""A link that was lost longer ago says nothing about what happens now."""


class Evidence:
    """Bounded by the store of statements: one record per author, at most 128 links in each."""

    def __init__(self, own: NodeId) -> None:
        self._own = own
        self.links: dict[NodeId, None] = {}
        """Our own, right now."""
        self._says: dict[NodeId, tuple[NodeId, ...]] = {}
        """Whom each author lists as up in its newest record."""
        self._says_down: dict[NodeId, tuple[NodeId, ...]] = {}
        """Whom it lists as down, for the few that do."""
        self._up: dict[NodeId, tuple[NodeId, ...]] = {}
        """Member to those who say that they have a link to it."""
        self._lost: dict[NodeId, dict[NodeId, Instant]] = {}
        """Member to those who say that they lost theirs, and since when."""
        self.vouching: dict[NodeId, None] = {}
        """Whose word counts: all who are alive or suspect."""
        self._reach = Reach(own, self.links, self._says, self._up, self._lost, self.vouching)
        self._islands = Islands(self._up, self.vouching)

    def link_up(self, now: Instant, peer: NodeId) -> None:
        self.links[peer] = None
        self._note(now, peer, self._own, up=True)

    def link_down(self, now: Instant, peer: NodeId) -> None:
        self.links.pop(peer, None)
        self._note(now, peer, self._own, up=False)

    def advertised(self, now: Instant, author: NodeId, links: Links) -> list[NodeId]:
        """An author's present record; the members about whom it says something else than before, sorted."""
        before, had = self._listed(author), (self._says.get(author), self._says_down.get(author))
        up = peers_up(links)
        down = tuple(NodeId(link.peer) for link in links.adjacencies if link.peer not in up)
        if (up, down or None) == had:
            return []
        self._says[author] = up
        if down:
            self._says_down[author] = down
        else:
            self._says_down.pop(author, None)
        present = self._listed(author)
        if not before:
            for peer, is_up in present.items():
                self._note(now, peer, author, up=is_up)
            return sorted(present)
        changed = [peer for peer in sorted(before.keys() | present.keys()) if before.get(peer) != present.get(peer)]
        for peer in changed:
            self._note(now, peer, author, up=present.get(peer))
        return changed

    def advertised_together(self, now: Instant, records: Iterable[tuple[NodeId, Links]]) -> dict[NodeId, None]:
        """The same of many at once; about whom they say something else than before. At a start everyone's record is the
        first of its author, and what it lists is noted for each peer once and not author after author."""
        about: dict[NodeId, None] = {}
        having: dict[NodeId, list[NodeId]] = {}
        says, missed = self._says, self._reach.missed
        for author, links in records:
            up = peers_up(links)
            if author in says or len(up) != len(links.adjacencies) or missed:
                self._note_up(having)
                about.update(dict.fromkeys(self.advertised(now, author, links)))
                continue
            says[author] = up
            for peer in up:
                if peer in having:
                    having[peer].append(author)
                else:
                    having[peer] = [author]
            about.update(dict.fromkeys(up))
        self._note_up(having)
        return about

    def _listed(self, author: NodeId) -> dict[NodeId, bool]:
        up, down = self._says.get(author, ()), self._says_down.get(author, ())
        return {**dict.fromkeys(up, True), **dict.fromkeys(down, False)}

    def vouched_by(self, author: NodeId) -> list[NodeId]:
        """Whom this author lists as up, sorted."""
        return sorted(self._says.get(author, ()))

    def vouches(self, author: NodeId, *, counts: bool) -> None:
        """Whether its word counts from now on."""
        if counts:
            self.vouching[author] = None
        else:
            self.vouching.pop(author, None)
        for peer in self._says.get(author, ()):
            if counts:
                self._reach.gained(author, peer)
            else:
                self._reach.lost(peer)
        self._islands.forget()

    def was_lost(self, target: NodeId) -> bool:
        """Whether anybody says that it lost its link to it."""
        return target in self._lost

    def vouched_for(self, target: NodeId) -> bool:
        """Whether we have a link to it, or somebody who may vouch says so."""
        return any(self._counts(author) for author in self._up.get(target, ()))

    def reached_by_others(self, target: NodeId) -> bool:
        """Whether we have no link to it, and somebody who may vouch says that he has."""
        return target not in self.links and any(author in self.vouching for author in self._up.get(target, ()))

    def neighbours(self, target: NodeId) -> tuple[NodeId, ...] | None:
        """Who has a link to it as both say in their records: whatever reaches it comes through one of them, or through
        us, who are not among them. None while it has said nothing."""
        says = self._says.get(target)
        if says is None:
            return None
        return tuple(peer for peer in says if target in self._says.get(peer, ()))

    def is_between_links(self, target: NodeId) -> bool:
        """Whether nobody says to have a link to it, while it has said nothing yet and nobody whose word counts has lost
        one, or says that it has one to another such: either that one is about to say so too, or it is gone and that one
        tells of it. Of our own links we know."""
        if self.vouched_for(target):
            return False
        says = self._says.get(target)
        if says is None:
            return not any(self._counts(author) for author in self._lost.get(target, ()))
        return any(peer in self.vouching and peer != self._own for peer in says)

    def losing(self, target: NodeId) -> bool:
        """Whether of those whose word counts, ourselves included, more lost their link to it than have one."""
        losers = self._lost.get(target)
        if not losers:
            return False
        having = sum(1 for author in self._up.get(target, ()) if self._counts(author))
        return sum(1 for author in losers if self._counts(author)) > having

    def island(self, target: NodeId, most: int) -> Island:
        """Whom nobody reaches any more, `target` and those who vouch for it. Empty when it is reached, when nobody
        outside says to have lost it, or when they are more than `most`."""
        losers = self._lost.get(target)
        if not losers or target not in self._reach.unreached():
            return {}
        island = self._islands.of(target, most)
        lost = island and any(self._counts(author) and author not in island for author in losers)
        return island if lost else {}

    def turned(self) -> dict[NodeId, None]:
        """Who is reached now and was not, or the other way round, since this was asked last."""
        return self._reach.changed()

    def witnesses(self, now: Instant, target: NodeId) -> list[NodeId]:
        """Who lost a link to it a moment before `now` or later, sorted; ourselves included."""
        return sorted(author for author, since in self._lost.get(target, {}).items() if now - since <= FRESH_US)

    def tells(self, now: Instant, target: NodeId, most: int) -> bool:
        """Whether we are of the `most` of these who tell everyone: those who know most, or the first of them."""
        much, less = self._by_knowledge(now, target)
        return self._own in (much + less)[:most]

    def who_know_more(self, now: Instant, target: NodeId) -> list[NodeId]:
        """Who of these know much more than we; nobody when we are one of them, or none of these at all."""
        much, less = self._by_knowledge(now, target)
        return much if self._own in less else []

    def _by_knowledge(self, now: Instant, target: NodeId) -> tuple[list[NodeId], list[NodeId]]:
        """Those who lost a link to it, and apart those of them who know much less: two others have more than twice as
        many links. How many another has is what others say here, so nobody makes itself one of the first."""
        losers = [author for author in self.witnesses(now, target) if self._counts(author)]
        links = [len(self._up.get(author, ())) for author in losers]
        if self._own in losers:  # others may not have heard of ours yet
            links[losers.index(self._own)] = max(len(self._up.get(self._own, ())), len(self.links))
        bar = sorted(links)[-2] if len(links) > 1 else 0
        much = [author for author, count in zip(losers, links, strict=True) if 2 * count >= bar]
        return much, [author for author, count in zip(losers, links, strict=True) if 2 * count < bar]

    def lost_by_us(self, now: Instant, target: NodeId) -> bool:
        """Whether we lost a link of our own to it a moment ago."""
        since = self._lost.get(target, {}).get(self._own)
        return since is not None and now - since <= FRESH_US

    def _note(self, now: Instant, peer: NodeId, author: NodeId, *, up: bool | None) -> None:
        """What an author says of its link to `peer` from now on; None for nothing."""
        having = self._up.get(peer, ())
        if up is True and author not in having:
            self._up[peer] = (*having, author)
            if self._counts(author):
                self._reach.gained(author, peer)
            self._islands.forget()
        elif up is not True and author in having:
            self._up[peer] = tuple(other for other in having if other != author)
            if not self._up[peer]:  # anyone may be named, so nobody is remembered for nothing
                del self._up[peer]
            self._islands.forget()
        if up is False:
            self._lost.setdefault(peer, {})[author] = now
        elif peer in self._lost:
            self._lost[peer].pop(author, None)
            if not self._lost[peer]:
                del self._lost[peer]
        if up is not True:
            self._reach.lost(peer)

    def _note_up(self, having: dict[NodeId, list[NodeId]]) -> None:
        """Who had said nothing before say that they have a link to these. Taken out of `having`."""
        if having:
            for peer, authors in having.items():
                self._up[peer] = (*self._up.get(peer, ()), *authors)
            having.clear()
            self._islands.forget()

    def _counts(self, author: NodeId) -> bool:
        return author in self.vouching or author == self._own
