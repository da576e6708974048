"""Everything that depends on more than one setting, or on more than a type says, in one place and in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from arqonmesh.config.model import Config
from arqonmesh.config.packs import packs_of
from arqonmesh.config.patterns import hopeless
from arqonmesh.config.problems import Problem, Where
from arqonmesh.errors import ConfigError
from arqonmesh.ids import parse_cluster

_CHANNEL: Final = re.compile(r"[\w.@/+~#=-]{1,64}:[\w.@/+~#=-]{1,64}")
_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:\[\]/]+):([0-9]{1,5})")


def broken_relations(config: Config, where: Where) -> Iterator[Problem]:
    """What does not go together, one by one."""

    def refuse(name: str, needs: str) -> Problem:
        path = tuple(name.split("."))
        seen = f"{name} is {show(read(config, path))}; it needs to be {needs}"
        return Problem("config.relation", name, seen, where(path))

    def refuse_as(name: str, sentence: str, hint: str = "") -> Problem:
        return Problem("config.relation", name, sentence, where(tuple(name.split("."))), hint)

    try:
        parse_cluster(config.node.cluster)
    except ConfigError as error:
        yield Problem(error.code, "node.cluster", f"node.cluster: {error.sentence}", where(("node", "cluster")))
    if not config.node.region.isprintable():
        yield refuse("node.region", "text without control characters")
    yield from _listening(config, where)
    links, membership, outbox = config.links, config.membership, config.federation.outbox
    if links.reconnect_min_ms > links.reconnect_max_ms:
        yield refuse("links.reconnect_min_ms", f"at most links.reconnect_max_ms, which is {links.reconnect_max_ms}")
    overlay = config.overlay
    if 2 * overlay.outbound_min > overlay.active_max:
        yield refuse("overlay.outbound_min", f"at most half of overlay.active_max, which is {overlay.active_max}")
    if overlay.prwl >= overlay.arwl:
        yield refuse("overlay.prwl", f"less than overlay.arwl, which is {overlay.arwl}")
    if membership.probe_timeout_ms > membership.probe_interval_ms:
        yield refuse(
            "membership.probe_timeout_ms",
            f"at most membership.probe_interval_ms, which is {membership.probe_interval_ms}",
        )
    if config.peers.burst < config.peers.rate_per_s / 10:
        yield refuse("peers.burst", f"at least a tenth of peers.rate_per_s, which is {config.peers.rate_per_s}")
    if outbox.window_bytes > outbox.bytes_max:
        yield refuse(
            "federation.outbox.window_bytes", f"at most federation.outbox.bytes_max, which is {outbox.bytes_max}"
        )
    if config.bus.buffer_bytes_max < config.bus.frame_bytes_max:
        yield refuse("bus.buffer_bytes_max", f"at least bus.frame_bytes_max, which is {config.bus.frame_bytes_max}")
    redis_url = config.bus.history.redis_url
    if redis_url and not redis_url.lower().startswith(("redis://", "rediss://", "unix://")):
        scheme, colon, _ = redis_url.partition("://")
        seen = f"begins with {show(scheme + colon)}" if colon else "is no address"  # the rest may hold a password
        yield refuse_as(
            "bus.history.redis_url",
            f"bus.history.redis_url {seen}; it needs to be redis://HOST:PORT/DB, rediss:// or unix://",
            "ARQON_REDIS_URL=redis://127.0.0.1:6379/0",
        )
    if 0 < config.bus.rate_bytes_per_s < config.bus.frame_bytes_max:
        yield refuse("bus.rate_bytes_per_s", f"0, or at least bus.frame_bytes_max, {config.bus.frame_bytes_max}")
    yield from hopeless(config, where)
    yield from _residency(config, where)
    sources = ("secret", "secret_file", "public_key_file", "jwks_file")
    given = [name for name in sources if getattr(config.bus.auth.jwt, name)]
    if len(given) > 1:
        yield refuse_as(
            f"bus.auth.jwt.{given[1]}",
            f"bus.auth.jwt.{given[0]} and .{given[1]} are both set; tokens need to have one source of keys",
        )
    if 0 < (length := len(config.bus.auth.jwt.secret.encode())) < 32:
        yield refuse_as(
            "bus.auth.jwt.secret",
            f"bus.auth.jwt.secret has {length} bytes; it needs to have at least 32 (RFC 7518, 3.2)",
            "openssl rand -hex 32",
        )
    if config.certificates.renew_after_s >= config.certificates.lifetime_s:
        yield refuse(
            "certificates.renew_after_s",
            f"less than certificates.lifetime_s, which is {config.certificates.lifetime_s:g}",
        )


def _residency(config: Config, where: Where) -> Iterator[Problem]:
    """Pins that this node could not keep to, and aggregates that would leave on no channel."""
    federation = config.federation
    pinning = ["federation.pin"] if federation.pin else []
    pinning += ["federation.packs" for pack in packs_of(federation.packs) if pack.pin][:1]
    if pinning and not config.node.region:
        name = pinning[0]
        yield Problem(
            "config.relation",
            name,
            f"{name} keeps channels in regions, and node.region is empty; "
            "it needs to be given, or other members send nothing pinned to this node",
            where(tuple(name.split("."))),
            "node: {region: eu-west}",
        )
    for index, rule in enumerate(federation.aggregate):
        if rule.to and _CHANNEL.fullmatch(rule.to) is None:
            name = f"federation.aggregate[{index}].to"
            yield Problem(
                "config.relation",
                name,
                f"{name} is {show(rule.to)}; it needs to be ROOM:CHANNEL of letters, digits and . _ - @ / + ~ # =, "
                "without a tenant: aggregates of a tenant's channels stay that tenant's",
                where(("federation", "aggregate", index, "to")),
                "to: metrics:summary",
            )


def _listening(config: Config, where: Where) -> Iterator[Problem]:
    """Addresses that are none, and those that are the same."""

    def refuse(name: str, sentence: str) -> Problem:
        return Problem("config.relation", f"listen.{name}", f"listen.{name} {sentence}", where(("listen", name)))

    listen = config.listen
    for name in ("quic", "bus", "http", "telemetry"):
        address = getattr(listen, name)
        if not is_address(address) and (address or name in ("quic", "bus")):
            needs = "HOST:PORT with a port from 0 to 65535, IPv6 in brackets"
            yield refuse(name, f"is {show(address)}; it needs to be {needs}")
    for address in listen.advertise:
        if not is_address(address) or address.endswith(":0"):
            needs = "HOST:PORT with a port from 1 to 65535"
            yield refuse("advertise", f"holds {address!r}; each needs to be {needs}")
    if listen.bus == listen.http and not listen.bus.endswith(":0"):
        yield refuse("http", f"is {show(listen.http)}; it needs to be another address than listen.bus")
    telemetry = listen.telemetry
    if telemetry in (listen.bus, listen.http) and telemetry and not telemetry.endswith(":0"):
        needs = "another address than listen.bus and listen.http"
        yield refuse("telemetry", f"is {show(telemetry)}; it needs to be {needs}")


def is_address(text: str) -> bool:
    """HOST:PORT, IPv6 hosts in brackets."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and int(found.group(2)) <= 65_535


def read(config: Any, path: tuple[str, ...]) -> Any:
    """The value of a setting; path as in the file (`import`)."""
    for part in path:
        config = getattr(config, "import_" if part == "import" else part)
    return config


def show(value: Any) -> str:
    """A value in a message: short, and on one line."""
    if isinstance(value, Mapping):
        return "a group of settings"
    if value is None:
        return "empty"
    text = repr(value) if not isinstance(value, bool) else str(value).lower()
    return text if len(text) <= 60 else text[:57] + "..."
