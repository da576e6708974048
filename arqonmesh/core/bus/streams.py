"""Streams: what each node published on a channel, counted, so that "what have I missed" has an exact answer.

A channel is fed by one stream per publishing node and life of it. A stream's name is its *epoch*; its events of the
channel have the *offsets* 1, 2, 3 ... without gaps. Nodes hear each stream in its own order, so one number per epoch
says everything that a node, or a client, has seen of a channel: its *position*, {epoch: highest offset}.

    7f2ckd3atu-1tz0ab       node 7f2ckd3atu..., its boot epoch in base 36
    7f2ckd3atu-1tz0ab.2     the same life, after it had to forget what it had counted there

Kafka's (partition leader epoch, offset) and Centrifugo's (epoch, offset) are the models; here every node leads its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from arqonmesh.core.kernel import Range

EPOCH_LENGTH_MAX: Final = 64
OFFSET_MAX: Final = (1 << 53) - 1
"""What a JSON number holds exactly everywhere."""
HEADS_MAX: Final = 64
"""Streams per channel that are remembered; beyond it past lives of nodes go, the one heard of first before others."""
HOLES_MAX: Final = 32
"""Holes per stream that are remembered; beyond it the lowest is given up."""
NODE_LENGTH: Final = 10
"""Characters of the node's id in an epoch: 50 bits."""

_EPOCH: Final = re.compile(r"([a-z2-7]{1,32})-([0-9a-z]{1,13})(?:\.([0-9]{1,9}))?")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=1_024)
def epoch_of(node_id: str, boot_epoch: int, generation: int = 0) -> str:
    """The name of a stream of this life of this node."""
    digits = ""
    while boot_epoch:
        boot_epoch, digit = divmod(boot_epoch, 36)
        digits = _DIGITS[digit] + digits
    return f"{node_id[:NODE_LENGTH]}-{digits or '0'}" + (f".{generation}" if generation else "")


class Life(NamedTuple):
    """An epoch, taken apart; lives of one node compare in the order in which they were."""

    node: str
    boot: int
    generation: int


@lru_cache(maxsize=8_192)
def life_of(epoch: str) -> Life | None:
    """None when it is not one of ours."""
    found = _EPOCH.fullmatch(epoch)
    return None if found is None else Life(found[1], int(found[2], 36), int(found[3] or 0))


class Gap(NamedTuple):
    """Events of a stream that cannot be had any more; `last` None: nobody knows how many there were, if any."""

    epoch: str
    first: int
    last: int | None


