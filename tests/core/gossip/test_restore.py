"""What a start reads at once is what was put one by one."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.gossip.forks import Fork
from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import read_record, restored_log
from arqonmesh.core.gossip.replica import Replica
from tests.core.gossip.world import node_record, signed


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 2), st.integers(1, 30)), unique=True, max_size=60))
def test_a_replica_that_was_restored_equals_one_that_took_record_by_record(places: list[tuple[str, int, int]]) -> None:
    """The root, every head and every lookup, with few records of an author and with so many that they are indexed."""
    records = [
        read_record(signed(name, seq, node_record(name, 1), key=f"{epoch}/{seq}", epoch=epoch))
        for name, epoch, seq in places
    ]
    records.sort(key=lambda record: (record.author, record.position))
    at_once, one_by_one = Replica(Limits()), Replica(Limits())
    at_once.restore([tuple(held) for _, held in groupby(records, key=lambda record: record.author)])
    for record in records:
        one_by_one.put(record)
    assert at_once.root() == one_by_one.root()
    assert at_once.digest() == one_by_one.digest()
    assert at_once.bytes_held == one_by_one.bytes_held
    assert list(at_once.records()) == records
    for record in records:
        assert at_once.authors[record.author].get(record.kind, record.key) is record


def test_replicas_that_share_what_they_restored_change_only_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One takes in a newer statement, one convicts the author, one forgets it; the last is as it was, root and all."""
    monkeypatch.setattr(restored_log, "capacity", 16)
    first = [read_record(signed("a", seq, node_record("a", 1), key=f"{seq}")) for seq in (1, 2, 3)]
    newer, other = (read_record(signed("a", 4, node_record("a", i), key="4")) for i in (1, 2))
    replicas = [Replica(Limits()) for _ in range(4)]
    for replica in replicas:
        replica.restore([tuple(first)])
    taking, convicting, forgetting, quiet = replicas
    root = quiet.root()
    assert taking.authors[newer.author] is quiet.authors[newer.author]
    taking.put(newer)
    convicting.convict(newer.author, Fork(newer.encoded, other.encoded, (first[1].position, first[1].position)))
    forgetting.forget(newer.author)
    alone = Replica(Limits())
    for record in (*first, newer):
        alone.put(record)
    assert taking.root() == alone.root()
    assert [r.position for r in convicting.records()] == [first[0].position]
    assert list(quiet.records()) == first
    assert quiet.root() == root != convicting.root()
