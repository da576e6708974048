"""Which back end the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arqonmesh.config.model import HistorySettings
from arqonmesh.store.history.backend import HistoryBackend
from arqonmesh.store.history.sqlite import SqliteHistory

FILE: Final = "history.db"


def open_backend(folder: Path, settings: HistorySettings) -> HistoryBackend | None:
    """None: memory is all there is. Raises StorageError."""
    file = SqliteHistory.open(folder / FILE, settings) if settings.durable else None
    if settings.redis_url:
        from arqonmesh.store.history.redis import RedisHistory  # 60 ms that only who uses it should wait

        return RedisHistory(settings, file)
    return file
