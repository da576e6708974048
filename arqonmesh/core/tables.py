"""What cores keep, as data. The SQLite store and the simulator's disk both build themselves from this.

A change here is a schema change: raise `SCHEMA_VERSION` and add a migration in store/migrations.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_VERSION: Final = 3

ColumnType = Literal["integer", "text", "blob"]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table. `columns` gives the order of every row; `key` the primary key, a prefix of the columns."""

    name: str
    columns: tuple[tuple[str, ColumnType], ...]
    key: int
    """How many leading columns form the primary key."""
    note: str


TABLES: Final[tuple[TableSpec, ...]] = (
    TableSpec(
        "scalars",
        (("core", "text"), ("name", "text"), ("value", "blob")),
        2,
        "small values of one core each: boot epoch, incarnation, sequence heads",
    ),
    TableSpec(
        "statements",
        (
            ("author", "blob"),
            ("kind", "integer"),
            ("key", "blob"),
            ("epoch", "integer"),
            ("seq", "integer"),
            ("bytes", "blob"),
        ),
        3,
        "the newest signed statement per author (the 20 bytes of its id), kind and key (as an item of CBOR); its bytes "
        "without what the other columns say",
    ),
    TableSpec(
        "heads",
        (("author", "blob"), ("epoch", "integer"), ("seq", "integer"), ("hash", "blob")),
        1,
        "the newest (epoch, seq, hash) known of an author: our own, and where that statement itself is not held",
    ),
    TableSpec(
        "peers",
        (
            ("node_id", "blob"),
            ("first_seen_ms", "integer"),
            ("last_seen_ms", "integer"),
            ("score_ppm", "integer"),
            ("score_at_ms", "integer"),
            ("latency_us", "integer"),
            ("deliveries", "integer"),
        ),
        1,
        "the peer store: reputation in millionths (null: nothing is held against it), latency in microseconds; where a "
        "peer is and who, its statements say",
    ),
    TableSpec(
        "peer_causes",
        (
            ("node_id", "blob"),
            ("n", "integer"),
            ("at_ms", "integer"),
            ("delta_ppm", "integer"),
            ("cause", "text"),
            ("evidence", "blob"),
        ),
        2,
        "why a score moved: the newest changes of each peer",
    ),
    TableSpec(
        "inbox",
        (("origin", "text"), ("epoch", "integer"), ("high", "integer"), ("seen", "blob")),
        2,
        "per origin and epoch: the highest federated section seen, and a bitmap of those just below it",
    ),
    TableSpec(
        "outbox",
        (("peer", "text"), ("seq", "integer"), ("bytes", "blob")),
        2,
        "federated batches held for a link, by link sequence",
    ),
    TableSpec(
        "links",
        (("address", "text"), ("peer", "text"), ("added_ms", "integer")),
        1,
        "links that the operator asked for with `arqon link add`",
    ),
)

BY_NAME: Final[dict[str, TableSpec]] = {table.name: table for table in TABLES}
