"""What a start reads at once is what was put one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arqonmesh.core.gossip.limits import Limits
from arqonmesh.core.gossip.log import read_record
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
    at_once.restore(records)
    for record in records:
        one_by_one.put(record)
    assert at_once.root() == one_by_one.root()
    assert at_once.digest() == one_by_one.digest()
    assert at_once.bytes_held == one_by_one.bytes_held
    assert list(at_once.records()) == records
    for record in records:
        assert at_once.authors[record.author].get(record.kind, record.key) is record
