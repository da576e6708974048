"""The end of the tick: whether it has anything to do, since when, and what it tells."""

from __future__ import annotations

from arqonmesh.core.kernel import Effect, Instant


class Tick:
    """`flush` of the core ends it; until then everything that happens in it is gathered."""

    __slots__ = ("said", "since")

    def __init__(self) -> None:
        self.since: Instant | None = None
        """When the first work came that its end has to do; None when there is none."""
        self.said: list[Effect] = []
        """Told with the next flush."""

    def note(self, now: Instant) -> None:
        """There is something to do at its end."""
        if self.since is None:
            self.since = now

    def end(self) -> list[Effect]:
        """Begin the next one; what this one has to tell."""
        self.since = None
        said, self.said = self.said, []
        return said
