"""From arqon.yaml and the environment to one checked `Config`, and where each of its values comes from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arqonmesh.config.check import check
from arqonmesh.config.environ import Stranger, overlay, strangers
from arqonmesh.config.model import Config
from arqonmesh.config.older import modernise
from arqonmesh.config.problems import Origin, Problem, Where
from arqonmesh.config.yaml import BYTES_MAX, Document, parse
from arqonmesh.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Examined:
    """What one look at the file and the environment found."""

    config: Config | None
    """None when there are problems."""
    problems: list[Problem]
    """Those of the file in the order of its lines, then those of the environment."""
    strangers: list[Stranger]
    where: Where
    """The place of a setting; a default's is the section around it, or the file."""
    given: Mapping[tuple[str, ...], Origin]
    """The settings that somebody gave, and where."""

    def origin(self, path: tuple[str, ...]) -> Origin:
        """Where the value that holds was said: `default` when nobody said it."""
        return self.given.get(path, Origin("default"))


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read `path`, lay `environ` over it (config/environ.py), check everything.

    Raises ConfigError: config.missing-file, .unreadable, .too-large, .syntax, .duplicate-key, .unknown-key,
    .missing-key, .type, .relation, .cluster-name; each names the setting, the value, and file and line or variable.
    The first of them; `examine` tells all.
    """
    return loads(read_file(path), path.name, environ)


def loads(text: bytes, name: str = "arqon.yaml", environ: Mapping[str, str] | None = None) -> Config:
    """As `load`, from bytes; `name` is what messages call the file."""
    seen = examine(text, name, environ)
    if seen.config is None:
        raise seen.problems[0].error()
    return seen.config


def examine(text: bytes, name: str = "arqon.yaml", environ: Mapping[str, str] | None = None) -> Examined:
    """Everything that there is to say of this file under this environment. Raises nothing."""
    environ = environ or {}
    problems: list[Problem] = []
    document = parse(text, name, problems)
    unreadable = bool(problems) and not document.data
    modernised = modernise(document.data)
    sources = overlay(document.data, environ, problems)
    where = _where(document, name, sources)
    given = {tuple(map(str, path)): where(path) for path in document.lines}
    given.update({new: given[old] for old, new in modernised.items() if old in given})
    given.update({path: where(path) for path in sources})
    config = None
    if not unreadable:  # else everything would be missing as well
        config, wrong = check(document.data, where)
        problems += wrong
    problems.sort(key=lambda problem: (problem.origin.kind != "file", problem.origin.line))
    return Examined(None if problems else config, problems, strangers(environ), where, given)


def _where(document: Document, name: str, sources: Mapping[tuple[str, ...], str]) -> Where:
    def where(path: tuple[str | int, ...]) -> Origin:
        names = tuple(part for part in path if isinstance(part, str))
        if names in sources:
            return Origin("environment", sources[names])
        for end in range(len(path), 0, -1):
            if path[:end] in document.lines:
                return Origin("file", name, document.lines[path[:end]])
        return Origin("file", name)

    return where


def read_file(path: Path) -> bytes:
    """Raises ConfigError: config.missing-file, .unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            "config.missing-file",
            f"there is no {path}; it needs to be made first",
            hint=f"arqon init --cluster NAME --data-dir {shlex.quote(str(path.parent))}",
        ) from None
    except OSError as error:
        raise ConfigError(
            "config.unreadable", f"{path} cannot be read: {error.strerror or error}", hint=f"ls -l {path}"
        ) from error
