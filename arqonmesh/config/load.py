"""From arqon.yaml and the environment to one checked `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from arqonmesh.config.check import Where, convert
from arqonmesh.config.environ import overlay
from arqonmesh.config.model import Config
from arqonmesh.config.older import modernise
from arqonmesh.config.yaml import BYTES_MAX, Document, parse
from arqonmesh.errors import ConfigError


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read `path`, lay `environ` over it (config/environ.py), check everything.

    Raises ConfigError: config.missing-file, .unreadable, .too-large, .syntax, .duplicate-key, .unknown-key,
    .missing-key, .type, .relation, .cluster-name; each names the setting, the value, and file and line or variable.
    """
    return loads(_read(path), path.name, environ)


def loads(text: bytes, name: str = "arqon.yaml", environ: Mapping[str, str] | None = None) -> Config:
    """As `load`, from bytes; `name` is what messages call the file."""
    document = parse(text, name)
    modernise(document.data)
    sources = overlay(document.data, environ or {})
    return convert(document.data, _where(document, name, sources))


def _where(document: Document, name: str, sources: Mapping[tuple[str, ...], str]) -> Where:
    def where(path: tuple[str | int, ...]) -> str:
        names = tuple(part for part in path if isinstance(part, str))
        if names in sources:
            return f"environment {sources[names]}"
        for end in range(len(path), 0, -1):
            if path[:end] in document.lines:
                return f"{name}, line {document.lines[path[:end]]}"
        return name

    return where


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            "config.missing-file",
            f"there is no {path}; it needs to be made first",
            hint=f"arqon init --cluster NAME --data-dir {path.parent}",
        ) from None
    except OSError as error:
        raise ConfigError(
            "config.unreadable", f"{path} cannot be read: {error.strerror or error}", hint=f"ls -l {path}"
        ) from error
