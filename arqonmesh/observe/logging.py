"""Structured log lines on standard error: columns for people on a terminal, JSON lines for machines elsewhere.

There are no lines per message. What can repeat without end (a peer that cannot be reached, a client that floods) is
told as an episode: its first occurrence at once, then how often it happened, at growing intervals.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final, TextIO

import structlog

from arqonmesh.config.model import LogSettings

EPISODE_FIRST_PAUSE_US: Final = 10_000_000
EPISODE_LONGEST_PAUSE_US: Final = 3_600_000_000
EPISODES_MAX: Final = 1_000


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's loggers (asyncio, grpc, aioquic) for one process.

    Others' loggers speak from warnings on, whatever our own level. `stream` is standard error unless given.
    """
    out = sys.stderr if stream is None else stream
    level = getattr(logging, settings.level.upper())
    plain = settings.format == "json" or (settings.format == "auto" and not out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
    ]
    ending: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if plain
        else [structlog.dev.ConsoleRenderer(timestamp_key="at", colors=out.isatty())]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))


class Episodes:
    """Decides which repetitions are worth a line. Pure but for the logger it is given; `now_us` comes from outside.

    The first occurrence of a key is told at once, the next not before 10 s, then 20, 40 ... up to an hour, each time
    with the number of occurrences since the last line. A key that was quiet for its pause begins anew.
    """

    def __init__(self, tell: Callable[..., Any]) -> None:
        self._tell = tell
        self._episodes: dict[str, tuple[int, int, int]] = {}
        self.forgotten = 0
        """Episodes dropped because more than EPISODES_MAX ran at once."""

    def note(self, now_us: int, key: str, text: str, **fields: Any) -> bool:
        """One occurrence. True when it was told; then `count` says how many since the last line."""
        next_us, pause_us, count = self._episodes.pop(key, (0, EPISODE_FIRST_PAUSE_US, 0))
        count += 1
        if now_us < next_us:
            self._episodes[key] = (next_us, pause_us, count)
            return False
        if next_us == 0 or now_us >= next_us + pause_us:
            pause_us = EPISODE_FIRST_PAUSE_US
        else:
            pause_us = min(2 * pause_us, EPISODE_LONGEST_PAUSE_US)
        if len(self._episodes) >= EPISODES_MAX:
            self._episodes.pop(next(iter(self._episodes)))
            self.forgotten += 1
        self._episodes[key] = (now_us + pause_us, pause_us, 0)
        self._tell(text, **fields, **({"count": count} if count > 1 else {}))
        return True
