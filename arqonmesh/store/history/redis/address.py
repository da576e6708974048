"""What is an address of a Redis, and how it is shown to others."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from redis.asyncio.connection import parse_url

from arqonmesh.errors import StorageError


def check_url(url: str) -> None:
    """Raises StorageError `store.redis-url` when this is no address of a Redis."""
    try:
        parse_url(url)
    except ValueError as error:
        raise StorageError(
            "store.redis-url",
            f"bus.history.redis_url is {without_password(url)!r}: {error}",
            hint="ARQON_REDIS_URL=redis://127.0.0.1:6379/0",
        ) from error


def without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
    except ValueError:  # brackets of an IPv6 address that are none
        return url.partition("://")[0] + "://***"
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"))
