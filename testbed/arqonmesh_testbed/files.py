"""Topologies and scenarios are YAML files: those that come with the lab by name, others by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from arqonmesh.config.yaml import parse
from arqonmesh.errors import ConfigError, NotFound

Kind = Literal["topology", "scenario"]
_FOLDERS: Final = {"topology": "topologies", "scenario": "scenarios"}
_HERE: Final = Path(__file__).parent

T = TypeVar("T")


def known(kind: Kind) -> list[str]:
    """The names that come with the lab."""
    return sorted(path.stem for path in (_HERE / _FOLDERS[kind]).glob("*.yaml"))


def load(kind: Kind, name: str, shape: type[T]) -> tuple[str, T]:
    """A file's short name and content. Raises NotFound, and ConfigError for what does not fit `shape`."""
    path = _HERE / _FOLDERS[kind] / f"{name}.yaml" if name in known(kind) else Path(name)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"lab.no-{kind}",
            f"no {kind} {name!r} ({error.strerror}); there are {', '.join(known(kind))}, or a file's path",
            hint="arqon lab up star3" if kind == "topology" else "arqon lab run partition",
        ) from None
    return path.stem, convert(parse(text, str(path)).data, shape, str(path))


def convert(data: Any, shape: type[T], name: str) -> T:
    """Plain data as `shape`, strictly. Raises ConfigError `lab.file`."""
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise ConfigError("lab.file", f"{name} does not fit: {error}") from None
