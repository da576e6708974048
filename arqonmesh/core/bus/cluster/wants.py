"""What this node lacks of a stream and a mate has, by his word: asked for one stretch at a time, and given up at last.

    lacking ── GRACE_US, in which federation may bring it ──▶ wanted of a mate ──▶ frames ──▶ history
                                                                          └─▶ he has not got it: another mate, or nobody

A mate that did not have what he was asked for is not asked for it again while the link lasts. When none is left, what
is missing at the end of a stream becomes a hole: whoever resumes is told of it by name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from arqonmesh.core.bus.cluster.holdings import Holdings
from arqonmesh.core.bus.streams import without
from arqonmesh.core.kernel import SECOND, Instant
from arqonmesh.ids import NodeId
from arqonmesh.wire.messages import HistoryWanted, Holding

GRACE_US: Final = SECOND
"""So long is waited for what may be on its way already."""
WANTS_MAX: Final = 4_096
BARREN_MAX: Final = 4_096
STRETCHES_MAX: Final = 16
"""Per question."""
PATIENCE_US: Final = 15 * SECOND
"""For an answer."""

Key = tuple[str, str]
"""(channel, epoch)."""
Stretch = tuple[int, int]


@dataclass(slots=True)
class _Want:
    at: Instant
    """When it may be asked for."""
    mates: dict[NodeId, Holding] = field(default_factory=dict)
    """Who has it, by what they said."""


@dataclass(slots=True, frozen=True)
class Asked:
    """A question under way."""

    token: int
    key: Key
    stretches: tuple[Stretch, ...]
    until: Instant


class Wants:
    """Bounded; what does not fit is found again by the next comparison."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._wants: OrderedDict[Key, _Want] = OrderedDict()
        self._barren: OrderedDict[tuple[NodeId, Key], tuple[Stretch, ...]] = OrderedDict()
        """What a mate said, when asked, that he has not got."""
        self.asked: dict[NodeId, Asked] = {}
        """One question at a time to each."""
        self._next_token = 1
        self.urgent = False
        """Something new is wanted that need not be waited for."""
        self.given_up = 0
        """Stretches at the end of a stream that nobody within reach had."""

    def __len__(self) -> int:
        return len(self._wants)

    def told(self, now: Instant, mate: NodeId, channel: str, holding: Holding) -> None:
        """A mate says how far he holds a stream."""
        key = (channel, holding[0])
        want = self._wants.get(key)
        if not self._missing(mate, key, holding):
            if want is not None:
                self._drop(key, mate)
            self._settled(key, holding[1])
        elif want is not None:
            want.mates[mate] = holding
        elif len(self._wants) < WANTS_MAX:
            own = self._holdings.published_here(holding[0])  # nobody sends it to us unasked
            self.urgent = self.urgent or own
            self._wants[key] = _Want(now if own else now + GRACE_US, {mate: holding})

    def next_at(self) -> Instant | None:
        """When there is something to ask for, or to stop waiting for."""
        moments = [want.at for key, want in self._wants.items() if not self._is_asked(key)]
        moments += [asked.until for asked in self.asked.values()]
        return min(moments, default=None)

    def questions(self, now: Instant, free: Callable[[NodeId], bool]) -> list[tuple[NodeId, HistoryWanted]]:
        """What to ask now; `free(mate)`: whether he may be asked."""
        for mate in [mate for mate, asked in self.asked.items() if asked.until <= now]:
            self._drop(self.asked.pop(mate).key, mate)
        self.urgent = False
        questions: list[tuple[NodeId, HistoryWanted]] = []
        for key, want in list(self._wants.items()):
            if want.at > now or self._is_asked(key):
                continue
            for mate, holding in list(want.mates.items()):
                missing = self._missing(mate, key, holding)
                if not missing:
                    self._drop(key, mate)
                elif mate not in self.asked and free(mate):
                    stretches = tuple(missing[:STRETCHES_MAX])
                    token, self._next_token = self._next_token, self._next_token + 1
                    self.asked[mate] = Asked(token, key, stretches, now + PATIENCE_US)
                    questions.append((mate, HistoryWanted(token, *key, stretches)))
                    break
        return questions

    def later(self, now: Instant, mate: NodeId) -> None:
        """He is busy."""
        want = self._wants.get(self.asked.pop(mate).key)
        if want is not None:
            want.at = now + GRACE_US

    def answered(self, now: Instant, mate: NodeId, more: bool) -> None:
        """What he sent is in the streams by now. When that was all he has, the rest is not his to give."""
        asked = self.asked.pop(mate)
        want = self._wants.get(asked.key)
        if want is None:
            return
        holding = want.mates.get(mate)
        want.at = now
        if holding is None:
            return
        missing = self._missing(mate, asked.key, holding)
        if not more or tuple(missing[:STRETCHES_MAX]) == asked.stretches:
            self._note_barren(mate, asked.key, asked.stretches)
            missing = self._missing(mate, asked.key, holding)
        if missing or self._drop(asked.key, mate):
            return
        streams = self._holdings.streams(asked.key[0])
        if streams is not None and streams.heads.get(asked.key[1], 0) < holding[1]:
            streams.pass_over(asked.key[1], holding[1])
            self.given_up += 1
        self._settled(asked.key, holding[1])

    def link_up(self, mate: NodeId) -> None:
        """He may have come by more."""
        for key in [key for key in self._barren if key[0] == mate]:
            del self._barren[key]

    def link_lost(self, mate: NodeId) -> None:
        self.asked.pop(mate, None)
        for key, want in list(self._wants.items()):
            if mate in want.mates:
                self._drop(key, mate)

    def clear(self) -> None:
        self._wants.clear()
        self._barren.clear()
        self.asked.clear()

    # --- private ---------------------------------------------------------------------------------------------

    def _missing(self, mate: NodeId, key: Key, holding: Holding) -> list[Stretch]:
        missing = self._holdings.lacking(key[0], holding)
        barren = self._barren.get((mate, key))
        return without(missing, barren) if missing and barren else missing

    def _settled(self, key: Key, head: int) -> None:
        """All that the cluster has of a stream up to there is here, or a hole: how it ended is known."""
        streams = self._holdings.streams(key[0])
        if streams is not None and self._holdings.is_ours(key[1]) and streams.heads.get(key[1], 0) >= head:
            streams.unsure.pop(key[1], None)

    def _is_asked(self, key: Key) -> bool:
        return any(asked.key == key for asked in self.asked.values())

    def _drop(self, key: Key, mate: NodeId) -> bool:
        """This mate is not wanted for it any more; whether another is."""
        want = self._wants.get(key)
        if want is None:
            return False
        want.mates.pop(mate, None)
        if not want.mates:
            del self._wants[key]
        return bool(want.mates)

    def _note_barren(self, mate: NodeId, key: Key, stretches: Sequence[Stretch]) -> None:
        known = self._barren.pop((mate, key), ())
        self._barren[mate, key] = tuple(_merged([*known, *stretches]))
        while len(self._barren) > BARREN_MAX:
            self._barren.popitem(last=False)


def _merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """In order, what overlaps or touches together."""
    merged: list[Stretch] = []
    for first, last in sorted(stretches):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
