"""Where a value comes from, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from arqonmesh.errors import ConfigError

PROBLEMS_MAX: Final = 200
"""Told of one file; who has more begins with these."""


@dataclass(frozen=True, slots=True)
class Origin:
    """In words by `str`: "arqon.yaml, line 14", "environment ARQON_BUS__CLIENTS_MAX", "default"."""

    kind: Literal["default", "file", "environment"]
    name: str = ""
    """The file's or the variable's."""
    line: int = 0
    """From 1; 0 when no line says it."""
    column: int = 0
    """From 1; 0 when the whole line is meant."""
    first_line: int = 0
    """Of what is given twice: where it stood first."""

    def __str__(self) -> str:
        if self.kind == "default":
            return "default"
        if self.kind == "environment":
            return f"environment {self.name}"
        if self.first_line:
            return f"{self.name}, lines {self.first_line} and {self.line}"
        column = f", column {self.column}" if self.column else ""
        return f"{self.name}, line {self.line}{column}" if self.line else self.name


Where: TypeAlias = Callable[[tuple[str | int, ...]], Origin]
"""A setting's place, or that of the closest thing around it that stands somewhere."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    code: str
    key: str
    """The setting's dotted name; empty when it is the file itself."""
    sentence: str
    """What was seen; what would be right."""
    origin: Origin
    hint: str = ""

    def error(self) -> ConfigError:
        return ConfigError(self.code, f"{self.sentence} ({self.origin})", hint=self.hint)


def dotted(path: tuple[str | int, ...]) -> str:
    """`listen.advertise[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
