"""What one node says of its clients: rows with versions, written by that node alone.

A row is of (client, channel): with a channel, that the client is in it; without, who the client is; without a client,
that the channel was created to stay. A later version of a key replaces the earlier one, so whoever stands at version v
is brought up to date by the rows after v. A row that says "not any more" is a tombstone; the oldest of too many are
forgotten, and who stands before that point (`floor`) gets all rows instead. A client's end ends all its rows.
(A state-based map with a single writer: Shapiro et al. 2011, INRIA RR-7506, without the conflicts.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from arqonmesh.wire.messages import PresenceRow

ROWS_MAX: Final = 200_000
"""Per node: clients_max of them with some forty channels each. What is beyond is not told, and counted."""
TOMBSTONES_MAX: Final = 4_096

Key = tuple[str, str]


class Facts(NamedTuple):
    """Who a client is, as it travels."""

    type: str = ""
    screen_name: str = ""
    personality: str = ""
    avatar: str = ""
    tenant: str = ""
    subject: str = ""


class Table:
    """The rows of one node in the order of their versions."""

    __slots__ = ("_by_client", "_tombstones", "epoch", "floor", "overflowed", "rows", "version")

    def __init__(self, epoch: int, version: int = 0) -> None:
        self.epoch = epoch
        """The node's boot epoch: a restarted node begins anew."""
        self.version = version
        self.floor = version
        """Tombstones up to here may be missing."""
        self.rows: OrderedDict[Key, PresenceRow] = OrderedDict()
        self.overflowed = 0
        self._by_client: dict[str, dict[str, None]] = {}
        self._tombstones: OrderedDict[Key, None] = OrderedDict()

    def write(
        self, client: str, channel: str, since_ms: int, *, alive: bool = True, facts: tuple[str, ...] = ()
    ) -> bool:
        """As the writer: the next version. False when there is no room for another row."""
        key = (client, channel)
        if alive and key not in self.rows and len(self.rows) >= ROWS_MAX:
            self.overflowed += 1
            return False
        if not alive and key not in self.rows:
            return False
        self.version += 1
        self.put((self.version, client, channel, since_ms, alive, tuple(facts)))
        return True

    def put(self, row: PresenceRow) -> None:
        """Take a row; its version is higher than all before."""
        _, client, channel, _, alive, _ = row
        key = (client, channel)
        if client and not channel and not alive:
            for other in self._by_client.pop(client, {}):
                self._forget((client, other))
        if key in self.rows:
            self._forget(key)
        self.rows[key] = row
        if alive:
            self._by_client.setdefault(client, {})[channel] = None
            return
        self._tombstones[key] = None
        if len(self._tombstones) > TOMBSTONES_MAX:
            oldest = next(iter(self._tombstones))
            self.floor = self.rows[oldest][0]
            self._forget(oldest)

    def after(self, epoch: int, version: int) -> tuple[int, list[PresenceRow]]:
        """(base, rows) for one who stands at (epoch, version); base 0: these are all rows."""
        if epoch != self.epoch or version < self.floor or version == 0:
            return 0, [row for row in self.rows.values() if row[4]]
        newer: list[PresenceRow] = []
        for row in reversed(self.rows.values()):
            if row[0] <= version:
                break
            newer.append(row)
        newer.reverse()
        return version, newer

    def living(self) -> Iterator[PresenceRow]:
        return (row for row in self.rows.values() if row[4])

    @property
    def head(self) -> tuple[int, int]:
        return self.epoch, self.version

    @classmethod
    def of(cls, epoch: int, version: int, rows: Iterable[PresenceRow]) -> Table:
        """A copy made of all rows."""
        table = cls(epoch, version)
        for row in sorted(rows):
            table.put(row)
        return table

    def _forget(self, key: Key) -> None:
        del self.rows[key]
        self._tombstones.pop(key, None)
        mine = self._by_client.get(key[0])
        if mine is not None:
            mine.pop(key[1], None)
            if not mine:
                del self._by_client[key[0]]
