"""Plain data to `Config`, or one error that names the setting, its value, what would fit, and where it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from arqonmesh.config.fields import settings
from arqonmesh.config.model import Config
from arqonmesh.errors import ConfigError
from arqonmesh.ids import parse_cluster

Where: TypeAlias = Callable[[tuple[str | int, ...]], str]
"""A setting's place in words: "arqon.yaml, line 14", "environment ARQON_BUS__CLIENTS_MAX"."""

_AT: Final = re.compile(r" - at `\$(.*)`$")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:\[\]/]+):([0-9]{1,5})")


def convert(data: Mapping[str, Any], where: Where) -> Config:
    """Check names, then types and bounds, then relations. Raises ConfigError."""
    _check_names(data, (), where)
    try:
        config = msgspec.convert(_without_empty_sections(data, ()), Config)
    except msgspec.ValidationError as error:
        raise _type_error(error, data, where) from None
    _check_relations(config, where)
    return config


# --- names --------------------------------------------------------------------------------------------------


def _check_names(data: Mapping[str, Any], prefix: tuple[str, ...], where: Where) -> None:
    for key, value in data.items():
        path = (*prefix, key)
        setting = settings().get(path)
        if setting is None:
            raise _unknown(path, where)
        if setting.section and isinstance(value, Mapping):
            _check_names(value, path, where)


def _without_empty_sections(data: Mapping[str, Any], prefix: tuple[str, ...]) -> dict[str, Any]:
    """`links:` with nothing (or only comments) under it means the defaults."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        path = (*prefix, key)
        if settings()[path].section:
            if value is not None:
                found[key] = _without_empty_sections(value, path) if isinstance(value, Mapping) else value
        else:
            found[key] = value
    return found


def _unknown(path: tuple[str, ...], where: Where) -> ConfigError:
    name = ".".join(path)
    siblings = [known[-1] for known in settings() if known[:-1] == path[:-1]]
    close = difflib.get_close_matches(path[-1], siblings, n=1)
    if close:
        suggestion = ".".join((*path[:-1], close[0]))
    else:
        elsewhere = [known.name for known in settings().values() if known.path[-1] == path[-1]]
        every = [known.name for known in settings().values()]
        suggestion = (elsewhere or difflib.get_close_matches(name, every, n=1) or [""])[0]
    maybe = f"; did you mean {suggestion}" if suggestion else f"; known here: {', '.join(siblings)}" if siblings else ""
    return ConfigError("config.unknown-key", f"{name} is not a setting{maybe} ({where(path)})")


# --- types and bounds ---------------------------------------------------------------------------------------


def _type_error(error: msgspec.ValidationError, data: Mapping[str, Any], where: Where) -> ConfigError:
    text = str(error)
    at = _AT.search(text)
    path = _steps(at.group(1)) if at else ()
    missing = re.match(r"Object missing required field `(.+?)`", text)
    if missing:
        place = where(path)
        path = _first_required((*path, missing.group(1)))
        return ConfigError(
            "config.missing-key",
            f"{_dotted(path)} is not given; it needs to be {_needs(path)} ({place})",
        )
    value = _find(data, path)
    unknown = re.match(r"Object contains unknown field `(.+?)`", text)
    if unknown:
        return ConfigError(
            "config.unknown-key",
            f"{_dotted(path)} has a {unknown.group(1)!r}; it needs to be {_needs(path)} ({where(path)})",
        )
    hint = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and "Expected `str`" in text:
        name = f"{path[-1]}: " if isinstance(path[-1], str) else "- "
        hint = f'write it in quotes: {name}"{value}"'
    return ConfigError(
        "config.type",
        f"{_dotted(path) or 'the file'} is {_show(value)}; it needs to be {_needs(path)} ({where(path)})",
        hint=hint,
    )


def _first_required(path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A section that is missing is missed for the value in it that has no default."""
    for setting in settings().values():
        if setting.path[: len(path)] == path and not setting.section and setting.default is msgspec.NODEFAULT:
            return setting.path
    return path


def _needs(path: tuple[str | int, ...]) -> str:
    names = tuple(part for part in path if isinstance(part, str))
    setting = settings().get(names)
    if setting is None:
        return "sections such as `node:` and `listen:`"
    if len(names) < len(path):
        return setting.needs.partition("each ")[2] or setting.needs.replace("a list of groups", "a group")
    return setting.needs


def _steps(path: str) -> tuple[str | int, ...]:
    """`.federation.export.allow[0]` or `...allow[...]` (msgspec's for any item) as steps."""
    return tuple(int(number) if number else name for name, number in _STEP.findall(path))


