"""The interface of a durable history. A back end may fail at any time: the bus goes on without it, health says so."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from arqonmesh.config.model import HistorySettings
from arqonmesh.core.kernel import HistoryQuery, KeepFrames, Row

BACKENDS: dict[str, type[HistoryBackend]] = {}
"""By name; a back end registers itself when its class is made."""


class Found(NamedTuple):
    """Frames in the order of their arrival; `more`: the query's limits cut it short."""

    frames: list[bytes]
    more: bool


class HistoryBackend(ABC):
    """Called on the event loop only. `keep` never waits and never raises."""

    NAME: ClassVar[str]
    ended_life: int = 0
    """The newest life of this node of which it is known, after `load`, that it ended in good order; 0: none."""

    def __init_subclass__(cls) -> None:
        BACKENDS[cls.NAME] = cls

    @abstractmethod
    def load(self) -> Sequence[Row]:
        """Every stream that is known: (channel, epoch, head, holes, ended), longest quiet first. Before `keep`."""

    @abstractmethod
    def start(self) -> None:
        """Begin to work, on the running loop: what an earlier life left to do is done, too. Repeats are harmless."""

    @abstractmethod
    def keep(self, effect: KeepFrames) -> None:
        """Keep these events, in order. What there is no room for is counted, and told by `health`."""

    @abstractmethod
    def adopt(self, settings: HistorySettings) -> None:
        """Other `max_age_s` and `max_bytes` from now on."""

    @abstractmethod
    def forget(self, channel: str) -> None:
        """Delete what was kept of this channel before; how far its streams went stays known."""

    @abstractmethod
    async def read(self, query: HistoryQuery) -> Found:
        """Whatever was kept before is found, as far as the disk takes it. Raises StorageError."""

    @abstractmethod
    def health(self) -> Mapping[str, Any]:
        """{"ok": bool, "backend": NAME, ...}; when not ok, `reason` says why."""

    @abstractmethod
    def stats(self) -> Mapping[str, int]:
        """Counters and gauges, for metrics."""

    @abstractmethod
    async def close(self, epoch: str) -> None:
        """Finish what waits and let go. `epoch`: the streams of this life, which end here. Repeats are harmless."""
