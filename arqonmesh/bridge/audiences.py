"""Which connections an audience is: found once, while it stays the same tuple.

The bus core gives the same tuple again for the same channel and publisher, so a busy channel is looked up by its
identity and not member by member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from arqonmesh.ids import ClientId

if TYPE_CHECKING:
    from arqonmesh.bridge.connection import Connection

REFERENCES_MAX: Final = 65_536
"""Connections named in all remembered audiences together; beyond it all are forgotten and found again."""
_FEW: Final = 4
"""So many members are looked up as fast as remembered."""


class Audiences:
    """Of one server. `connections` is its table, which this only reads."""

    __slots__ = ("_known", "_references", "_table")

    def __init__(self, table: Mapping[ClientId, Connection]) -> None:
        self._table = table
        self._known: dict[int, tuple[tuple[ClientId, ...], list[Connection]]] = {}
        """By the identity of the tuple, which stays its own while it is held here."""
        self._references = 0

    def connections(self, clients: tuple[ClientId, ...]) -> Sequence[Connection]:
        """Of those who are connected, in their order. Some may be closing."""
        known = self._known.get(id(clients))
        if known is not None:
            return known[1]
        table = self._table
        found = [table[client] for client in clients if client in table]
        if len(clients) > _FEW:
            if self._references + len(clients) > REFERENCES_MAX:
                self.clear()
            if len(clients) <= REFERENCES_MAX:
                self._known[id(clients)] = (clients, found)
                self._references += len(clients)
        return found

    def clear(self) -> None:
        """A client is gone."""
        self._known.clear()
        self._references = 0
