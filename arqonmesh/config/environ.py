"""Settings from the environment, over those of the file.

    ARQON_BUS__CLIENTS_MAX=100                       bus.clients_max
    ARQON_REDIS_URL=redis://127.0.0.1:6379/0         bus.history.redis_url, as ARQONBUS_REDIS_URL
    ARQON_FEDERATION__EXPORT__ALLOW=telemetry:*,a:b  lists are joined by commas
    ARQON_BUS__ROOMS='[{room: science}]'             lists of groups are written as in the file
    ARQONBUS_SERVER_PORT=9100                        an alias that ArqonBus 1.0 users know; ARQON_* wins over it

`ARQON_*` names without `__` (ARQON_DATA_DIR, ARQON_CONTEXT ...) are not settings; those that nobody reads are warned
about and no error, since container platforms make names such as ARQON_SERVICE_HOST. Of `ARQONBUS_*`, those that have
no counterpart here are left alone: they speak to another program.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import inspect as mi

from arqonmesh.config.fields import Setting, settings
from arqonmesh.config.older import BECAME, modern
from arqonmesh.config.problems import PROBLEMS_MAX, Origin, Problem
from arqonmesh.config.yaml import BYTES_MAX, parse, scalar

PREFIX: Final = "ARQON_"
ALIAS_PREFIX: Final = "ARQONBUS_"
OTHERS: Final = ("ARQON_DATA_DIR", "ARQON_CONTEXT", "ARQON_BUS_TOKEN", "ARQON_JOIN_KEY", "ARQON_DEBUG", "ARQON_COMMAND")
"""Read by commands; they set nothing."""
OTHER_PREFIXES: Final = ("ARQON_LAB", "ARQON_TEST_")

Path = tuple[str, ...]


def _level(text: str) -> str:
    level = text.strip().lower()
    return {"warn": "warning", "critical": "error", "fatal": "error"}.get(level, level)


def _same(text: str) -> str:
    return text


def _durable(text: str) -> str:
    """Of `memory`, `sqlite` and `redis`; Redis is fed from the disk here, so it takes that too."""
    backend = text.strip().lower()
    return {"memory": "false", "sqlite": "true", "redis": "true", "redis_streams": "true"}.get(backend, text)


def _is_off(text: str) -> bool:
    return text.strip().lower() in ("false", "0", "no", "off")


VALUE_ALIASES: Final[dict[str, tuple[Path, Callable[[str], str]]]] = {
    "ARQONBUS_STORAGE_BACKEND": (("bus", "history", "durable"), _durable),
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

SWITCH_ALIASES: Final[dict[Path, str]] = {
    ("listen", "http"): "ARQONBUS_HTTP_ENABLED",
    ("listen", "telemetry"): "ARQONBUS_TELEMETRY_ENABLED",
}
"""Off there is an empty address here."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A variable that looks like one of ours and that nobody reads."""

    variable: str
    nearest: str
    """Empty when nothing is like it."""

    def __str__(self) -> str:
        maybe = f"; did you mean {self.nearest}" if self.nearest else "; it needs to be unset, or meant for another"
        return f"{self.variable} is read by nobody{maybe}"


def strangers(environ: Mapping[str, str]) -> list[Stranger]:
    """`ARQON_*` names without `__` that are nobody's, with the nearest one that is. Names with `__` are settings,
    and errors when there is no such setting."""
    known = [*OTHERS, *(alias for alias in VALUE_ALIASES if alias.startswith(PREFIX))]
    every = [*known, *(variable_of(setting.path) for setting in settings().values() if not setting.section)]
    found = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or "__" in variable or variable in known:
            continue
        if not variable.startswith(OTHER_PREFIXES):
            near = difflib.get_close_matches(variable, every, n=1, cutoff=0.75)
            found.append(Stranger(variable, near[0] if near else ""))
    return found[:PROBLEMS_MAX]


def overlay(data: dict[str, Any], environ: Mapping[str, str], problems: list[Problem]) -> dict[Path, str]:
    """Lay the environment over `data`, in place. Returns which variable each setting came from."""
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
            put(path, _value(settings()[path], convert(environ[variable]), variable, problems), variable)
    for path, (host, port) in ADDRESS_ALIASES.items():
        if host in environ or port in environ:
            section = data.get(path[0])
            current = section.get(path[1]) if isinstance(section, dict) else None
            old_host, _, old_port = str(current or settings()[path].default).rpartition(":")
            new = f"{environ.get(host, old_host)}:{environ.get(port, old_port)}"
            put(path, new, host if host in environ else port)
    for path, variable in SWITCH_ALIASES.items():
        if _is_off(environ.get(variable, "")):
            put(path, "", variable)
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and "__" in variable:
            path = modern(tuple(variable.removeprefix(PREFIX).lower().split("__")))
            setting = settings().get(path)
            if setting is None or setting.section:
                problems.append(_unknown(variable, path))
                continue
            put(path, _value(setting, environ[variable], variable, problems), variable)
    return sources


def variable_of(path: Path) -> str:
    """`ARQON_BUS__CLIENTS_MAX` for bus.clients_max."""
    return PREFIX + "__".join(path).upper()


def _value(setting: Setting, text: str, variable: str, problems: list[Problem]) -> Any:
    if isinstance(setting.type, (mi.StrType, mi.LiteralType)):
        return text
    if isinstance(setting.type, mi.VarTupleType):
        if not isinstance(setting.type.item_type, mi.StructType):
            return [item.strip() for item in text.split(",") if item.strip()]
        wrong: list[Problem] = []
        found = parse(b"value: " + text.encode("utf-8", "replace")[:BYTES_MAX], variable, wrong).data.get("value")
        origin = Origin("environment", variable)
        problems += [Problem(each.code, setting.name, f"{setting.name}: {each.sentence}", origin) for each in wrong]
        return [] if wrong or found is None else found
    return scalar(text.strip())


def _unknown(variable: str, path: Path) -> Problem:
    names = [variable_of(known.path) for known in settings().values() if not known.section]
    names += map(variable_of, BECAME)
    close = difflib.get_close_matches(variable, names, n=1, cutoff=0.5)
    maybe = f"; did you mean {close[0]}" if close else ""
    name = ".".join(path)
    return Problem(
        "config.unknown-key",
        name,
        f"{variable} sets {name}, which is not a setting{maybe}",
        Origin("environment", variable),
        f"unset {variable}",
    )
