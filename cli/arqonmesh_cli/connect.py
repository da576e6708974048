"""One question to the node behind the chosen data directory, asked over its control socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from arqonmesh.errors import ArqonError
from arqonmesh_cli.where import Place, place_of

if TYPE_CHECKING:
    from arqonmesh.api.client import NodeClient

T = TypeVar("T")


def ask(place: Place, question: Callable[[NodeClient], Awaitable[T]]) -> T:
    """The answer to `question`. Raises what the node raised, NotRunning when there is none."""

    async def once() -> T:
        async with client_of(place) as node:
            return await question(node)

    try:
        return asyncio.run(once())
    except ArqonError as error:
        error.hint = place.hinted(error.hint)
        raise


def ask_at(data_dir: Path | None, context: str | None, question: Callable[[NodeClient], Awaitable[T]]) -> T:
    """`ask` at the place that the shared options name."""
    return ask(place_of(data_dir, context), question)


def client_of(place: Place) -> NodeClient:
    from arqonmesh.api.client import NodeClient

    return NodeClient(place.socket, start_hint=place.start_hint)
