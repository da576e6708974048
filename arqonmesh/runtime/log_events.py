"""Writes the node's events to its log, one line each, until the event log is closed."""

from __future__ import annotations

import structlog

from arqonmesh.runtime.event_log import EventLog


async def log_events(log: EventLog) -> None:
    logger = structlog.get_logger("arqonmesh.node")
    async for event in log.watch(lasting=True):
        logger.info(event.text, kind=event.kind, **event.fields)
