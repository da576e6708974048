"""How many members are in which state: asked at every suspicion, so counted as they change."""

from __future__ import annotations

from arqonmesh.core.membership.member import UNKNOWN, State


class Census:
    def __init__(self) -> None:
        self._in: dict[State, int] = {}

    def came(self) -> None:
        """One more was admitted, and has not spoken yet."""
        self._in[UNKNOWN] = self._in.get(UNKNOWN, 0) + 1

    def went(self, state: State) -> None:
        """One in this state is no member any more."""
        self._in[state] -= 1

    def moved(self, old: State, new: State) -> None:
        self._in[old] -= 1
        self._in[new] = self._in.get(new, 0) + 1

    @property
    def staying(self) -> int:
        """All but those who left."""
        return sum(self._in.values()) - self._in.get("left", 0)

    @property
    def known(self) -> int:
        """Those of them who have spoken for themselves."""
        return self.staying - self._in.get(UNKNOWN, 0)
