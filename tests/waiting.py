"""Waiting for what another task brings about, without guessing how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(true: Callable[[], bool]) -> None:
    """Return as soon as it is true; fail after about five seconds."""
    for _ in range(2_500):
        if true():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come true")
