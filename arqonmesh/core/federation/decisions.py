"""Every verdict of the border with the rule that made it, counted: what `arqon policy show` prints."""

from __future__ import annotations

from typing import Final, NamedTuple

from arqonmesh.core.events import Verdict
from arqonmesh.core.federation.patterns import Ruling

DECISIONS_MAX: Final = 4_096
"""Rows kept apart by channel; later channels are counted together under "*"."""


class Decision(NamedTuple):
    """One row: `direction` is "export", "transit" or "import"; `cluster` the other one, "*" for all of them."""

    direction: str
    channel: str
    cluster: str
    allowed: bool
    rule: str
    messages: int


class Decisions:
    def __init__(self) -> None:
        self._messages: dict[tuple[str, str, str, Ruling], int] = {}

    def count(self, direction: str, channel: str, cluster: str, ruling: Ruling, messages: int) -> Verdict | None:
        """Count; a Verdict to tell when this row is new."""
        row = (direction, channel, cluster, ruling)
        known = self._messages.get(row)
        if known is not None:
            self._messages[row] = known + messages
            return None
        if len(self._messages) >= DECISIONS_MAX:
            row = (direction, "*", cluster, ruling)
            self._messages[row] = self._messages.get(row, 0) + messages
            return None
        self._messages[row] = messages
        return Verdict(direction, channel, cluster, ruling.allowed, ruling.rule)

    def rows(self) -> tuple[Decision, ...]:
        return tuple(
            Decision(direction, channel, cluster, ruling.allowed, ruling.rule, messages)
            for (direction, channel, cluster, ruling), messages in self._messages.items()
        )
