"""`agent_activity`: clients of the bus that are neither people nor dashboards come, go and publish.

Coming and going is told at once, publishing once per `telemetry.activity_s` and client with what it added up to, from
the count that the bus keeps anyway: nothing here runs per message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

EVENT: Final = "agent_activity"
PEOPLE: Final = ("human", "dashboard")
"""Types of clients whose activity is nobody's telemetry."""
UNKNOWN: Final = "unknown"
"""The type of a client that did not say what it is: not known to be a person, so it counts as an agent."""


class Seen(NamedTuple):
    """One client of the bus."""

    client: str
    kind: str
    name: str
    published: int
    """Messages so far."""
    tenant: str = ""


Tell = Callable[[dict[str, Any], str, str], None]
"""Takes the payload of an `agent_activity`, its source, and whose client it is about: a tenant, or empty."""


class Activity:
    """Knows how much each agent had published when it last looked; as many entries as there are agents."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._published: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._published)

    def connected(self, seen: Seen) -> None:
        if seen.kind not in PEOPLE:
            self._published[seen.client] = seen.published
            self._say("connect", seen)

    def disconnected(self, seen: Seen) -> None:
        """Tells what was not told yet, too."""
        before = self._published.pop(seen.client, None)
        if before is not None:
            self._say("disconnect", seen, messages=seen.published - before, published=seen.published)

    def look(self, clients: Iterable[Seen]) -> None:
        """Tell who published since the last look, and how much."""
        published = self._published
        for seen in clients:
            before = published.get(seen.client)
            if before is not None and seen.published > before:
                published[seen.client] = seen.published
                self._say("publish", seen, messages=seen.published - before, published=seen.published)

    def _say(self, activity: str, seen: Seen, **figures: int) -> None:
        payload = {
            "activity": activity,
            "client_id": seen.client,
            "client_type": seen.kind or UNKNOWN,
            "name": seen.name,
            **figures,
        }
        self._tell(payload, seen.name or seen.client, seen.tenant)
