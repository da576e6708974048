"""Moments as people read them, in the machine's own time zone."""

from __future__ import annotations

from datetime import datetime


def clock(at_ms: int) -> str:
    """14:03:27"""
    return f"{datetime.fromtimestamp(at_ms / 1_000).astimezone():%H:%M:%S}"


def day_and_clock(at_ms: int) -> str:
    """2026-01-31 14:03:27 +0100"""
    return f"{datetime.fromtimestamp(at_ms / 1_000).astimezone():%Y-%m-%d %H:%M:%S %z}"
