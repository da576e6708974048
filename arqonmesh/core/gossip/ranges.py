"""Range-based set reconciliation of one author's records (Meyer 2022; negentropy v1): rounds and bytes in proportion
to what differs and to the logarithm of what is there.

    16 ranges with a fingerprint each ──▶ of those that differ 16 each ──▶ ids ──▶ statements, ids wanted ──▶ statements

For authors whose two copies differ though their heads do not: a replica with holes (rows lost, a relay that vouched
falsely), one branch against another, what is left below a fork. A plain lag is mended by `after(head)` in one message.

Fingerprints are of the sum of the record hashes and their number; ids are 8 bytes of a record's hash: good against
accidents, and no proof. An author that grinds collisions hides its own records from repair, nobody else's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, TypeAlias

from arqonmesh.core.gossip.log import ORIGIN, AuthorLog, Position, Record

SKIP, FINGERPRINT, IDS, WANT = range(4)
SPLIT: Final = 16
IDS_MAX: Final = 32
"""A range with at most this many records is listed, not split."""
ANSWER_MAX: Final = 128
"""Ranges in one answer, about; what lies beyond is summed up in one fingerprint and comes in the next round."""
LAST: Final[Position] = (0x7FFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF)
_FINGERPRINT_BYTES: Final = 16
_ID_BYTES: Final = 8

Id: TypeAlias = tuple[int, int, bytes]
Range: TypeAlias = tuple[int, int, int, bytes, tuple[Id, ...]]


@dataclass(slots=True)
class Answer:
    """What a message of ranges comes to."""

    ranges: list[Range] = field(default_factory=list)
    """To be asked in return. Empty: nothing."""
    records: list[Record] = field(default_factory=list)
    """What the other side lacks, in order of position."""


def opening(log: AuthorLog) -> list[Range]:
    """The first message about an author: all that we hold of it, listed or split."""
    return _described(log.ordered(), LAST)


def answer(log: AuthorLog, ranges: Sequence[Range]) -> Answer | None:
    """Compare these ranges with what we hold. None when their ends do not ascend."""
    if any(a[:2] >= b[:2] for a, b in pairwise(ranges)):
        return None
    result = Answer()
    ordered = log.ordered()
    low, start, said = ORIGIN, 0, ORIGIN
    for epoch, seq, mode, fingerprint, ids in ranges:
        high = (epoch, seq)
        if len(result.ranges) >= ANSWER_MAX:
            result.ranges.append((*LAST, FINGERPRINT, _fingerprint(ordered[start:]), ()))
            break
        stop = log.index_after(high)
        mine = ordered[start:stop]
        asked: list[Range] = []
        if mode == FINGERPRINT and fingerprint != _fingerprint(mine):
            asked = _described(mine, high)
        elif mode == IDS:
            held = [_id(record) for record in mine]
            theirs, known = frozenset(ids), frozenset(held)
            result.records += [record for record, id_ in zip(mine, held, strict=True) if id_ not in theirs]
            missing = tuple(id_ for id_ in ids if id_ not in known)
            asked = [(*high, WANT, b"", missing)] if missing else []
        elif mode == WANT:
            wanted = frozenset(ids)
            result.records += [record for record in mine if _id(record) in wanted]
        if asked:
            if said < low:
                result.ranges.append((*low, SKIP, b"", ()))
            result.ranges += asked
            said = high
        low, start = high, stop
    return result


def _described(records: Sequence[Record], high: Position) -> list[Range]:
    """One range that lists these records, or SPLIT ranges with a fingerprint each, the last of which ends at `high`."""
    if len(records) <= IDS_MAX:
        return [(*high, IDS, b"", tuple(_id(record) for record in records))]
    ranges: list[Range] = []
    for part in range(SPLIT):
        chunk = records[len(records) * part // SPLIT : len(records) * (part + 1) // SPLIT]
        end = high if part == SPLIT - 1 else chunk[-1].position
        ranges.append((*end, FINGERPRINT, _fingerprint(chunk), ()))
    return ranges


def _fingerprint(records: Sequence[Record]) -> bytes:
    total = sum(int.from_bytes(record.hash, "big") for record in records) % (1 << 256)
    state = total.to_bytes(32, "big") + len(records).to_bytes(8, "big")
    return hashlib.sha256(state).digest()[:_FINGERPRINT_BYTES]


def _id(record: Record) -> Id:
    return (*record.position, record.hash[:_ID_BYTES])
