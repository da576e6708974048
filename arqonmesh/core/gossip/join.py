"""What a joiner is handed, so that it can verify the roster by itself before it believes anyone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from arqonmesh.core.gossip.log import Record
from arqonmesh.ids import NodeId
from arqonmesh.wire.statement import Admission, Kind

JOIN_BYTES_MAX: Final = 900_000
"""What the statements may add up to, so that a JoinAccept fits one frame."""
JOIN_COUNT_MAX: Final = 4_096


def joining(first: Sequence[Record], groups: Iterable[Iterable[Record]]) -> tuple[bytes, ...]:
    """The genesis and the policy, then the admissions `first` with the invites that they rest on, then of all the
    others what fits: some 2,000 members. What does not comes by gossip."""
    genesis, policy, invites, admissions = (list(group) for group in groups)
    used = {record.body.ticket_id for record in admissions if isinstance(record.body, Admission)}
    first_used = {record.body.ticket_id for record in first if isinstance(record.body, Admission)}
    rest = [record for record in invites if record.key in used and record.key not in first_used]
    first = [*(record for record in invites if record.key in first_used), *first]
    chosen: list[bytes] = []
    seen: dict[tuple[NodeId, str], None] = {}
    size = 0
    for record in chain(genesis, policy, first, rest, admissions):
        if record.kind == Kind.ADMISSION:
            if (record.author, record.key) in seen:
                continue
            seen[record.author, record.key] = None
        size += len(record.encoded)
        if size > JOIN_BYTES_MAX or len(chosen) >= JOIN_COUNT_MAX:
            break
        chosen.append(record.encoded)
    return tuple(chosen)
