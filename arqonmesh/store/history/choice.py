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
    if settings.redis_url:
        from arqonmesh.store.history.redis import RedisHistory, check_url  # 60 ms that only who uses it should wait

        check_url(settings.redis_url)  # before a file is open that nobody would close
        return RedisHistory(settings, _file(folder, settings))
    return _file(folder, settings)


def _file(folder: Path, settings: HistorySettings) -> SqliteHistory | None:
    return SqliteHistory.open(folder / FILE, settings) if settings.durable else None