def _find(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def _show(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a group of settings"
    if value is None:
        return "empty"
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "..."


# --- relations ----------------------------------------------------------------------------------------------


def _check_relations(config: Config, where: Where) -> None:
    """Everything that depends on more than one setting, or on more than a type says, in one place and in words."""

    def refuse(name: str, needs: str) -> ConfigError:
        path = tuple(name.split("."))
        return ConfigError(
            "config.relation", f"{name} is {_show(_read(config, path))}; it needs to be {needs} ({where(path)})"
        )

    try:
        parse_cluster(config.node.cluster)
    except ConfigError as error:
        raise ConfigError(error.code, f"node.cluster: {error.sentence} ({where(('node', 'cluster'))})") from None
    for name in ("quic", "bus", "http", "telemetry"):
        address = getattr(config.listen, name)
        if not is_address(address) and (address or name in ("quic", "bus")):
            raise refuse(f"listen.{name}", "HOST:PORT with a port from 0 to 65535, IPv6 in brackets")
    for address in config.listen.advertise:
        if not is_address(address) or address.endswith(":0"):
            raise ConfigError(
                "config.relation",
                f"listen.advertise holds {address!r}; each needs to be HOST:PORT with a port from 1 to 65535 "
                f"({where(('listen', 'advertise'))})",
            )
    if config.listen.bus == config.listen.http and not config.listen.bus.endswith(":0"):
        raise refuse("listen.http", "another address than listen.bus")
    telemetry = config.listen.telemetry
    if telemetry in (config.listen.bus, config.listen.http) and telemetry and not telemetry.endswith(":0"):
        raise refuse("listen.telemetry", "another address than listen.bus and listen.http")
    links, membership, outbox = config.links, config.membership, config.federation.outbox
    if links.reconnect_min_ms > links.reconnect_max_ms:
        raise refuse("links.reconnect_min_ms", f"at most links.reconnect_max_ms, which is {links.reconnect_max_ms}")
    overlay = config.overlay
    if 2 * overlay.outbound_min > overlay.active_max:
        raise refuse("overlay.outbound_min", f"at most half of overlay.active_max, which is {overlay.active_max}")
    if overlay.prwl >= overlay.arwl:
        raise refuse("overlay.prwl", f"less than overlay.arwl, which is {overlay.arwl}")
    if membership.probe_timeout_ms > membership.probe_interval_ms:
        raise refuse(
            "membership.probe_timeout_ms",
            f"at most membership.probe_interval_ms, which is {membership.probe_interval_ms}",
        )
    if config.peers.burst < config.peers.rate_per_s / 10:
        raise refuse("peers.burst", f"at least a tenth of peers.rate_per_s, which is {config.peers.rate_per_s}")
    if outbox.window_bytes > outbox.bytes_max:
        raise refuse(
            "federation.outbox.window_bytes", f"at most federation.outbox.bytes_max, which is {outbox.bytes_max}"
        )
    if config.bus.buffer_bytes_max < config.bus.frame_bytes_max:
        raise refuse("bus.buffer_bytes_max", f"at least bus.frame_bytes_max, which is {config.bus.frame_bytes_max}")
    if 0 < config.bus.rate_bytes_per_s < config.bus.frame_bytes_max:
        raise refuse("bus.rate_bytes_per_s", f"0, or at least bus.frame_bytes_max, {config.bus.frame_bytes_max}")
    sources = ("secret", "secret_file", "public_key_file", "jwks_file")
    given = [name for name in sources if getattr(config.bus.auth.jwt, name)]
    if len(given) > 1:
        raise ConfigError(
            "config.relation",
            f"bus.auth.jwt.{given[0]} and .{given[1]} are both set; tokens need to have one source of keys "
            f"({where(('bus', 'auth', 'jwt', given[1]))})",
        )
    if 0 < (length := len(config.bus.auth.jwt.secret.encode())) < 32:
        raise ConfigError(
            "config.relation",
            f"bus.auth.jwt.secret has {length} bytes; it needs to have at least 32 (RFC 7518, 3.2) "
            f"({where(('bus', 'auth', 'jwt', 'secret'))})",
            hint="openssl rand -hex 32",
        )
    if config.certificates.renew_after_s >= config.certificates.lifetime_s:
        raise refuse(
            "certificates.renew_after_s",
            f"less than certificates.lifetime_s, which is {config.certificates.lifetime_s:g}",
        )


def is_address(text: str) -> bool:
    """HOST:PORT, IPv6 hosts in brackets."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and int(found.group(2)) <= 65_535


def _read(config: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        config = getattr(config, part)
    return config


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
