"""Settings from the environment, over those of the file.

    ARQON_BUS__CLIENTS_MAX=100                       bus.clients_max
    ARQON_REDIS_URL=redis://127.0.0.1:6379/0         bus.history.redis_url, as ARQONBUS_REDIS_URL
    ARQON_FEDERATION__EXPORT__ALLOW=telemetry:*,a:b  lists are joined by commas
    ARQONBUS_SERVER_PORT=9100                        an alias that ArqonBus 1.0 users know; ARQON_* wins over it

`ARQON_*` names without `__` (ARQON_DATA_DIR, ARQON_CONTEXT ...) are not settings. Of `ARQONBUS_*`, those that have no
counterpart here are left alone: they speak to another program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import inspect as mi

from arqonmesh.config.fields import Setting, settings
from arqonmesh.config.older import BECAME, modern
from arqonmesh.config.yaml import scalar
from arqonmesh.errors import ConfigError

PREFIX: Final = "ARQON_"
ALIAS_PREFIX: Final = "ARQONBUS_"

Path = tuple[str, ...]


def _level(text: str) -> str:
    level = text.strip().lower()
    return {"warn": "warning", "critical": "error", "fatal": "error"}.get(level, level)


def _same(text: str) -> str:
    return text


VALUE_ALIASES: Final[dict[str, tuple[Path, Callable[[str], str]]]] = {
    "ARQONBUS_STORAGE_MAX_HISTORY": (("bus", "history", "per_channel"), _same),
    "ARQONBUS_HISTORY_SIZE": (("bus", "history", "per_channel"), _same),
    "ARQONBUS_REDIS_URL": (("bus", "history", "redis_url"), _same),
    "ARQON_REDIS_URL": (("bus", "history", "redis_url"), _same),
    "ARQONBUS_MAX_CONNECTIONS": (("bus", "clients_max"), _same),
    "ARQONBUS_MAX_MESSAGE_SIZE": (("bus", "frame_bytes_max"), _same),
    "ARQONBUS_LOG_LEVEL": (("log", "level"), _level),
    "ARQONBUS_LOG_FORMAT": (("log", "format"), _level),
}
"""Later ones win over earlier ones."""

ADDRESS_ALIASES: Final[dict[Path, tuple[str, str]]] = {
    ("listen", "bus"): ("ARQONBUS_SERVER_HOST", "ARQONBUS_SERVER_PORT"),
    ("listen", "http"): ("ARQONBUS_HTTP_HOST", "ARQONBUS_HTTP_PORT"),
    ("listen", "telemetry"): ("ARQONBUS_TELEMETRY_HOST", "ARQONBUS_TELEMETRY_PORT"),
}
"""Host and port apart there, HOST:PORT here; the half that is not given stays as it was."""


def overlay(data: dict[str, Any], environ: Mapping[str, str]) -> dict[Path, str]:
    """Lay the environment over `data`, in place. Returns which variable each setting came from. Raises ConfigError."""
    sources: dict[Path, str] = {}

    def put(path: Path, value: Any, variable: str) -> None:
        section = data
        for part in path[:-1]:
            if section.get(part) is None:
                section[part] = {}
            if not isinstance(section[part], dict):
                return  # the file has something else there, and the check will say so
            section = section[part]
        section[path[-1]] = value
        sources[path] = variable

    for variable, (path, convert) in VALUE_ALIASES.items():
        if variable in environ:
            put(path, _value(settings()[path], convert(environ[variable])), variable)
    for path, (host, port) in ADDRESS_ALIASES.items():
        if host in environ or port in environ:
            section = data.get(path[0])
            current = section.get(path[1]) if isinstance(section, dict) else None
            old_host, _, old_port = str(current or settings()[path].default).rpartition(":")
            new = f"{environ.get(host, old_host)}:{environ.get(port, old_port)}"
            put(path, new, host if host in environ else port)
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and "__" in variable:
            path = modern(tuple(variable.removeprefix(PREFIX).lower().split("__")))
            setting = settings().get(path)
            if setting is None or setting.section:
                raise _unknown(variable, path)
            put(path, _value(setting, environ[variable]), variable)
    return sources


def variable_of(path: Path) -> str:
    """`ARQON_BUS__CLIENTS_MAX` for bus.clients_max."""
    return PREFIX + "__".join(path).upper()


def _value(setting: Setting, text: str) -> Any:
    if isinstance(setting.type, (mi.StrType, mi.LiteralType)):
        return text
    if isinstance(setting.type, mi.VarTupleType):
        return [item.strip() for item in text.split(",") if item.strip()]
    return scalar(text.strip())


def _unknown(variable: str, path: Path) -> ConfigError:
    import difflib

    names = [variable_of(known.path) for known in settings().values() if not known.section]
    names += map(variable_of, BECAME)
    close = difflib.get_close_matches(variable, names, n=1, cutoff=0.5)
    maybe = f"; did you mean {close[0]}" if close else ""
    return ConfigError(
        "config.unknown-key",
        f"{variable} sets {'.'.join(path)}, which is not a setting{maybe} (environment)",
        hint=f"unset {variable}",
    )
