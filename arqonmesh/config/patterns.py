"""Patterns of channels in rules: `room:channel` with `*`, and which of them could never match a channel.

A rule that can never match is worse than none: a `deny` that keeps nothing in looks like one that does. `*` stands for
any run of characters, the colon and a tenant's bar included, so `*`, `tele*` and `acme|*` are patterns; `telemetry` is
none, because every channel has a room.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from arqonmesh.config.model import Config
from arqonmesh.config.problems import Problem, Where, dotted

FORM: Final = "letters, digits and any of . _ - @ / + ~ # =, at most 64 characters on each side of the colon"
_NAME: Final = re.compile(r"[\w.@/+~#=-]{1,64}")
_SIDE: Final = re.compile(r"[\w.@/+~#=*-]+")


def mistake(pattern: str, room: str = "default", *, tenants: bool = True) -> str:
    """What a pattern that no channel can match would need to be, in words; empty for one that some channel can.

    `room`: that of channels named without one (`bus.names.room`). `tenants`: whether the rule is about names with
    their tenant in front, `acme|room:channel`.
    """
    owner, bar, name = pattern.rpartition("|")
    left, colon, right = name.removeprefix("$").partition(":")  # `$mesh` is a room, too
    if bar and not tenants:
        return f"rules of the bus name channels without the tenant, did you mean {name or '*'}"
    if not colon and _NAME.fullmatch(left):
        meant = [f"{name}:*"] if name != left else [f"{name}:*", f"{room}:{name}"]
        return f"a pattern is ROOM:CHANNEL, did you mean {' or '.join(owner + bar + one for one in meant)}"
    of_tenant = not bar or _SIDE.fullmatch(owner)
    if not of_tenant or not all(_fits(side) for side in ((left, right) if colon else (left,))):
        return f"a pattern is ROOM:CHANNEL of {FORM}, and * for any run of characters"
    return ""


def hopeless(config: Config, where: Where) -> Iterator[Problem]:
    """Every pattern of these settings that no channel can match."""
    room = config.bus.names.room
    for path, pattern in _patterns(config):
        needs = mistake(pattern, room, tenants=path[0] == "federation")
        if needs:
            yield Problem("config.pattern", dotted(path), f"{dotted(path)} is {pattern!r}; {needs}", where(path))


def _patterns(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    federation = config.federation
    for direction, rules in (("export", federation.export), ("import", federation.import_)):
        for word, patterns in (("allow", rules.allow), ("deny", rules.deny)):
            yield from ((("federation", direction, word, index), pattern) for index, pattern in enumerate(patterns))
    groups: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
        *((("federation", "pin", at, "channels"), pin.channels) for at, pin in enumerate(federation.pin)),
        *((("federation", "aggregate", at, "channels"), rule.channels) for at, rule in enumerate(federation.aggregate)),
        *((("bus", "auth", "rooms", at, "rooms"), flags.rooms) for at, flags in enumerate(config.bus.auth.rooms)),
    ]
    for path, patterns in groups:
        yield from (((*path, index), pattern) for index, pattern in enumerate(patterns))


def _fits(side: str) -> bool:
    """Whether some room or channel can be like this; a star may stand for the colon or a tenant's bar as well."""
    return _NAME.fullmatch(side) is not None or ("*" in side and _SIDE.fullmatch(side) is not None)
