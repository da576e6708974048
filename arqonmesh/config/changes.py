"""What differs between two configurations, and the part of a new one that a running node can take at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from arqonmesh.config.fields import Setting, settings
from arqonmesh.config.model import Config
from arqonmesh.config.relations import read

MASK: Final = "********"


@dataclass(frozen=True, slots=True)
class Change:
    """One setting with two values."""

    setting: Setting
    before: Any
    after: Any


def changes(before: Config, after: Config) -> list[Change]:
    """In the model's order."""
    return [Change(setting, old, new) for setting, old, new in _pairs(before, after) if old != new]


def hot_part(before: Config, after: Config) -> Config:
    """`before` with those values of `after` that a running node takes at once."""
    return _with(before, [change for change in changes(before, after) if change.setting.hot])


def plain(setting: Setting, value: Any) -> Any:
    """A value as data for people and scripts; a secret only says whether there is one."""
    if setting.secret:
        return MASK if value else ""
    return msgspec.to_builtins(value)


def _pairs(before: Config, after: Config) -> Iterator[tuple[Setting, Any, Any]]:
    for setting in settings().values():
        if not setting.section:
            yield setting, read(before, setting.path), read(after, setting.path)


def _with(config: Config, taken: Iterable[Change]) -> Config:
    for change in taken:
        config = _replaced(config, change.setting.path, change.after)
    return config


def _replaced(struct: Any, path: tuple[str, ...], value: Any) -> Any:
    name = "import_" if path[0] == "import" else path[0]
    inner = value if len(path) == 1 else _replaced(getattr(struct, name), path[1:], value)
    return msgspec.structs.replace(struct, **{name: inner})
