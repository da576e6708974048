"""The token or key that a client shows, as it is at the moment: a text, or what a function gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from arqonmesh.client.failures import token_failed
from arqonmesh.errors import ArqonError

TokenSource: TypeAlias = "str | Callable[[], str | Awaitable[str | None] | None] | None"
"""A token, or a function that is asked for one whenever the client connects or its token is about to end."""


class Token:
    """Asks the source. Raises what the source raises, or PeerError `bus.token-source`."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    @property
    def renews(self) -> bool:
        """Whether another one may come from where this came from."""
        return callable(self._source)

    async def present(self) -> str | None:
        source = self._source
        if source is None or isinstance(source, str):
            return source
        try:
            token = source()
            return token if token is None or isinstance(token, str) else await token
        except ArqonError:
            raise
        except Exception as wrong:
            raise token_failed(wrong) from wrong
