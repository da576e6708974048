"""Which node a command means, and where its files are."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """One node's data directory."""

    data_dir: Path
    socket: Path
    context: str | None = None

    @property
    def log(self) -> Path:
        return self.data_dir / "node.log"

    def bus_token(self) -> str | None:
        return None

    @property
    def start_hint(self) -> str:
        """The command that starts this node."""
        return f"arqon node start --data-dir {shlex.quote(str(self.data_dir))}"


def place_of(data_dir: Path | None, context: str | None) -> Place:
    """The place that the shared options name. Raises NotFound for an unknown context."""
    if context is not None:
        from arqonmesh_cli.contexts import find

        return _place(find(context), context)
    return _place(data_dir or Path.home() / ".arqon", None)


def _place(data_dir: Path, context: str | None) -> Place:
    return Place(data_dir.expanduser().absolute(), data_dir.expanduser().absolute() / "control.sock", context)