class Streams:
    """The streams of one channel, as far as this node has heard them."""

    __slots__ = ("epoch", "given_up", "heads", "holes", "offset", "unsure", "untold")

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        """Of our own stream."""
        self.offset = 0
        """Its newest event."""
        self.heads: dict[str, int] = {}
        """Highest offset heard of every other stream."""
        self.holes: dict[str, list[tuple[int, int]]] = {}
        """What is missing below, first and last of each stretch, lowest first."""
        self.untold: dict[str, list[tuple[int, int]]] = {}
        """What a mate of the cluster gave us and the members here have not heard: should the publisher's own copy come,
        they will."""
        self.unsure: dict[str, None] = {}
        """Streams of our earlier lives that ended in a crash: their last events may not have reached the disk."""
        self.given_up: dict[str, tuple[int, int]] = {}
        """Node -> the newest of its lives whose stream was forgotten here to make room."""

    def restore(self, epoch: str, head: int, holes: Iterable[tuple[int, int]], ended: bool) -> None:
        """A stream as the disk knows it."""
        self.heads[epoch] = head
        if found := list(holes):
            self.holes[epoch] = found
        if not ended:
            self.unsure[epoch] = None
        self._bound()

    def arrived(self, epoch: str, offset: int) -> bool | None:
        """Note an event of another stream. True: the newest of it; False: an older one that was missing; None: known
        already."""
        head = self.heads.get(epoch, 0)
        if offset == head + 1:
            self.heads[epoch] = offset
            if head == 0:
                self._bound()
            return True
        if offset > head:
            self.heads[epoch] = offset
            add_hole(self.holes.setdefault(epoch, []), head + 1, offset - 1)
            self._bound()
            return True
        holes = self.holes.get(epoch)
        if holes is None or not fill_hole(holes, offset, offset):
            return None
        if not holes:
            del self.holes[epoch]
        return False

    def keep_untold(self, epoch: str, first: int, last: int) -> None:
        """We have these now, and nobody has been told."""
        stretches = self.untold.setdefault(epoch, [])
        if stretches and stretches[-1][1] == first - 1:
            stretches[-1] = (stretches[-1][0], last)
        else:
            add_hole(stretches, first, last)
        self._bound()

    def tell(self, epoch: str, offset: int) -> bool:
        """The publisher's own copy came of something known: whether the members here have yet to hear it. True once."""
        stretches = self.untold.get(epoch)
        if stretches is None or not fill_hole(stretches, offset, offset):
            return False
        if not stretches:
            del self.untold[epoch]
        return True

    def lacking(self, epoch: str, head: int, holes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """What we have not heard of what somebody has who has all up to `head` but the holes; lowest first."""
        if epoch == self.epoch:
            return []
        mine = self.heads.get(epoch, 0)
        missing = [(first, min(last, head)) for first, last in self.holes.get(epoch, ()) if first <= head]
        if mine < head:
            missing.append((mine + 1, head))
        return without(missing, holes)

    def pass_over(self, epoch: str, last: int) -> None:
        """Nobody within reach has what comes next of this stream, up to `last`: a hole, until somebody has it."""
        head = self.heads.get(epoch, 0)
        if epoch != self.epoch and head < last:
            self.heads[epoch] = last
            add_hole(self.holes.setdefault(epoch, []), head + 1, last)
            self._bound()

    def position(self) -> dict[str, int]:
        """{epoch: highest offset}, our own stream included from its beginning on."""
        return {**self.heads, self.epoch: self.offset}

    def missed(self, since: Mapping[str, int]) -> list[Range]:
        """What a client that has seen `since` has not seen, by what we have heard.

        A stream that `since` does not name is owed from its beginning, unless all lives of its node that are named came
        after it: then it was over before the position was made, or the client has been told of it.
        """
        oldest = oldest_lives(since)
        wanted: list[Range] = []
        for epoch, head in self.position().items():
            first = since.get(epoch, 0) + 1
            if first <= head and not (first == 1 and epoch not in since and is_over(epoch, oldest)):
                wanted.append((epoch, first, head))
        return wanted

    def doubtful(self, since: Mapping[str, int]) -> list[Gap]:
        """Stretches of which nobody here can tell whether there was anything in them.

        Ours that ended in a crash, and streams that we have forgotten, or never heard of although we know what came
        after them. Told once: who knows a later life of that node has been told, or was there; and what was forgotten
        to make room is not in the position that goes with the answer (`has_given_up`).
        """
        if not since:
            return []
        told, oldest = newest_lives(since), oldest_lives(since)
        gaps = [
            Gap(epoch, max(self.heads.get(epoch, 0), since.get(epoch, 0)) + 1, None)
            for epoch in self.unsure
            if not (is_past(epoch, told) if epoch in since else is_over(epoch, oldest))
        ]
        known = newest_lives(self.position())
        for epoch, offset in since.items():
            if epoch in self.heads or epoch == self.epoch or _is_no_life(epoch):
                continue
            if self.has_given_up(epoch) or (is_past(epoch, known) and not is_past(epoch, told)):
                gaps.append(Gap(epoch, offset + 1, None))
        return gaps

    def lost(self, since: Mapping[str, int], living: Iterable[str] = ()) -> list[Gap]:
        """What a client has seen of lives that are over and this node has not: unless another node still brings it,
        nobody else sees it. `living`: streams of lives that nodes are known to be in."""
        known = newest_lives((*self.position(), *living))
        return [
            Gap(epoch, self.heads[epoch] + 1, offset)
            for epoch, offset in since.items()
            if offset > self.heads.get(epoch, offset) and is_past(epoch, known)
        ]

    def has_given_up(self, epoch: str) -> bool:
        """Whether this stream was known here, or older than one that was, and had to make room."""
        life = life_of(epoch)
        if life is None or epoch in self.heads or epoch == self.epoch:
            return False
        return (life.boot, life.generation) <= self.given_up.get(life.node, (-1, -1)) and not _is_no_life(epoch)

    def ahead(self, since: Mapping[str, int]) -> dict[str, int]:
        """Where a client has seen more than we: of streams of nodes whose newest events have not come here yet."""
        own = life_of(self.epoch)
        known = newest_lives(self.position())
        found: dict[str, int] = {}
        for epoch, offset in since.items():
            life = life_of(epoch)
            if life is None or (own is not None and life.node == own.node) or is_past(epoch, known):
                continue
            if offset > self.heads.get(epoch, 0):
                found[epoch] = offset
        return found

    def _bound(self) -> None:
        while len(self.heads) > HEADS_MAX:
            known = newest_lives(self.position())
            oldest = next((epoch for epoch in self.heads if is_past(epoch, known)), next(iter(self.heads)))
            del self.heads[oldest]
            self.holes.pop(oldest, None)
            self.untold.pop(oldest, None)
            self.unsure.pop(oldest, None)
            life = life_of(oldest)
            if life is not None:
                before = self.given_up.pop(life.node, (-1, -1))
                self.given_up[life.node] = max(before, (life.boot, life.generation))
                if len(self.given_up) > HEADS_MAX:
                    del self.given_up[next(iter(self.given_up))]


def newest_lives(epochs: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Node -> its newest life among these."""
    newest: dict[str, tuple[int, int]] = {}
    for epoch in epochs:
        life = life_of(epoch)
        if life is not None:
            newest[life.node] = max(newest.get(life.node, (-1, -1)), (life.boot, life.generation))
    return newest


def is_past(epoch: str, newest: Mapping[str, tuple[int, int]]) -> bool:
    """Whether a later life of the same node is among `newest`."""
    life = life_of(epoch)
    return life is not None and newest.get(life.node, (-1, -1)) > (life.boot, life.generation)


def oldest_lives(epochs: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Node -> its oldest life among these."""
    oldest: dict[str, tuple[int, int]] = {}
    for epoch in epochs:
        life = life_of(epoch)
        if life is not None:
            mine = (life.boot, life.generation)
            oldest[life.node] = min(oldest.get(life.node, mine), mine)
    return oldest


def is_over(epoch: str, oldest: Mapping[str, tuple[int, int]]) -> bool:
    """Whether lives of the same node are among `oldest`, and all of them came later."""
    life = life_of(epoch)
    return life is not None and life.node in oldest and (life.boot, life.generation) < oldest[life.node]


def _is_no_life(epoch: str) -> bool:
    """Life 0 stands for a node before all its lives: who has heard nothing of it yet and is owed everything."""
    life = life_of(epoch)
    return life is not None and life.boot == 0 and life.generation == 0


def add_hole(holes: list[tuple[int, int]], first: int, last: int) -> None:
    """Note a stretch above all others that did not come."""
    holes.append((first, last))
    if len(holes) > HOLES_MAX:
        del holes[0]


def fill_hole(holes: list[tuple[int, int]], first: int, last: int) -> bool:
    """Take a stretch that came after all out of the hole that it lies in; False when it lies in none."""
    for index, (low, high) in enumerate(holes):
        if low <= first and last <= high:
            rest = [(low, first - 1)] if low < first else []
            if last < high:
                rest.append((last + 1, high))
            holes[index : index + 1] = rest
            return True
    return False


def without(stretches: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of these stretches, lowest first."""
    left = list(stretches)
    for low, high in taken:
        rest: list[tuple[int, int]] = []
        for first, last in left:
            if high < first or last < low:
                rest.append((first, last))
                continue
            if first < low:
                rest.append((first, low - 1))
            if high < last:
                rest.append((high + 1, last))
        left = rest
    return left


def gaps_in(wanted: Iterable[Range], got: Iterable[tuple[str, int]]) -> list[Gap]:
    """What of these stretches is not among these events."""
    offsets: dict[str, list[int]] = {}
    for epoch, offset in got:
        offsets.setdefault(epoch, []).append(offset)
    gaps: list[Gap] = []
    for epoch, first, last in wanted:
        expected = first
        for offset in sorted(offsets.get(epoch, ())):
            if offset > expected:
                gaps.append(Gap(epoch, expected, min(offset - 1, last)))
            expected = max(expected, offset + 1)
        if expected <= last:
            gaps.append(Gap(epoch, expected, last))
    return gaps
